//! What provisioned devices ask (D13, D17, D23).
//!
//! Each use-case looks the certificate's serial number up first: a revoked device is refused at its
//! next request, on a kept connection too, and a pending certificate opens test and commit only.

use axum::extract::{Request, State};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::Serial;
use zmon_wire::heartbeat::Heartbeat;
use zmon_wire::outcome::{CommitRequest, OutcomeAnswer, OutcomeRequest};
use zmon_wire::pull::{FetchRequest, PullRequest};
use zmon_wire::retire::RetireRequest;

use super::Api;
use super::answer::{Answer, Refused, octets, ok, read};
use super::gate::source;
use crate::tls::PeerCertificate;

/// `GET /api/device/test`.
pub(super) async fn test(State(api): State<Api>, request: Request) -> Answer {
    ok(&api.station.test(&serial(&request)?).await?)
}

/// `POST /api/device/commit`.
pub(super) async fn commit(State(api): State<Api>, request: Request) -> Answer {
    let serial = serial(&request)?;
    let commit: CommitRequest = read(request).await?;
    ok(&OutcomeAnswer { outcome: api.station.commit(&serial, &commit).await? })
}

/// `POST /api/device/heartbeat`.
pub(super) async fn heartbeat(State(api): State<Api>, request: Request) -> Answer {
    let serial = serial(&request)?;
    let heartbeat: Heartbeat = read(request).await?;
    ok(&api.station.heartbeat(&serial, &heartbeat).await?)
}

/// `POST /api/provisioning/outcome`: the question is signed, so no certificate is asked for. Who
/// cannot sign learns nothing from the answer.
pub(super) async fn outcome(State(api): State<Api>, request: Request) -> Answer {
    let source = source(&request);
    let OutcomeRequest { ask } = read(request).await?;
    match api.station.outcome(ask.as_bytes()).await {
        Ok(outcome) => ok(&OutcomeAnswer { outcome }),
        Err(error) if is_unproved(error.code()) => {
            api.station.note_junk(source, error.code());
            Err(ErrorCode::SignatureInvalid.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST /api/provisioning/retire`: signed like the question, by a device whose keys are gone (D21).
pub(super) async fn retire(State(api): State<Api>, request: Request) -> Answer {
    let source = source(&request);
    let RetireRequest { statement } = read(request).await?;
    match api.station.retire(statement.as_bytes()).await {
        Ok(answer) => ok(&answer),
        Err(error) if is_unproved(error.code()) => {
            api.station.note_junk(source, error.code());
            Err(ErrorCode::SignatureInvalid.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST /api/device/renew`.
pub(super) async fn renew(State(api): State<Api>, request: Request) -> Answer {
    let (serial, source) = (serial(&request)?, source(&request));
    let PullRequest { pull } = read(request).await?;
    ok(&api.station.renew(source, &serial, pull.as_bytes()).await?)
}

/// `POST /api/device/renew/identity`.
pub(super) async fn renew_identity(State(api): State<Api>, request: Request) -> Answer {
    let serial = serial(&request)?;
    let fetch: FetchRequest = read(request).await?;
    Ok(octets(api.station.renew_identity(&serial, fetch).await?))
}

/// `POST /api/provisioning/recover`: signed as the question of a device in doubt is.
pub(super) async fn recover(State(api): State<Api>, request: Request) -> Answer {
    let source = source(&request);
    let PullRequest { pull } = read(request).await?;
    match api.station.recover(source, pull.as_bytes()).await {
        Ok(answer) => ok(&answer),
        Err(error) if is_unproved(error.code()) => {
            api.station.note_junk(source, error.code());
            Err(ErrorCode::SignatureInvalid.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST /api/provisioning/recover/identity`.
pub(super) async fn recover_identity(State(api): State<Api>, request: Request) -> Answer {
    let source = source(&request);
    let fetch: FetchRequest = read(request).await?;
    match api.station.recover_identity(fetch).await {
        Ok(envelope) => Ok(octets(envelope)),
        Err(error) => {
            if error.code() == ErrorCode::SessionUnknown {
                api.station.note_junk(source, error.code());
            }
            Err(error.into())
        }
    }
}

/// Refusals from before the signature was verified.
fn is_unproved(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::JwsMalformed | ErrorCode::SignatureInvalid | ErrorCode::SessionUnknown
    )
}

/// The serial number of the verified client certificate.
fn serial(request: &Request) -> Result<Serial, Refused> {
    let peer = request.extensions().get::<PeerCertificate>();
    peer.map(|peer| *peer.serial()).ok_or_else(|| ErrorCode::AuthenticationFailed.into())
}
