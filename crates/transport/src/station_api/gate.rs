//! What every request passes: a name of its own, a host that is ours, no foreign page behind it.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, StatusCode};
use zeroize::Zeroizing;
use zmon_domain::error::{ErrorCode, ErrorReport, FieldError};
use zmon_domain::role::OperatorProof;
use zmon_wire::problem::Problem;

use super::Api;
use super::answer::Refused;
use crate::problem;
use crate::server::PeerAddress;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

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

/// The outermost layer of both interfaces.
pub(super) async fn gate(State(api): State<Api>, request: Request, next: Next) -> Response {
    let id = api.requests.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let mut response = match misdirected(&api.hosts, request.headers()) {
        Some(refusal) => problem::of(&refusal),
        None => next.run(request).await,
    };
    let path = path.as_ref().map_or("-", MatchedPath::as_str);
    let status = response.status().as_u16();
    tracing::debug!(request = id, %method, path, status, "answered");
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, HeaderValue::from(id));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// 421 for a foreign `Host`, 403 for a page of a foreign `Origin` (T19, T20).
fn misdirected(hosts: &Hosts, headers: &HeaderMap) -> Option<Problem> {
    let mut named = headers.get_all(HOST).iter();
    let host = match (named.next(), named.next()) {
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    };
    let Some(host) = host.filter(|host| hosts.knows(host)) else {
        let detail = FieldError::new("host", "must be a name of this station");
        return Some(refusal(StatusCode::MISDIRECTED_REQUEST, detail));
    };
    let own =
        |origin: &HeaderValue| origin.as_bytes().strip_prefix(b"https://") == Some(host.as_bytes());
    let foreign = headers.get_all(ORIGIN).iter().any(|origin| !own(origin));
    let detail = FieldError::new("origin", "must be this station's own");
    foreign.then(|| refusal(StatusCode::FORBIDDEN, detail))
}

fn refusal(status: StatusCode, detail: FieldError) -> Problem {
    let mut problem = Problem::new(&ErrorReport::field(ErrorCode::RequestMalformed, detail));
    problem.status = status.as_u16();
    problem
}

/// Where a request comes from.
pub(super) fn source(request: &Request) -> IpAddr {
    let peer = request.extensions().get::<PeerAddress>();
    peer.map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0)
}

/// What a request says about who sent it.
pub(super) struct Caller {
    token: Option<Zeroizing<String>>,
    source: IpAddr,
}

impl Caller {
    pub(super) fn of(request: &Request) -> Self {
        Self { token: bearer(request), source: source(request) }
    }

    /// Who asks. Looked at before anything else of the request, so that nobody unknown can make the
    /// station read a body; every stranger gets the same answer.
    pub(super) async fn operator(&self, api: &Api) -> Result<OperatorProof, Refused> {
        let proof = match &self.token {
            Some(token) => api.station.authenticate(token).await,
            None => Err(ErrorCode::AuthenticationFailed.into()),
        };
        if let Err(error) = &proof
            && error.code() == ErrorCode::AuthenticationFailed
        {
            api.station.note_junk(self.source, ErrorCode::AuthenticationFailed);
        }
        Ok(proof?)
    }

    /// The bearer token, if the request has exactly one.
    pub(super) fn token(&self) -> Option<&str> {
        self.token.as_deref().map(String::as_str)
    }
}

fn bearer(request: &Request) -> Option<Zeroizing<String>> {
    let mut values = request.headers().get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Zeroizing::new(token.to_owned()))
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
    fn only_the_stations_own_names_pass() {
        let hosts = Hosts::new(["Station.Hospital", "127.0.0.1", "::1"]);
        for good in ["station.hospital", "STATION.hospital:8443", "127.0.0.1:1", "[::1]:8443"] {
            assert!(misdirected(&hosts, &headers(good, None)).is_none(), "{good}");
        }
        for bad in ["", "evil.example", "127.0.0.2", "station.hospital.evil.example", "[::2]:1"] {
            let refusal = misdirected(&hosts, &headers(bad, None)).unwrap();
            assert_eq!(refusal.status, 421, "{bad}");
        }
        assert_eq!(misdirected(&hosts, &HeaderMap::new()).unwrap().status, 421);
        let mut twice = headers("127.0.0.1", None);
        twice.append(HOST, HeaderValue::from_static("127.0.0.1"));
        assert_eq!(misdirected(&hosts, &twice).unwrap().status, 421);
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let hosts = Hosts::new(["127.0.0.1"]);
        let own = headers("127.0.0.1:8443", Some("https://127.0.0.1:8443"));
        assert!(misdirected(&hosts, &own).is_none());
        for bad in ["null", "http://127.0.0.1:8443", "https://127.0.0.1", "https://evil.example"] {
            let foreign = headers("127.0.0.1:8443", Some(bad));
            assert_eq!(misdirected(&hosts, &foreign).unwrap().status, 403, "{bad}");
        }
    }
}
