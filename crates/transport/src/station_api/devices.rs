//! What provisioned devices ask (D13, D17, D23).
//!
//! Each use-case looks the certificate's serial number up first: a revoked device is refused at its
//! next request, on a kept connection too, and a pending certificate opens test and commit only.

use std::net::IpAddr;

use axum::extract::{Request, State};
use serde::de::DeserializeOwned;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::Serial;
use zmon_station::StationError;
use zmon_wire::carry::PollRequest;
use zmon_wire::heartbeat::Heartbeat;
use zmon_wire::outcome::{CommitRequest, OutcomeAnswer, OutcomeRequest};
use zmon_wire::pull::{FetchRequest, PullRequest};
use zmon_wire::retire::RetireRequest;

use super::Api;
use super::answer::{Answer, Refused, octets, ok, read};
use super::gate::{source, unproved};
use crate::tls::PeerCertificate;

/// `GET /api/device/test`.
pub(super) async fn test(State(api): State<Api>, request: Request) -> Answer {
    let (serial, source) = (serial(&api, &request)?, source(&request));
    ok(&admitted(&api, source, api.station.test(&serial).await)?)
}

/// `POST /api/device/commit`.
pub(super) async fn commit(State(api): State<Api>, request: Request) -> Answer {
    let (serial, source) = (serial(&api, &request)?, source(&request));
    let commit: CommitRequest = read(request).await?;
    let outcome = admitted(&api, source, api.station.commit(&serial, &commit).await)?;
    ok(&OutcomeAnswer { outcome })
}

/// `POST /api/device/heartbeat`.
pub(super) async fn heartbeat(State(api): State<Api>, request: Request) -> Answer {
    let (serial, source) = (serial(&api, &request)?, source(&request));
    let heartbeat: Heartbeat = read(request).await?;
    ok(&admitted(&api, source, api.station.heartbeat(&serial, &heartbeat).await)?)
}

/// `POST /api/provisioning/outcome`: the question is signed, so no certificate is asked for. Who
/// cannot sign learns nothing from the answer.
pub(super) async fn outcome(State(api): State<Api>, request: Request) -> Answer {
    let source = source(&request);
    let OutcomeRequest { ask } = signed(&api, source, request).await?;
    let outcome = proved(&api, source, api.station.outcome(ask.as_bytes()).await)?;
    ok(&OutcomeAnswer { outcome })
}

/// `POST /api/provisioning/retire`: signed like the question, by a device whose keys are gone (D21).
pub(super) async fn retire(State(api): State<Api>, request: Request) -> Answer {
    let source = source(&request);
    let RetireRequest { statement } = signed(&api, source, request).await?;
    ok(&proved(&api, source, api.station.retire(source, statement.as_bytes()).await)?)
}

/// `POST /api/device/renew`.
pub(super) async fn renew(State(api): State<Api>, request: Request) -> Answer {
    let (serial, source) = (serial(&api, &request)?, source(&request));
    let PullRequest { pull } = read(request).await?;
    let answer = api.station.renew(source, &serial, pull.as_bytes()).await;
    ok(&admitted(&api, source, answer)?)
}

/// `POST /api/device/renew/identity`.
pub(super) async fn renew_identity(State(api): State<Api>, request: Request) -> Answer {
    let (serial, source) = (serial(&api, &request)?, source(&request));
    let fetch: FetchRequest = read(request).await?;
    let envelope = api.station.renew_identity(&serial, fetch).await;
    Ok(octets(admitted(&api, source, envelope)?))
}

/// `POST /api/provisioning/recover`: signed as the question of a device in doubt is.
pub(super) async fn recover(State(api): State<Api>, request: Request) -> Answer {
    let source = source(&request);
    let PullRequest { pull } = signed(&api, source, request).await?;
    ok(&proved(&api, source, api.station.recover(source, pull.as_bytes()).await)?)
}

/// `POST /api/provisioning/recover/identity`: for whoever knows the session.
pub(super) async fn recover_identity(State(api): State<Api>, request: Request) -> Answer {
    let source = source(&request);
    let fetch: FetchRequest = signed(&api, source, request).await?;
    Ok(octets(proved(&api, source, api.station.recover_identity(fetch).await)?))
}

/// The body of a request that should be signed. Whatever is wrong with it, a stranger sent it.
async fn signed<T: DeserializeOwned>(
    api: &Api,
    source: IpAddr,
    request: Request,
) -> Result<T, Refused> {
    read(request).await.map_err(|refused| unproved(api, source, refused.code()))
}

/// What a use-case answered to a signed request; why it could not be verified is told to nobody.
fn proved<T>(api: &Api, source: IpAddr, answer: Result<T, StationError>) -> Result<T, Refused> {
    answer.map_err(|error| match error.code() {
        code if is_unproved(code) => unproved(api, source, code),
        _ => error.into(),
    })
}

/// What a use-case answered to the holder of a certificate; one that is no longer accepted is counted.
pub(super) fn admitted<T>(
    api: &Api,
    source: IpAddr,
    answer: Result<T, StationError>,
) -> Result<T, Refused> {
    Ok(answer.inspect_err(|error| {
        if error.code() == ErrorCode::CertificateRevoked {
            api.station.note_junk(source, error.code());
        }
    })?)
}

/// `POST /api/provisioning/poll`: signed by the identity key of a device that holds nothing else.
pub(super) async fn poll(State(api): State<Api>, request: Request) -> Answer {
    let source = source(&request);
    let PollRequest { poll } = signed(&api, source, request).await?;
    let answer = api.station.poll(poll.as_bytes()).await;
    ok(&answer.map_err(|error| match error.code() {
        code if is_unproved_poll(code) => unproved(&api, source, code),
        _ => error.into(),
    })?)
}

/// Refusals of somebody whose key nobody vouches for.
fn is_unproved_poll(code: ErrorCode) -> bool {
    is_unproved(code)
        || matches!(
            code,
            ErrorCode::DeviceUnknown
                | ErrorCode::DeviceKeyConflict
                | ErrorCode::IdentityInvalid
                | ErrorCode::SuiteUnsupported
        )
}

/// Refusals from before the signature was verified.
fn is_unproved(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::JwsMalformed | ErrorCode::SignatureInvalid | ErrorCode::SessionUnknown
    )
}

/// The serial number of the verified client certificate. A simulated one opens nothing at a real
/// station, whoever signed it (D20).
pub(super) fn serial(api: &Api, request: &Request) -> Result<Serial, Refused> {
    let peer = request.extensions().get::<PeerCertificate>();
    let peer = peer.ok_or(ErrorCode::AuthenticationFailed)?;
    if peer.is_simulated() == api.station.is_simulated() {
        return Ok(*peer.serial());
    }
    api.station.note_junk(source(request), ErrorCode::SimulatedCertificate);
    Err(ErrorCode::SimulatedCertificate.into())
}
