//! What every request passes: a name of its own, a host that is ours, no foreign page behind it.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderValue;
use http::header::{AUTHORIZATION, HeaderName, X_CONTENT_TYPE_OPTIONS};
use zeroize::Zeroizing;
use zmon_domain::error::ErrorCode;
use zmon_domain::role::OperatorProof;
use zmon_station::StationError;

use super::Api;
use super::answer::Refused;
use crate::problem;
use crate::server::{PeerAddress, Scheme, misdirected};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The outermost layer of both interfaces.
pub(super) async fn gate(State(api): State<Api>, request: Request, next: Next) -> Response {
    let id = api.requests.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let mut response = match misdirected(&api.hosts, Scheme::Https, request.headers()) {
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
        self.counted(api, proof)
    }

    /// The bearer token of somebody who is logged in, whatever else they must do first.
    pub(super) async fn login(&self, api: &Api) -> Result<&str, Refused> {
        let known = match self.token.as_deref() {
            Some(token) => api.station.recognise(token).await.map(|()| token.as_str()),
            None => Err(ErrorCode::AuthenticationFailed.into()),
        };
        self.counted(api, known)
    }

    fn counted<T>(&self, api: &Api, known: Result<T, StationError>) -> Result<T, Refused> {
        if let Err(error) = &known
            && error.code() == ErrorCode::AuthenticationFailed
        {
            api.station.note_junk(self.source, ErrorCode::AuthenticationFailed);
        }
        Ok(known?)
    }
}

fn bearer(request: &Request) -> Option<Zeroizing<String>> {
    let mut values = request.headers().get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Zeroizing::new(token.to_owned()))
}
