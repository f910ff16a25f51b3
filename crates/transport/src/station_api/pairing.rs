//! Scan and pair ([W §11.3], D7, D11).

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::StatusCode;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::SessionId;
use zmon_station::PairOutcome;
use zmon_wire::admin::Done;
use zmon_wire::pair::{PairRequest, ScanRequest};

use super::Api;
use super::answer::{Answer, Refused, ok, read};
use super::gate::Caller;
use crate::problem;

type Id = Result<Path<String>, PathRejection>;

/// `POST /api/provisioning/sessions`: claims the device of a scanned QR code.
pub(super) async fn scan(State(api): State<Api>, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let scan: ScanRequest = read(request).await?;
    ok(&api.station.scan(&proof, scan).await?)
}

/// `POST /api/provisioning/pair`: 200 in [W §11.3]'s shape, or 202 while the device is at work.
pub(super) async fn pair(State(api): State<Api>, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let pair: PairRequest = read(request).await?;
    outcome(&api.station.pair(&proof, pair).await?)
}

/// `GET /api/provisioning/pair/{sessionId}`: the result, for the operator who started it.
pub(super) async fn result(State(api): State<Api>, id: Id, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    outcome(&api.station.pair_result(&proof, &session(id)?).await?)
}

/// `POST /api/provisioning/pair/{sessionId}/cancel`.
pub(super) async fn cancel(State(api): State<Api>, id: Id, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    api.station.cancel(&proof, &session(id)?).await?;
    ok(&Done::default())
}

fn session(id: Id) -> Result<SessionId, Refused> {
    let Ok(Path(text)) = id else { return Err(ErrorCode::RequestMalformed.into()) };
    Ok(SessionId::parse(&text)?)
}

fn outcome(outcome: &PairOutcome) -> Answer {
    Ok(pair_answer(outcome)?)
}

/// The two shapes of an answer that is no failure.
fn pair_answer(outcome: &PairOutcome) -> Result<Response, zmon_domain::error::ErrorReport> {
    match outcome {
        PairOutcome::Paired(answer) => problem::json(StatusCode::OK, answer),
        PairOutcome::Pending(pending) => problem::json(StatusCode::ACCEPTED, pending),
    }
}
