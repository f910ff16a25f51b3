//! How use-cases answer.

use axum::body::HttpBody;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request};
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zmon_domain::error::{ErrorCode, ErrorReport, FieldError};
use zmon_domain::limits;
use zmon_station::StationError;
use zmon_wire::problem::Problem;
use zmon_wire::strict;

use crate::client::{JSON, OCTETS};
use crate::paths;
use crate::problem;
use crate::server::{media_type_is, read_body};

/// A handler's result.
pub(super) type Answer = Result<Response, Refused>;

/// A refusal on its way out.
pub(super) struct Refused(StationError);

impl Refused {
    pub(super) fn code(&self) -> ErrorCode {
        self.0.code()
    }

    pub(super) fn into_error(self) -> StationError {
        self.0
    }
}

impl<T: Into<StationError>> From<T> for Refused {
    fn from(error: T) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let StationError { report, holder, session, retry_after } = self.0;
        let mut problem = Problem::new(&report);
        if let Some(holder) = holder {
            problem.detail = format!("{} It is {holder}.", problem.detail);
        }
        if let Some(session) = session {
            let result = paths::pair_result(session);
            problem.detail = format!("{} Its result is at {result}.", problem.detail);
            problem = problem.instance(result);
        }
        let mut response = problem::of(&problem);
        let headers = response.headers_mut();
        if let Some(after) = retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if problem.status == StatusCode::UNAUTHORIZED.as_u16() {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if report.code == ErrorCode::CertificateRevoked {
            // The next handshake is refused as well; nothing is gained by keeping this one.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// The last answer of its connection, to who is not known.
pub(super) async fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response.headers_mut().remove(ALLOW);
    response
}

/// Which methods a path has is for those who are known.
pub(super) async fn discreet(mut response: Response) -> Response {
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().remove(ALLOW);
    }
    response
}

/// 200 with a JSON body.
pub(super) fn ok<T: Serialize>(value: &T) -> Answer {
    Ok(problem::json(StatusCode::OK, value)?)
}

/// 200 with an envelope.
pub(super) fn octets(envelope: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static(OCTETS))], envelope).into_response()
}

/// The JSON body of a request: content type, size, then the strict reader.
pub(super) async fn read<T: DeserializeOwned>(request: Request) -> Result<T, Refused> {
    let body = read_bytes(request, limits::BODY_MAX.default).await?;
    strict::parse(&body, limits::BODY_MAX.default)
        .map_err(|error| Refused::from(problem::malformed(&error)))
}

/// The JSON body of a request that may be left out.
pub(super) async fn read_or_nothing<T: DeserializeOwned>(
    request: Request,
) -> Result<Option<T>, Refused> {
    if request.body().is_end_stream() { Ok(None) } else { read(request).await.map(Some) }
}

/// The bytes of a JSON body of at most `limit`.
pub(super) async fn read_bytes(
    request: Request,
    limit: usize,
) -> Result<axum::body::Bytes, Refused> {
    if !media_type_is(request.headers(), JSON) {
        return Err(ErrorCode::MediaTypeUnsupported.into());
    }
    let body = read_body(request.into_body(), limit).await;
    body.map_err(|error| Refused::from(ErrorReport::from(error)))
}

/// The variable part of a path.
pub(super) type Segment = Result<Path<String>, PathRejection>;

/// The text of the variable part that is called `name`.
pub(super) fn segment(name: &'static str, segment: Segment) -> Result<String, Refused> {
    let rule = FieldError::new(name, "must be UTF-8 text");
    segment.map(|Path(text)| text).map_err(|_| Refused::from(rule))
}
