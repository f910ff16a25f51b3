//! How the screen answers: problem documents on failure, and what a browser may do with it all.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_wire::problem::{MEDIA_TYPE, Problem};
use zmon_wire::strict;

use crate::files;

/// Nothing from elsewhere, nothing inline, no frame around it, no form.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// A refusal on its way out.
pub(super) struct Refused(ErrorReport);

impl<T: Into<ErrorReport>> From<T> for Refused {
    fn from(error: T) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let problem = Problem::new(&self.0);
        let status = StatusCode::from_u16(problem.status);
        // A problem of strings and words always has a JSON form; an empty body would still refuse.
        let body = strict::to_vec(&problem).unwrap_or_default();
        typed(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), MEDIA_TYPE, body)
    }
}

/// An answer that nobody keeps.
pub(super) fn typed(status: StatusCode, media_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// 404 for every path nobody serves.
pub(super) async fn not_found() -> Refused {
    ErrorCode::RouteUnknown.into()
}

/// 405 for a served path; the router adds `Allow`.
pub(super) async fn method_not_allowed() -> Refused {
    ErrorCode::MethodNotAllowed.into()
}

/// What every answer tells the browser.
pub(super) async fn protected(mut response: Response) -> Response {
    files::protect(&mut response, POLICY);
    response
}
