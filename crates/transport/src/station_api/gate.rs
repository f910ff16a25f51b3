//! What every request passes: a name of its own, a host that is ours, no foreign page behind it. And
//! what is said to who has proved nothing: one answer a listener, whatever the cause, which is counted
//! (D16, D24).

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, X_CONTENT_TYPE_OPTIONS};
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::role::OperatorProof;
use zmon_station::StationError;
use zmon_wire::problem::Problem;

use super::Api;
use super::answer::Refused;
use super::contract::{kept, unasked};
use super::credential::Credential;
use crate::contract::{Operation, Proof};
use crate::problem;
use crate::server::{PeerAddress, Scheme, misdirected};

/// What an answer that is no page may do in a browser.
const NOTHING: HeaderValue =
    HeaderValue::from_static("default-src 'none'; base-uri 'none'; frame-ancestors 'none'");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Who is behind a listener, and so what a refusal may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    /// Whoever reaches it; a bearer token proves an operator.
    Operators,
    /// Holders of a verified client certificate.
    Certificates,
    /// Devices without one; a signature in the body proves them.
    Strangers,
}

impl Behind {
    /// The listener's name in figures.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Operators => "operators",
            Self::Certificates => "devices",
            Self::Strangers => "strangers",
        }
    }
}

/// The outermost layer of every interface.
pub(super) async fn gate(State(api): State<Api>, request: Request, next: Next) -> Response {
    let id = api.requests.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
    let begun = api.station.now().mono;
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let operation = api.contract.operation(&request);
    let response = match misdirected(&api.hosts, Scheme::Https, request.headers()) {
        Some(refusal) => refuse(&api, Caller::of(&request), &refusal).await,
        None => match operation.and_then(|operation| unasked(operation, &request)) {
            Some(report) => refuse_query(&api, operation, Caller::of(&request), &report).await,
            None => next.run(request).await,
        },
    };
    // In development, an answer that the document does not have is a defect of one of the two.
    debug_assert!(
        operation.is_none_or(|operation| kept(operation, &response)),
        "{method} {path:?} is not documented to answer {} {:?}",
        response.status(),
        response.headers().get(CONTENT_TYPE)
    );
    let mut response = response;
    let path = path.as_ref().map_or("-", MatchedPath::as_str);
    let status = response.status().as_u16();
    tracing::debug!(request = id, %method, path, status, "answered");
    api.metrics.answered(api.behind, path, status, api.station.now().mono.since(begun));
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, HeaderValue::from(id));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(NOTHING);
    response
}

/// 404 for every path nobody serves.
pub(super) async fn not_found(State(api): State<Api>, request: Request) -> Response {
    refuse(&api, Caller::of(&request), &Problem::new(&ErrorCode::RouteUnknown.into())).await
}

/// 405 for a served path; the router adds `Allow`.
pub(super) async fn method_not_allowed(State(api): State<Api>, request: Request) -> Response {
    refuse(&api, Caller::of(&request), &Problem::new(&ErrorCode::MethodNotAllowed.into())).await
}

/// What is wrong with a query. Where nobody has to prove anything, it is told to everybody.
async fn refuse_query(
    api: &Api,
    operation: Option<&Operation>,
    caller: Caller,
    report: &ErrorReport,
) -> Response {
    let problem = Problem::new(report);
    match operation.map(|operation| operation.proof) {
        Some(Proof::Nobody | Proof::Maybe) => problem::of(&problem),
        Some(Proof::Signature) => unproved(api, caller.source, report.code).into_response(),
        _ => refuse(api, caller, &problem).await,
    }
}

/// What is wrong with a request, told to who is known.
async fn refuse(api: &Api, caller: Caller, refusal: &Problem) -> Response {
    match api.behind {
        Behind::Certificates => problem::of(refusal),
        Behind::Strangers => unproved(api, caller.source, refusal.code).into_response(),
        Behind::Operators => match caller.operator(api).await {
            Ok(_) => problem::of(refusal),
            Err(stranger) => stranger.into_response(),
        },
    }
}

/// The one answer to what should be signed and is not proved to be: counted under its cause.
pub(super) fn unproved(api: &Api, source: IpAddr, cause: ErrorCode) -> Refused {
    api.station.note_junk(source, cause);
    ErrorCode::SignatureInvalid.into()
}

/// Where a request comes from.
pub(super) fn source(request: &Request) -> IpAddr {
    let peer = request.extensions().get::<PeerAddress>();
    peer.map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0)
}

/// Who sent a request.
pub(super) struct Caller {
    credential: Credential,
    source: IpAddr,
}

impl Caller {
    pub(super) fn of(request: &Request) -> Self {
        Self { credential: Credential::of(request), source: source(request) }
    }

    /// Who asks. Looked at before anything else of the request, so that nobody unknown can make the
    /// station read a body; every stranger gets the same answer.
    pub(super) async fn operator(&self, api: &Api) -> Result<OperatorProof, Refused> {
        let proof = match self.token() {
            Some(token) => api.station.authenticate(token).await,
            None => Err(ErrorCode::AuthenticationFailed.into()),
        };
        self.counted(api, proof)
    }

    /// The bearer token of somebody who is logged in, whatever else they must do first.
    pub(super) async fn login(&self, api: &Api) -> Result<&str, Refused> {
        let known = match self.token() {
            Some(token) => api.station.recognise(token).await.map(|()| token),
            None => Err(ErrorCode::AuthenticationFailed.into()),
        };
        self.counted(api, known)
    }

    /// Whether it is the monitoring system that figures are given to.
    pub(super) fn is_scraper(&self, api: &Api) -> bool {
        match (&api.scraper, self.token()) {
            (Some(scraper), Some(token)) => !self.is_page() && scraper.is(token),
            _ => false,
        }
    }

    fn counted<T>(&self, api: &Api, known: Result<T, StationError>) -> Result<T, Refused> {
        if let Err(error) = &known
            && error.code() == ErrorCode::AuthenticationFailed
        {
            api.station.note_junk(self.source, ErrorCode::AuthenticationFailed);
            if self.credential.is_cookie() {
                // Only we set it: whoever has it was logged in once.
                return Err(ErrorCode::ProofExpired.into());
            }
        }
        Ok(known?)
    }

    /// The token of the login, if the request has exactly one.
    fn token(&self) -> Option<&str> {
        self.credential.token()
    }

    /// Whether it came with a page's cookie.
    pub(super) const fn is_page(&self) -> bool {
        self.credential.is_cookie()
    }
}
