//! Scan and pair ([W §11.3], D7, D11).

use axum::extract::{Request, State};
use http::StatusCode;
use zmon_domain::ids::SessionId;
use zmon_station::{PairOutcome, ScanOutcome};
use zmon_wire::admin::Done;
use zmon_wire::carry::Return;
use zmon_wire::pair::{PairRequest, ScanRequest};

use super::Api;
use super::answer::{Answer, Refused, Segment, ok, read, segment};
use super::gate::Caller;
use crate::problem;

/// `POST /api/provisioning/sessions`: claims the device of a scanned QR code.
pub(super) async fn scan(State(api): State<Api>, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let scan: ScanRequest = read(request).await?;
    match api.station.scan(&proof, scan).await? {
        ScanOutcome::Scanned(answer) => ok(&*answer),
        ScanOutcome::Pending(pending) => Ok(problem::json(StatusCode::ACCEPTED, &pending)?),
    }
}

/// `GET /api/provisioning/pair/{sessionId}/courier`: the next message for the device.
pub(super) async fn courier_message(
    State(api): State<Api>,
    id: Segment,
    request: Request,
) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    ok(&api.station.courier_message(&proof, &session(id)?).await?)
}

/// `POST /api/provisioning/pair/{sessionId}/courier`: the device's answer.
pub(super) async fn courier_return(
    State(api): State<Api>,
    id: Segment,
    request: Request,
) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let answer: Return = read(request).await?;
    api.station.courier_return(&proof, &session(id)?, answer).await?;
    ok(&Done::default())
}

/// `POST /api/provisioning/pair/{sessionId}/blink`: which of ten monitors it is.
pub(super) async fn blink(State(api): State<Api>, id: Segment, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    ok(&api.station.blink(&proof, &session(id)?).await?)
}

/// `POST /api/provisioning/pair`: 200 in [W §11.3]'s shape, or 202 while the device is at work.
pub(super) async fn pair(State(api): State<Api>, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let pair: PairRequest = read(request).await?;
    outcome(&api.station.pair(&proof, pair).await?)
}

/// `GET /api/provisioning/pair/{sessionId}`: the result, for the operator who started it.
pub(super) async fn result(State(api): State<Api>, id: Segment, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    outcome(&api.station.pair_result(&proof, &session(id)?).await?)
}

/// `POST /api/provisioning/pair/{sessionId}/cancel`.
pub(super) async fn cancel(State(api): State<Api>, id: Segment, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    api.station.cancel(&proof, &session(id)?).await?;
    ok(&Done::default())
}

pub(super) fn session(id: Segment) -> Result<SessionId, Refused> {
    Ok(SessionId::parse(&segment("sessionId", id)?)?)
}

/// The two shapes of an answer that is no failure.
fn outcome(outcome: &PairOutcome) -> Answer {
    Ok(match outcome {
        PairOutcome::Paired(answer) => problem::json(StatusCode::OK, answer)?,
        PairOutcome::Pending(pending) => problem::json(StatusCode::ACCEPTED, pending)?,
    })
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use zmon_wire::kind::{False, True};
    use zmon_wire::pair::PairPending;

    use super::*;

    #[tokio::test]
    async fn a_device_at_work_is_a_202_with_where_to_look() {
        let id = "0190b6a0-0000-4000-8000-000000000000";
        let pending = PairOutcome::Pending(PairPending {
            success: False,
            pending: True,
            session_id: SessionId::parse(id).unwrap(),
            delivery: zmon_domain::route::Route::Push,
            events_url: format!("/api/provisioning/pair/{id}"),
            words: None,
        });
        let Ok(response) = outcome(&pending) else { panic!("refused") };
        assert_eq!(response.status(), 202);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let golden = format!(
            "{{\"success\":false,\"pending\":true,\"sessionId\":\"{id}\",\"delivery\":\"push\",\
             \"eventsUrl\":\"/api/provisioning/pair/{id}\"}}"
        );
        assert_eq!(String::from_utf8(body.to_vec()).unwrap(), golden);
    }
}
