//! What handlers read of a request besides its body.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request};

/// Whether a valid claim was made on this connection; one flag per connection, as an extension.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claimed(Arc<AtomicBool>);

impl Claimed {
    /// The flag of the request's connection.
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_default()
    }

    /// From now on the peer is the session's own.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether a claim was made.
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
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
    plain
        && essence.trim().eq_ignore_ascii_case(wanted)
        && !headers.contains_key(http::header::CONTENT_ENCODING)
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
        map.insert(http::header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(!media_type_is(&map, "application/json"));
    }
}
