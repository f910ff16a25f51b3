//! What handlers read of a request.

use axum::body::{Body, Bytes};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;

/// Reads at most `limit` bytes of a request body.
///
/// A longer body is refused from its announced length or at the first byte too many; the rest is
/// dropped while the answer is sent.
///
/// # Errors
/// [`BodyError`].
pub(crate) async fn read_body(body: Body, limit: usize) -> Result<Bytes, BodyError> {
    if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(BodyError::TooLarge);
    }
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge),
        Err(_) => Err(BodyError::Broken),
    }
}

/// Why a request body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// Longer than the limit.
    TooLarge,
    /// The peer stopped in the middle.
    Broken,
}

/// Whether the content type is `wanted`, in UTF-8 if it says a character set, and the body is not
/// encoded: nothing is ever decompressed (T21).
pub(crate) fn media_type_is(headers: &HeaderMap, wanted: &str) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Ok(value) = value.to_str() else { return false };
    let (essence, parameters) = value.split_once(';').unwrap_or((value, ""));
    let parameters = parameters.trim();
    let plain = parameters.is_empty() || parameters.eq_ignore_ascii_case("charset=utf-8");
    plain && essence.trim().eq_ignore_ascii_case(wanted) && !headers.contains_key(CONTENT_ENCODING)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (CONTENT_TYPE, HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_the_wanted_type_passes() {
        for good in ["application/json", "Application/JSON; charset=UTF-8", "application/json;"] {
            assert!(media_type_is(&headers(&[good]), "application/json"), "{good}");
        }
        for bad in ["", "text/plain", "application/jsonp", "application/json; charset=utf-16"] {
            assert!(!media_type_is(&headers(&[bad]), "application/json"), "{bad}");
        }
        assert!(!media_type_is(&headers(&[]), "application/json"));
    }

    #[test]
    fn two_types_and_encoded_bodies_are_refused() {
        let mut map = HeaderMap::new();
        map.append(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        assert!(media_type_is(&map, "application/json"));
        let mut twice = map.clone();
        twice.append(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        assert!(!media_type_is(&twice, "application/json"));
        map.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(!media_type_is(&map, "application/json"));
    }
}
