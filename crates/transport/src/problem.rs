//! Answers: JSON on success, a problem document (RFC 9457) on every failure (D24).

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_wire::problem::{MEDIA_TYPE, Problem};
use zmon_wire::strict::{self, WireError};

use crate::client::JSON;
use crate::server::BodyError;

/// The bytes of an error's problem document.
pub(crate) fn body(problem: &Problem) -> Vec<u8> {
    // A problem of strings and words always has a JSON form; an empty body would still refuse.
    strict::to_vec(problem).unwrap_or_default()
}

/// The answer of an error.
pub(crate) fn response(report: &ErrorReport) -> Response {
    of(&Problem::new(report))
}

/// The answer of a problem document.
pub(crate) fn of(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    with_type(status, MEDIA_TYPE, body(problem))
}

/// A JSON answer.
///
/// # Errors
/// `internal` when the value has no JSON form.
pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Result<Response, ErrorReport> {
    let body = strict::to_vec(value).map_err(|error| {
        tracing::error!(%error, "an answer cannot be written");
        ErrorReport::from(ErrorCode::Internal)
    })?;
    Ok(with_type(status, JSON, body))
}

/// The report of a request that does not parse.
pub(crate) fn malformed(error: &WireError) -> ErrorReport {
    error.report(ErrorCode::RequestMalformed)
}

fn with_type(status: StatusCode, media_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl From<BodyError> for ErrorReport {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => ErrorCode::RequestTooLarge.into(),
            BodyError::Broken => ErrorCode::RequestMalformed.into(),
        }
    }
}
