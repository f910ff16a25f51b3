//! The requests of a pairing, and one answer to everything else (D24).
//!
//! That answer ends the connection and comes at one instant after the request, whatever the cause.

use core::time::Duration;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use http::header::CONNECTION;
use http::{HeaderValue, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::limits;
use zmon_provisioning::ports::DeviceEndpoint;
use zmon_wire::blink::BlinkRequest;
use zmon_wire::pake::{PakeConfirm, PakeStart};
use zmon_wire::problem::Problem;
use zmon_wire::session::SessionOpen;
use zmon_wire::strict;

use super::claimed::Claimed;
use crate::client::{JSON, OCTETS};
use crate::paths;
use crate::problem;
use crate::server::{Arrival, Fault, Held, Service, media_type_is, read_body};

/// When a refusal is answered, counted from the request's last byte that is read; work that takes
/// longer (a slow disk under the audit log) is answered at a multiple of it. Time then does not tell
/// a bad MAC from a path that does not exist. Long enough for the work of every refusal, short for
/// a station whose operator waits.
const REFUSAL_STEP: Duration = Duration::from_millis(250);

/// How long a body may take to arrive: a stranger's place is not worth a delivery's time.
const BODY_WITHIN: Duration = limits::HEADER_TIMEOUT.default;

type Endpoint = Arc<dyn DeviceEndpoint>;

/// The listener's service over `endpoint`.
pub(super) fn service(endpoint: Endpoint) -> Service {
    let router = Router::new()
        // Methods are looked at by the handlers: a router's own refusal would say `Allow`.
        .route(paths::SESSION, any(session))
        .route(paths::WINDOW, any(window))
        .route(paths::PAKE_START, any(pake_start))
        .route(paths::PAKE_CONFIRM, any(pake_confirm))
        .route(paths::BLINK, any(blink))
        .route(paths::CONFIGURATION, any(configuration))
        .fallback(unknown_path)
        .with_state(endpoint);
    Service::new(router, |_fault: Fault| uniform()).with_connection_state(Claimed::begin)
}

async fn session(State(endpoint): State<Endpoint>, request: Request) -> Response {
    let claimed = Claimed::of(&request);
    let claim = async {
        let open: SessionOpen = message(request).await?;
        answer(endpoint.session(open).await)
    };
    let claim = claim.await;
    claiming(&endpoint, &claimed, claim).await
}

async fn window(State(endpoint): State<Endpoint>, request: Request) -> Response {
    let window = match *request.method() {
        Method::GET => answer(endpoint.window().await),
        _ => Err(Refusal::Junk(ErrorCode::MethodNotAllowed)),
    };
    match window {
        // Whoever asked has shown nothing yet: no place is kept for it.
        Ok(window) => closing(window),
        Err(refusal) => refused(&endpoint, refusal).await,
    }
}

async fn pake_start(State(endpoint): State<Endpoint>, request: Request) -> Response {
    let start = async {
        let start: PakeStart = message(request).await?;
        answer(endpoint.pake_start(start).await)
    };
    match start.await {
        Ok(started) => started,
        Err(refusal) => refused(&endpoint, refusal).await,
    }
}

async fn pake_confirm(State(endpoint): State<Endpoint>, request: Request) -> Response {
    let claimed = Claimed::of(&request);
    let claim = async {
        let confirm: PakeConfirm = message(request).await?;
        answer(endpoint.pake_confirm(confirm).await)
    };
    let claim = claim.await;
    claiming(&endpoint, &claimed, claim).await
}

/// A claim by either method: from its identity document on the peer is the session's own.
async fn claiming(
    endpoint: &Endpoint,
    claimed: &Claimed,
    claim: Result<Response, Refusal>,
) -> Response {
    match claim {
        Ok(identity) => {
            claimed.set();
            identity
        }
        Err(refusal) => refused(endpoint, refusal).await,
    }
}

/// Who found the fault: junk is written down here, what the device judged it has written down.
enum Refusal {
    Junk(ErrorCode),
    Judged(ErrorReport),
}

/// The JSON message of a request.
async fn message<T: DeserializeOwned>(request: Request) -> Result<T, Refusal> {
    let body = body(request, JSON).await?;
    strict::parse(&body, limits::BODY_MAX.default)
        .map_err(|error| Refusal::Junk(problem::malformed(&error).code))
}

fn answer<T: Serialize>(answer: Result<T, ErrorReport>) -> Result<Response, Refusal> {
    let answer = answer.map_err(Refusal::Judged)?;
    problem::json(StatusCode::OK, &answer).map_err(Refusal::Judged)
}

async fn blink(State(endpoint): State<Endpoint>, request: Request) -> Response {
    let claimed = Claimed::of(&request);
    let blink = async {
        let blink: BlinkRequest = message(request).await?;
        answer(endpoint.blink(blink).await)
    };
    let blink = blink.await;
    answered(&endpoint, &claimed, blink).await
}

async fn configuration(State(endpoint): State<Endpoint>, request: Request) -> Response {
    let claimed = Claimed::of(&request);
    let delivery = deliver(&endpoint, request).await;
    answered(&endpoint, &claimed, delivery).await
}

/// What is sent within a session: only the peer of this connection's claim may learn why it was refused.
async fn answered(
    endpoint: &Endpoint,
    claimed: &Claimed,
    answer: Result<Response, Refusal>,
) -> Response {
    match answer {
        Ok(answer) => answer,
        Err(Refusal::Judged(cause)) if claimed.get() => problem::response(&cause),
        Err(refusal) => refused(endpoint, refusal).await,
    }
}

async fn deliver(endpoint: &Endpoint, request: Request) -> Result<Response, Refusal> {
    let envelope = body(request, OCTETS).await?;
    answer(endpoint.configuration(envelope.to_vec()).await)
}

async fn body(request: Request, media_type: &str) -> Result<Bytes, Refusal> {
    if request.method() != Method::POST {
        return Err(Refusal::Junk(ErrorCode::MethodNotAllowed));
    }
    if !media_type_is(request.headers(), media_type) {
        return Err(Refusal::Junk(ErrorCode::MediaTypeUnsupported));
    }
    let arrival = Arrival::of(&request);
    let reading = read_body(request.into_body(), limits::BODY_MAX.default);
    let body = timeout(BODY_WITHIN, reading).await;
    arrival.complete();
    body.map_err(|_elapsed| Refusal::Junk(ErrorCode::RequestMalformed))?
        .map_err(|error| Refusal::Junk(ErrorReport::from(error).code))
}

async fn unknown_path(State(endpoint): State<Endpoint>) -> Response {
    refused(&endpoint, Refusal::Junk(ErrorCode::RouteUnknown)).await
}

async fn refused(endpoint: &Endpoint, refusal: Refusal) -> Response {
    match refusal {
        Refusal::Junk(code) => endpoint.junk(code).await,
        Refusal::Judged(cause) => tracing::debug!(code = %cause.code, "refused before a claim"),
    }
    uniform()
}

/// The one answer: the same status, headers, bytes and instant for every cause, and the last one of
/// its connection.
fn uniform() -> Response {
    let mut problem = Problem::new(&ErrorCode::ClaimRefused.into());
    problem.status = StatusCode::FORBIDDEN.as_u16();
    let mut response = closing(problem::of(&problem));
    response.extensions_mut().insert(Held::to_steps_of(REFUSAL_STEP));
    response
}

fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
