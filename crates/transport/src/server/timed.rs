//! A stream that gives up on silent peers.
//!
//! hyper's header timeout also runs while a kept connection rests, so it cannot tell a slow head
//! from a heartbeat every hour. This wrapper sees both sides: bytes that arrive, and from
//! [`Busy`] whether a request is being answered.

use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::limits::ServerLimits;

/// After the last answer, what a peer still sends is read and dropped for this long: closing a
/// socket with unread bytes resets it, and the peer would lose the answer.
const LINGER: Duration = Duration::from_secs(1);

/// Most bytes dropped while lingering.
const LINGER_BYTES: usize = 1 << 20;

/// Set from the last header of a request to the end of its answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Busy(Arc<AtomicBool>);

impl Busy {
    /// Busy until the guard is dropped.
    pub(super) fn begin(&self) -> BusyGuard {
        self.0.store(true, Ordering::Release);
        BusyGuard(Self(Arc::clone(&self.0)))
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Ends the busy time of one request when dropped.
#[derive(Debug)]
pub(super) struct BusyGuard(Busy);

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Release);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Waiting for the first byte of a request.
    Idle,
    /// Reading a request's head.
    Head,
    /// Answering.
    Busy,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Timed<I> {
    inner: I,
    busy: Busy,
    stage: Stage,
    limits: ServerLimits,
    timer: Pin<Box<Sleep>>,
    write_stall: Option<Pin<Box<Sleep>>>,
    linger: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<I> Timed<I> {
    /// The first head is due at once.
    pub(super) fn new(inner: I, busy: Busy, limits: ServerLimits) -> Self {
        let timer = Box::pin(sleep(limits.head));
        Self { inner, busy, stage: Stage::Head, limits, timer, write_stall: None, linger: None }
    }

    fn rearm(&mut self, stage: Stage, after: Duration) {
        self.stage = stage;
        self.timer.as_mut().reset(Instant::now() + after);
    }

    /// Bounds a pending write; forgets the bound when something was written.
    fn watch_write<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write_stall = None;
            return written;
        }
        let stall = self.limits.write_stall;
        let timer = self.write_stall.get_or_insert_with(|| Box::pin(sleep(stall)));
        timer.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Timed<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.busy.get() {
            this.stage = Stage::Busy;
            return Pin::new(&mut this.inner).poll_read(cx, buf);
        }
        if this.stage == Stage::Busy {
            this.rearm(Stage::Idle, this.limits.idle);
        }
        let before = buf.filled().len();
        match Pin::new(&mut this.inner).poll_read(cx, buf) {
            Poll::Ready(read) => {
                if this.stage == Stage::Idle && buf.filled().len() > before {
                    this.rearm(Stage::Head, this.limits.head);
                }
                Poll::Ready(read)
            }
            Poll::Pending => {
                this.timer.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Timed<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.watch_write(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.watch_write(cx, flushed)
    }

    /// Shuts the writing side, then lingers: see [`LINGER`].
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            let shut = Pin::new(&mut this.inner).poll_shutdown(cx);
            let shut = this.watch_write(cx, shut);
            if !matches!(shut, Poll::Ready(Ok(()))) {
                return shut;
            }
            this.linger = Some((Box::pin(sleep(LINGER)), LINGER_BYTES));
        }
        let Some((timer, budget)) = &mut this.linger else { return Poll::Ready(Ok(())) };
        let mut scratch = [0_u8; 4096];
        loop {
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut this.inner).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    *budget = budget.saturating_sub(buf.filled().len());
                    if *budget == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return timer.as_mut().poll(cx).map(Ok),
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.watch_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
