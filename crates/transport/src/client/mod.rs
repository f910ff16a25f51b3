//! One small HTTP/1.1 client over TLS: one connection as a value, bounded time and bytes.
//!
//! It never follows a redirect, never opens a second connection by itself and never retries: who
//! needs that (the heartbeat link) says so.

mod error;
mod target;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use axum::body::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use zmon_domain::error::ErrorReport;
use zmon_domain::limits;
use zmon_wire::problem::Problem;
use zmon_wire::strict;

pub use error::{ClientError, Refusal};
pub use target::Endpoint;

/// Media type of JSON bodies.
pub const JSON: &str = "application/json";

/// Media type of an envelope.
pub const OCTETS: &str = "application/octet-stream";

/// Longest answer that is read.
const ANSWER_MAX: usize = limits::BODY_MAX.default;

/// Bounds of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientTimes {
    /// TCP connect and TLS handshake together.
    pub connect: Duration,
    /// From the first byte of a request to the last of its answer.
    pub request: Duration,
}

impl Default for ClientTimes {
    fn default() -> Self {
        Self { connect: limits::CONNECT_TIMEOUT.default, request: limits::REQUEST_TIMEOUT.default }
    }
}

/// A request: method, path and body, with the media type of the body.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    method: Method,
    path: &'a str,
    body: Option<(&'static str, Bytes)>,
    headers: HeaderMap,
}

impl<'a> Ask<'a> {
    /// `GET path`.
    pub fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, body: None, headers: HeaderMap::new() }
    }

    /// `POST path` with a body.
    pub fn post(path: &'a str, media_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            method: Method::POST,
            path,
            body: Some((media_type, body.into())),
            headers: HeaderMap::new(),
        }
    }

    /// Another method than `GET` or `POST`.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Adds one header; `Host` too, which is the server's own otherwise.
    #[must_use]
    pub fn header(mut self, name: http::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

/// One open connection. Dropping it closes it.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
    peer: Option<CertificateDer<'static>>,
    _driver: AbortOnDropHandle<()>,
}

impl Connection {
    /// Connects over TCP and TLS within `within`.
    ///
    /// # Errors
    /// [`ClientError`]; a client certificate the server refuses shows at the first request only
    /// (TLS 1.3).
    pub async fn open(
        endpoint: &Endpoint,
        tls: Arc<ClientConfig>,
        within: Duration,
    ) -> Result<Self, ClientError> {
        timeout(within, async {
            let tcp = endpoint.connect().await?;
            tcp.set_nodelay(true).map_err(ClientError::Connect)?;
            let stream = TlsConnector::from(tls)
                .connect(endpoint.name().clone(), tcp)
                .await
                .map_err(ClientError::from_io)?;
            let peer = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).cloned();
            let peer = peer.map(CertificateDer::into_owned);
            let mut connection = Self::over(stream, endpoint.authority().clone()).await?;
            connection.peer = peer;
            Ok(connection)
        })
        .await
        .unwrap_or(Err(ClientError::ConnectTimeout))
    }

    /// Speaks HTTP over a stream that is already connected.
    pub(crate) async fn over<I>(stream: I, host: HeaderValue) -> Result<Self, ClientError>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(16 * 1024)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(ClientError::from_hyper)?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::trace!(%error, "client connection ended");
            }
        });
        Ok(Self { sender, host, peer: None, _driver: AbortOnDropHandle::new(driver) })
    }

    /// The certificate the server proved, DER.
    pub fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.peer.as_ref()
    }

    /// Whether the server has closed the connection, as far as is known yet.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends one request and reads its answer within `within`; answers of up to 64 KiB.
    ///
    /// # Errors
    /// [`ClientError`]. Any HTTP status is an answer, not an error.
    pub async fn send(&mut self, ask: Ask<'_>, within: Duration) -> Result<Answer, ClientError> {
        self.send_bounded(ask, within, ANSWER_MAX).await
    }

    /// As [`Self::send`], for answers of up to `limit` bytes (audit export, device lists).
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_bounded(
        &mut self,
        ask: Ask<'_>,
        within: Duration,
        limit: usize,
    ) -> Result<Answer, ClientError> {
        timeout(within, async {
            let response = self.begin(ask).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, limit).collect().await.map_err(|error| match error
                .downcast::<hyper::Error>(
            ) {
                Ok(error) => ClientError::from_hyper(*error),
                Err(other) if other.is::<LengthLimitError>() => ClientError::TooLarge,
                Err(other) => ClientError::Broken(other.to_string()),
            })?;
            Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
        })
        .await
        .unwrap_or(Err(ClientError::Timeout))
    }

    /// Sends one request and returns when the answer's head is there; the body streams.
    pub(crate) async fn begin(
        &mut self,
        ask: Ask<'_>,
    ) -> Result<http::Response<hyper::body::Incoming>, ClientError> {
        let (media_type, body) = match ask.body {
            Some((media_type, body)) => (Some(media_type), body),
            None => (None, Bytes::new()),
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = ask.method;
        *request.uri_mut() =
            ask.path.parse().map_err(|_| ClientError::Broken("path is no URI".into()))?;
        *request.headers_mut() = ask.headers;
        request.headers_mut().entry(HOST).or_insert_with(|| self.host.clone());
        if let Some(media_type) = media_type {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
        self.sender.ready().await.map_err(ClientError::from_hyper)?;
        self.sender.send_request(request).await.map_err(ClientError::from_hyper)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("host", &self.host).finish_non_exhaustive()
    }
}

/// The code in a peer's problem document, if its answer is one.
pub(crate) fn reported(answer: &Answer) -> Option<ErrorReport> {
    let problem: Problem = strict::parse(&answer.body, answer.body.len()).ok()?;
    Some(problem.report())
}
