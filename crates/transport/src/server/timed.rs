//! A stream that gives up on silent peers.
//!
//! hyper's header timeout also runs while a kept connection rests, so it cannot tell a slow head
//! from a heartbeat every hour. This wrapper sees both sides: bytes that arrive, and from
//! [`Busy`] whether a request is being answered.

#![expect(
    clippy::disallowed_methods,
    reason = "the time limits of a connection run on tokio's timers"
)]

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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn limits() -> ServerLimits {
        ServerLimits {
            head: Duration::from_secs(5),
            idle: Duration::from_secs(100),
            write_stall: Duration::from_secs(10),
            ..ServerLimits::operators()
        }
    }

    fn pair(busy: &Busy) -> (Timed<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(16);
        (Timed::new(ours, busy.clone(), limits()), theirs)
    }

    /// Reads until the stream gives up, in virtual seconds.
    async fn patience(stream: &mut Timed<DuplexStream>) -> u64 {
        let before = Instant::now();
        let mut buf = [0; 4];
        loop {
            match stream.read(&mut buf).await {
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                    return before.elapsed().as_secs();
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_head_is_due_at_once_and_drops_of_it_buy_no_time() {
        let busy = Busy::default();
        let (mut stream, mut peer) = pair(&busy);
        let dripping = async {
            for _ in 0..4 {
                sleep(Duration::from_secs(1)).await;
                peer.write_all(b"x").await.unwrap();
            }
            peer
        };
        let (waited, _peer) = tokio::join!(patience(&mut stream), dripping);
        assert_eq!(waited, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_resting_connection_lives_longer_than_a_slow_head() {
        let busy = Busy::default();
        let (mut stream, mut peer) = pair(&busy);
        peer.write_all(b"ab").await.unwrap();
        let mut buf = [0; 2];
        let answering = busy.begin();
        stream.read_exact(&mut buf).await.unwrap();
        // Answering has no bound here; it has one of its own.
        assert!(
            tokio::time::timeout(Duration::from_secs(500), stream.read(&mut buf)).await.is_err()
        );
        drop(answering);
        assert_eq!(patience(&mut stream).await, 100);

        let resting = busy.begin();
        assert!(tokio::time::timeout(Duration::from_secs(1), stream.read(&mut buf)).await.is_err());
        drop(resting);
        let next_head = async {
            sleep(Duration::from_secs(60)).await;
            peer.write_all(b"a").await.unwrap();
        };
        let (waited, ()) = tokio::join!(patience(&mut stream), next_head);
        assert_eq!(waited, 65);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_given_up() {
        let busy = Busy::default();
        let (mut stream, _peer) = pair(&busy);
        let before = Instant::now();
        let error = stream.write_all(&[0; 100]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(before.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_drops_what_still_comes_for_a_moment() {
        let busy = Busy::default();
        let (mut stream, mut peer) = pair(&busy);
        let before = Instant::now();
        let talking = async {
            peer.write_all(&[0; 64]).await.unwrap();
            peer
        };
        let (shut, peer) = tokio::join!(stream.shutdown(), talking);
        shut.unwrap();
        assert_eq!(before.elapsed(), LINGER);
        drop(peer);

        let (mut stream, peer) = pair(&busy);
        drop(peer);
        let before = Instant::now();
        stream.shutdown().await.unwrap();
        assert!(before.elapsed().is_zero(), "a peer that has left is not waited for");
    }
}
