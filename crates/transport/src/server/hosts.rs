//! Whose requests a listener takes: its own names, and pages that it served itself.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, StatusCode};
use zmon_domain::error::{ErrorCode, ErrorReport, FieldError};
use zmon_wire::problem::Problem;

/// The names under which a listener may be addressed: a page that had its own name re-bound to this
/// address is turned away (T19).
#[derive(Debug, Clone, Default)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// Host names and addresses, without ports; IPv6 without brackets.
    pub fn new(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(names.into_iter().map(|name| name.into().to_ascii_lowercase()).collect())
    }

    fn knows(&self, authority: &str) -> bool {
        let host = match authority.strip_prefix('[') {
            Some(rest) => rest.split_once(']').map_or("", |(host, _port)| host),
            None => authority.rsplit_once(':').map_or(authority, |(host, _port)| host),
        };
        self.0.iter().any(|name| name.eq_ignore_ascii_case(host))
    }
}

/// How pages of a listener are addressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(all(feature = "device", feature = "station")),
    expect(dead_code, reason = "a station speaks https, a device's screen http")
)]
pub(crate) enum Scheme {
    /// In the clear, on loopback.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Http => b"http://",
            Self::Https => b"https://",
        }
    }
}

/// 421 for a foreign `Host`, 403 for a page of a foreign `Origin` (T19, T20).
pub(crate) fn misdirected(hosts: &Hosts, scheme: Scheme, headers: &HeaderMap) -> Option<Problem> {
    let mut named = headers.get_all(HOST).iter();
    let host = match (named.next(), named.next()) {
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    };
    let Some(host) = host.filter(|host| hosts.knows(host)) else {
        let detail = FieldError::new("host", "must be a name of this server");
        return Some(refusal(StatusCode::MISDIRECTED_REQUEST, detail));
    };
    let own = |origin: &HeaderValue| {
        origin.as_bytes().strip_prefix(scheme.prefix()) == Some(host.as_bytes())
    };
    let foreign = headers.get_all(ORIGIN).iter().any(|origin| !own(origin));
    let detail = FieldError::new("origin", "must be this server's own");
    foreign.then(|| refusal(StatusCode::FORBIDDEN, detail))
}

fn refusal(status: StatusCode, detail: FieldError) -> Problem {
    let mut problem = Problem::new(&ErrorReport::field(ErrorCode::RequestMalformed, detail));
    problem.status = status.as_u16();
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &'static str, origin: Option<&'static str>) -> HeaderMap {
        let mut map = HeaderMap::new();
        map.insert(HOST, HeaderValue::from_static(host));
        if let Some(origin) = origin {
            map.insert(ORIGIN, HeaderValue::from_static(origin));
        }
        map
    }

    #[test]
    fn only_the_servers_own_names_pass() {
        let hosts = Hosts::new(["Station.Hospital", "127.0.0.1", "::1"]);
        for good in ["station.hospital", "STATION.hospital:8443", "127.0.0.1:1", "[::1]:8443"] {
            assert!(misdirected(&hosts, Scheme::Https, &headers(good, None)).is_none(), "{good}");
        }
        for bad in ["", "evil.example", "127.0.0.2", "station.hospital.evil.example", "[::2]:1"] {
            let refusal = misdirected(&hosts, Scheme::Https, &headers(bad, None)).unwrap();
            assert_eq!(refusal.status, 421, "{bad}");
        }
        assert_eq!(misdirected(&hosts, Scheme::Https, &HeaderMap::new()).unwrap().status, 421);
        let mut twice = headers("127.0.0.1", None);
        twice.append(HOST, HeaderValue::from_static("127.0.0.1"));
        assert_eq!(misdirected(&hosts, Scheme::Https, &twice).unwrap().status, 421);
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let hosts = Hosts::new(["127.0.0.1"]);
        let own = headers("127.0.0.1:8443", Some("https://127.0.0.1:8443"));
        assert!(misdirected(&hosts, Scheme::Https, &own).is_none());
        for bad in ["null", "http://127.0.0.1:8443", "https://127.0.0.1", "https://evil.example"] {
            let foreign = headers("127.0.0.1:8443", Some(bad));
            assert_eq!(misdirected(&hosts, Scheme::Https, &foreign).unwrap().status, 403, "{bad}");
        }
        let plain = headers("127.0.0.1:8480", Some("http://127.0.0.1:8480"));
        assert!(misdirected(&hosts, Scheme::Http, &plain).is_none());
        assert_eq!(misdirected(&hosts, Scheme::Https, &plain).unwrap().status, 403);
    }
}
