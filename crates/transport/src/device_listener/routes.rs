//! Two requests, and one answer to everything else (D24).

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use http::StatusCode;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::limits;
use zmon_provisioning::ports::DeviceEndpoint;
use zmon_wire::problem::Problem;
use zmon_wire::session::SessionOpen;
use zmon_wire::strict;

use crate::client::{JSON, OCTETS};
use crate::paths;
use crate::problem;
use crate::server::{Claimed, Fault, Service, media_type_is, read_body};

type Endpoint = Arc<dyn DeviceEndpoint>;

/// The listener's service over `endpoint`.
pub(super) fn service(endpoint: Endpoint) -> Service {
    let router = Router::new()
        .route(paths::SESSION, post(session).fallback(refuse))
        .route(paths::CONFIGURATION, post(configuration).fallback(refuse))
        .fallback(refuse)
        .with_state(endpoint);
    Service::new(router, |_fault: Fault| uniform())
}

async fn session(State(endpoint): State<Endpoint>, request: Request) -> Response {
    let claimed = Claimed::of(&request);
    match open(&endpoint, request).await {
        Ok(identity) => {
            claimed.set();
            identity
        }
        Err(cause) => refused(&cause),
    }
}

async fn open(endpoint: &Endpoint, request: Request) -> Result<Response, ErrorReport> {
    let body = body(request, JSON).await?;
    let open: SessionOpen = strict::parse(&body, limits::BODY_MAX.default)
        .map_err(|error| problem::malformed(&error))?;
    let answer = endpoint.session(open).await?;
    problem::json(StatusCode::OK, &answer)
}

async fn configuration(State(endpoint): State<Endpoint>, request: Request) -> Response {
    let claimed = Claimed::of(&request);
    match deliver(&endpoint, request).await {
        Ok(status) => status,
        // Only the peer of this connection's claim may learn why.
        Err(cause) if claimed.get() => problem::response(&cause),
        Err(cause) => refused(&cause),
    }
}

async fn deliver(endpoint: &Endpoint, request: Request) -> Result<Response, ErrorReport> {
    let envelope = body(request, OCTETS).await?;
    let answer = endpoint.configuration(envelope.to_vec()).await?;
    problem::json(StatusCode::OK, &answer)
}

async fn body(request: Request, media_type: &str) -> Result<Bytes, ErrorReport> {
    if !media_type_is(request.headers(), media_type) {
        return Err(ErrorCode::MediaTypeUnsupported.into());
    }
    read_body(request.into_body(), limits::BODY_MAX.default).await.map_err(ErrorReport::from)
}

/// Unknown paths and methods.
async fn refuse() -> Response {
    refused(&ErrorCode::RouteUnknown.into())
}

fn refused(cause: &ErrorReport) -> Response {
    tracing::debug!(code = cause.code.as_str(), "refused before a claim");
    uniform()
}

/// The one answer: the same status, headers and bytes for every cause.
fn uniform() -> Response {
    let mut problem = Problem::new(&ErrorCode::ClaimRefused.into());
    problem.status = StatusCode::FORBIDDEN.as_u16();
    problem::of(&problem)
}
