//! How a request says who sent it: a bearer token of a program, or a page's cookie.
//!
//! A cookie goes along with requests that its owner never made, so it counts less than a token: for
//! whatever may change something it needs a page of our own behind it, told by `Origin` and by a
//! header that no form and no foreign page can send (T20).

use axum::extract::Request;
use http::header::{AUTHORIZATION, COOKIE, HeaderName, ORIGIN};
use http::{HeaderMap, HeaderValue, Method};
use zeroize::Zeroizing;

/// The prefix makes browsers refuse it without `Secure`, with a `Domain` or for another path.
const NAME: &str = "__Host-zmon";
/// What our pages send with every request that is no `GET`.
pub(crate) const PAGE: HeaderName = HeaderName::from_static("x-zmon-page");

/// What a request carries.
pub(super) enum Credential {
    /// `Authorization: Bearer`.
    Bearer(Zeroizing<String>),
    /// The page's cookie.
    Cookie(Zeroizing<String>),
    /// Nothing that counts.
    None,
}

impl Credential {
    pub(super) fn of(request: &Request) -> Self {
        let headers = request.headers();
        if headers.contains_key(AUTHORIZATION) {
            return bearer(headers).map_or(Self::None, Self::Bearer);
        }
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        match cookie(headers) {
            Some(token) if reads || is_from_a_page(headers) => Self::Cookie(token),
            Some(_) | None => Self::None,
        }
    }

    /// The token of the login.
    pub(super) fn token(&self) -> Option<&str> {
        match self {
            Self::Bearer(token) | Self::Cookie(token) => Some(token),
            Self::None => None,
        }
    }

    pub(super) const fn is_cookie(&self) -> bool {
        matches!(self, Self::Cookie(_))
    }
}

/// Whether a page of this listener sent it. That `Origin` is our own has been checked; here it must
/// be there.
pub(super) fn is_from_a_page(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) && headers.contains_key(PAGE)
}

/// Keeps a token with the browser until it is closed: nothing durable on a tablet.
pub(super) fn set(token: &str) -> Option<HeaderValue> {
    let text = format!("{NAME}={token}; Path=/; Secure; HttpOnly; SameSite=Strict");
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Takes it away.
pub(super) const CLEAR: HeaderValue =
    HeaderValue::from_static("__Host-zmon=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");

fn bearer(headers: &HeaderMap) -> Option<Zeroizing<String>> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Zeroizing::new(token.to_owned()))
}

/// The one cookie of ours (RFC 6265 §5.4); two of them are none.
fn cookie(headers: &HeaderMap) -> Option<Zeroizing<String>> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.split_once('='));
    let mut ours = pairs.filter(|(name, _)| name.trim() == NAME).map(|(_, value)| value.trim());
    match (ours.next(), ours.next()) {
        (Some(token), None) if !token.is_empty() => Some(Zeroizing::new(token.to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(method: Method, headers: &[(HeaderName, &'static str)]) -> Request {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        for (name, value) in headers {
            request.headers_mut().append(name, HeaderValue::from_static(value));
        }
        request
    }

    fn token(method: Method, headers: &[(HeaderName, &'static str)]) -> Option<String> {
        Credential::of(&request(method, headers)).token().map(str::to_owned)
    }

    #[test]
    fn a_cookie_reads_alone_and_changes_something_only_from_our_page() {
        let ours = (COOKIE, "a=b; __Host-zmon=T; c=d");
        let (origin, page) = ((ORIGIN, "https://h"), (PAGE, "1"));
        assert_eq!(token(Method::GET, std::slice::from_ref(&ours)).as_deref(), Some("T"));
        for few in [
            vec![ours.clone()],
            vec![ours.clone(), origin.clone()],
            vec![ours.clone(), page.clone()],
        ] {
            assert_eq!(token(Method::POST, &few), None, "{few:?}");
        }
        assert_eq!(token(Method::POST, &[ours, origin, page]).as_deref(), Some("T"));
    }

    #[test]
    fn a_header_of_programs_stands_before_the_cookie() {
        let ours = (COOKIE, "__Host-zmon=T");
        let bearer = |value| [ours.clone(), (AUTHORIZATION, value)];
        assert_eq!(token(Method::POST, &bearer("Bearer B")).as_deref(), Some("B"));
        assert_eq!(token(Method::GET, &bearer("Basic YTpi")), None);
    }

    #[test]
    fn two_cookies_are_none() {
        for bad in ["__Host-zmon=", "__Host-zmon", "zmon=T", "__Host-zmon=a; __Host-zmon=b"] {
            let header = [(COOKIE, bad)];
            assert_eq!(token(Method::GET, &header), None, "{bad}");
        }
        assert_eq!(
            token(Method::GET, &[(COOKIE, "__Host-zmon=a"), (COOKIE, "__Host-zmon=b")]),
            None
        );
    }

    #[test]
    fn what_is_set_is_read_back_and_hidden_from_scripts() {
        let set = set("T").unwrap();
        assert!(set.is_sensitive());
        let text = set.to_str().unwrap();
        for attribute in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Strict"] {
            assert!(text.contains(attribute) && CLEAR.to_str().unwrap().contains(attribute));
        }
        assert!(!text.contains("Domain") && !text.contains("Max-Age"));
    }
}
