//! Enrolment over Secure Transport (RFC 7030): what its clients ask, and what is said to them.
//!
//! Failures are plain text here (RFC 7030 §4.2.3), with the same words as everywhere. The operators' listener
//! takes devices that have a credential, the devices' listener those that show a certificate.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use zeroize::Zeroizing;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::limits;
use zmon_station::StationError;
use zmon_wire::b64;
use zmon_wire::problem::Problem;

use super::Api;
use super::answer::Refused;
use super::devices::{admitted, serial};
use super::gate::source;
use crate::est;
use crate::server::{media_type_is, read_body};

const TRANSFER_ENCODING: HeaderName = HeaderName::from_static("content-transfer-encoding");
const TEXT: &str = "text/plain; charset=utf-8";

/// A handler's result.
type Answer = Result<Response, Failed>;

/// `GET /.well-known/est/cacerts`: for anybody, who checks the answer against a root of its own.
pub(super) async fn authorities(State(api): State<Api>) -> Answer {
    let authorities = api.station.enrolment_authorities()?;
    Ok(encoded(est::CERTIFICATES, written(est::certs_only(&authorities))?))
}

/// `GET /.well-known/est/csrattrs`.
pub(super) async fn attributes() -> Answer {
    Ok(encoded(est::ATTRIBUTES, written(est::attributes())?))
}

/// `POST /.well-known/est/simpleenroll`: name and password are a device id and its credential.
pub(super) async fn enrol(State(api): State<Api>, request: Request) -> Answer {
    let source = source(&request);
    let basic = basic(request.headers());
    let (device, credential) = basic.as_ref().map_or(("", ""), |(name, word)| (name, word));
    let right = api.station.admit_credential(source, device, credential).await?;
    let request = certification_request(request).await?;
    issued(api.station.enrol(source, right, &request).await?)
}

/// `POST /.well-known/est/simplereenroll`.
pub(super) async fn reenrol(State(api): State<Api>, request: Request) -> Answer {
    let (serial, source) = (serial(&api, &request)?, source(&request));
    let request = certification_request(request).await?;
    issued(admitted(&api, source, api.station.reenrol(source, &serial, &request).await)?)
}

/// The DER of a request: media type, size, base64.
async fn certification_request(request: Request) -> Result<Vec<u8>, Failed> {
    if !media_type_is(request.headers(), est::REQUEST) {
        return Err(ErrorCode::MediaTypeUnsupported.into());
    }
    let body = read_body(request.into_body(), limits::BODY_MAX.default).await;
    let body = body.map_err(ErrorReport::from)?;
    Ok(est::decode(&body).ok_or(ErrorCode::CsrInvalid)?)
}

fn issued(certificate: Vec<u8>) -> Answer {
    Ok(encoded(est::ISSUED, written(est::certs_only(&[certificate]))?))
}

fn written(text: Result<String, x509_cert::der::Error>) -> Result<String, Failed> {
    Ok(text.map_err(|error| {
        tracing::error!(%error, "an answer cannot be written");
        ErrorCode::Internal
    })?)
}

fn encoded(media_type: &'static str, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("base64"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Name and password of `Authorization: Basic` (RFC 7617).
fn basic(headers: &HeaderMap) -> Option<(String, Zeroizing<String>)> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, text) = value.to_str().ok()?.split_once(' ')?;
    let bytes = Zeroizing::new(b64::decode_standard(text.trim()).ok()?);
    let (name, word) = core::str::from_utf8(&bytes).ok()?.split_once(':')?;
    let pair = || (name.to_owned(), Zeroizing::new(word.to_owned()));
    scheme.eq_ignore_ascii_case("basic").then(pair)
}

/// A refusal in plain text.
pub(super) struct Failed(StationError);

impl<T: Into<StationError>> From<T> for Failed {
    fn from(error: T) -> Self {
        Self(error.into())
    }
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        Self(refused.into_error())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let StationError { report, retry_after, .. } = self.0;
        let Problem { status, detail, next, code, .. } = Problem::new(&report);
        let status = if code == ErrorCode::SessionReserved {
            // Nothing is wrong with the request: its time has not come (RFC 7030 §4.2.3).
            StatusCode::ACCEPTED
        } else {
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
        };
        let mut response = Response::new(Body::from(format!("{detail} {next} ({code})\n")));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(after) = retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"EST\", charset=\"UTF-8\"");
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if code == ErrorCode::CertificateRevoked {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        [(AUTHORIZATION, HeaderValue::from_str(value).unwrap())].into_iter().collect()
    }

    #[test]
    fn name_and_password_are_read_as_rfc_7617_says() {
        let text = b64::encode_standard(b"ZM-001:a:b");
        let (name, word) = basic(&headers(&format!("basic {text}"))).unwrap();
        assert_eq!((name.as_str(), word.as_str()), ("ZM-001", "a:b"));
        let nameless = b64::encode_standard(b"ZM-001");
        for bad in [format!("Bearer {text}"), format!("Basic {nameless}"), "Basic *".to_owned()] {
            assert!(basic(&headers(&bad)).is_none(), "{bad}");
        }
        let mut twice = headers(&format!("Basic {text}"));
        twice.append(AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        assert!(basic(&twice).is_none());
    }

    #[test]
    fn a_device_that_somebody_works_on_is_told_to_wait() {
        let wait = limits::ENROLMENT_RETRY.default;
        let error = StationError::retry_after(ErrorCode::SessionReserved, wait);
        let response = Failed(error).into_response();
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        assert_eq!(response.headers()[RETRY_AFTER], wait.as_secs().to_string().as_str());
        assert_eq!(response.headers()[CONTENT_TYPE], TEXT);
    }
}
