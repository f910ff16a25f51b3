//! What may become of a device's request on its way to the station: for harnesses that order faults.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::body::Frame;

use crate::paths;

/// What a device asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceRequest {
    /// The connection test.
    Test,
    /// The commit.
    Commit,
    /// The question of a device in doubt.
    Outcome,
    /// The request for a new certificate, by renewal or recovery.
    Pull,
    /// The identity document that fetches its configuration.
    Fetch,
    /// A statement about certificates that were given up.
    Retire,
    /// A heartbeat.
    Heartbeat,
}

impl DeviceRequest {
    fn at(path: &str) -> Option<Self> {
        match path {
            paths::DEVICE_TEST => Some(Self::Test),
            paths::DEVICE_COMMIT => Some(Self::Commit),
            paths::OUTCOME => Some(Self::Outcome),
            paths::DEVICE_RENEW | paths::RECOVER => Some(Self::Pull),
            paths::DEVICE_RENEW_IDENTITY | paths::RECOVER_IDENTITY => Some(Self::Fetch),
            paths::RETIRE => Some(Self::Retire),
            paths::DEVICE_HEARTBEAT => Some(Self::Heartbeat),
            _ => None,
        }
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The station answers it.
    Pass,
    /// The connection breaks, and the station never sees it.
    Break,
    /// The station does it, and the connection breaks before its answer has left.
    Lose,
    /// The station does it, and one character of its answer is another.
    Spoil,
}

/// Stands between the devices and the station.
#[async_trait]
pub trait Interposed: Send + Sync {
    /// What shall become of this request; it waits meanwhile.
    async fn fate(&self, request: DeviceRequest) -> Fate;
}

/// Carries out what was decided.
pub(super) async fn between(
    State(interposed): State<Arc<dyn Interposed>>,
    request: Request,
    next: Next,
) -> Response {
    let fate = match DeviceRequest::at(request.uri().path()) {
        Some(asked) => interposed.fate(asked).await,
        None => Fate::Pass,
    };
    match fate {
        Fate::Pass => next.run(request).await,
        Fate::Break => broken(),
        Fate::Lose => {
            drop(next.run(request).await);
            broken()
        }
        Fate::Spoil => spoilt(next.run(request).await).await,
    }
}

/// As a response extension: what was answered is a harness's, not the station's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ordered;

/// An answer whose connection ends before its body has begun.
fn broken() -> Response {
    let mut response = Response::new(Body::new(Broken));
    response.extensions_mut().insert(Ordered);
    response
}

async fn spoilt(answer: Response) -> Response {
    let (head, body) = answer.into_parts();
    let Ok(body) = body.collect().await else { return broken() };
    let mut bytes = body.to_bytes().to_vec();
    // Inside the last value: what is spoilt still parses.
    let place = bytes.len().saturating_sub(10);
    if let Some(byte) = bytes.get_mut(place) {
        *byte = if *byte == b'A' { b'B' } else { b'A' };
    }
    Response::from_parts(head, Body::from(bytes))
}

struct Broken;

impl HttpBody for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())))
    }
}
