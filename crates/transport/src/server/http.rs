//! HTTP/1.1 on one accepted stream.

use core::convert::Infallible;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::any::Any;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::Response;
use http::{Extensions, Request};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tower_http::catch_panic::{CatchPanic, ResponseForPanic};

use super::held::{Arrival, until};
use super::limits::ServerLimits;
use super::timed::{Busy, BusyGuard, Timed};

/// Why the server answers in a router's stead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The request took longer than [`ServerLimits::request`].
    Timeout,
    /// A handler panicked: a defect, logged as such.
    Panic,
}

/// A router with the answers the server gives in its stead.
#[derive(Debug, Clone)]
pub struct Service {
    router: Router,
    fault: fn(Fault) -> Response,
    prepare: fn(&mut Extensions),
}

impl Service {
    /// `fault` makes the listener's own kind of problem document.
    pub fn new(router: Router, fault: fn(Fault) -> Response) -> Self {
        Self { router, fault, prepare: |_| {} }
    }

    /// Puts what every request of one connection shares into its extensions.
    #[must_use]
    pub fn with_connection_state(mut self, prepare: fn(&mut Extensions)) -> Self {
        self.prepare = prepare;
        self
    }

    pub(crate) fn prepare(&self, extensions: &mut Extensions) {
        (self.prepare)(extensions);
    }
}

/// Serves requests until the peer leaves, a limit is passed or `stop` is cancelled; then a request
/// under way is still answered.
pub(crate) async fn serve<I>(
    io: I,
    service: Service,
    extensions: Extensions,
    limits: ServerLimits,
    stop: CancellationToken,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let busy = Busy::default();
    let stream = TokioIo::new(Timed::new(io, busy.clone(), limits));
    let answering = service_fn(move |mut request: Request<Incoming>| {
        let guard = busy.begin();
        request.extensions_mut().extend(extensions.clone());
        answer(request, service.clone(), limits, guard)
    });
    let connection = http1::Builder::new()
        .auto_date_header(false)
        .header_read_timeout(None)
        .max_buf_size(ServerLimits::HEAD_BYTES)
        .max_headers(ServerLimits::HEADERS)
        .serve_connection(stream, answering);
    tokio::pin!(connection);
    let outcome = tokio::select! {
        biased;
        done = connection.as_mut() => done,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "connection ended");
    }
}

async fn answer(
    mut request: Request<Incoming>,
    service: Service,
    limits: ServerLimits,
    guard: BusyGuard,
) -> Result<Response<Guarded>, Infallible> {
    let arrival = Arrival::begin();
    request.extensions_mut().insert(arrival.clone());
    let fault = service.fault;
    let caught = CatchPanic::custom(service.router, Panicked(fault));
    let response = match timeout(limits.request, caught.oneshot(request)).await {
        Ok(Ok(response)) => response.map(Body::new),
        Err(_elapsed) => fault(Fault::Timeout),
    };
    if let Some(instant) = until(&response, &arrival) {
        sleep_until(instant).await;
    }
    Ok(response.map(|body| Guarded { body, _guard: guard }))
}

/// Turns a panic into the listener's answer.
#[derive(Clone)]
struct Panicked(fn(Fault) -> Response);

impl ResponseForPanic for Panicked {
    type ResponseBody = Body;

    fn response_for_panic(&mut self, panic: Box<dyn Any + Send + 'static>) -> Response {
        tracing::error!(panic = panic_text(panic.as_ref()), "handler panicked");
        (self.0)(Fault::Panic)
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no text")
}

/// A body that keeps its connection busy until it has been sent.
pub(super) struct Guarded {
    body: Body,
    _guard: BusyGuard,
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
