//! Registry, certificates, audit log, figures.

use core::str::FromStr;

use axum::extract::{Request, State};
use zmon_domain::error::FieldError;
use zmon_domain::ids::{BedId, DeviceId, Serial};
use zmon_domain::limits;
use zmon_station::ports::{AuditPage, CertificateState, RevocationReason};
use zmon_station::{CertificatesOf, FleetFilter, FleetOrder};
use zmon_wire::admin::{DeviceList, Done};
use zmon_wire::fleet::{PlaceRequest, RevokeReason, RevokeRequest};

use super::Api;
use super::answer::{Answer, Segment, ok, read, read_bytes, read_or_nothing, segment};
use super::gate::Caller;
use super::query::{numbers, optional, page, page_rows, values};
use super::rows;
use super::tagged::{Precondition, tagged};

/// `POST /api/registry/import`: a manifest, all of it or nothing. Its limit is its own.
pub(super) async fn import(State(api): State<Api>, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let manifest = read_bytes(request, limits::MANIFEST_BYTES.default).await?;
    ok(&api.station.import(&proof, &manifest).await.map_err(|refusal| refusal.error)?)
}

/// `GET /api/registry/devices?text=&state=&order=&offset=&limit=`, or `?after=` for a page by its cursor.
pub(super) async fn devices(State(api): State<Api>, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let names = ["text", "state", "order", "after", "offset", "limit"];
    let [text, state, order, after, offset, limit] = values(request.uri(), names)?;
    let order = optional(order)?.unwrap_or_default();
    if after.is_some() && (offset.is_some() || order != FleetOrder::Id) {
        return Err(
            FieldError::new("after", "must not stand beside offset or another order").into()
        );
    }
    let filter = FleetFilter {
        text: optional(text)?,
        state: optional(state)?,
        order,
        after: optional(after)?,
    };
    tagged(request.headers(), &api.station.fleet(&proof, &filter, page(offset, limit)?).await?)
}

/// `GET /api/registry/devices/{deviceId}/place`: what a move would change, with its tag.
pub(super) async fn place(State(api): State<Api>, device: Segment, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let device = DeviceId::parse(&segment("deviceId", device)?)?;
    tagged(request.headers(), &api.station.place_of(&proof, &device).await?)
}

/// `POST /api/registry/devices/{deviceId}/place`, with `If-Match` only from there.
pub(super) async fn set_place(State(api): State<Api>, device: Segment, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let matching = Precondition::of(request.headers())?;
    let place: PlaceRequest = read(request).await?;
    let device = DeviceId::parse(&segment("deviceId", device)?)?;
    let expected = |present: &PlaceRequest| matching.holds(present);
    ok(&api.station.move_device_if(&proof, &device, place, expected).await?)
}

/// `POST /api/registry/devices/{deviceId}/decommission`.
pub(super) async fn decommission(
    State(api): State<Api>,
    device: Segment,
    request: Request,
) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let device = DeviceId::parse(&segment("deviceId", device)?)?;
    api.station.decommission(&proof, &device).await?;
    ok(&Done::default())
}

/// `POST /api/registry/devices/{deviceId}/rekey`: a manifest of one row.
pub(super) async fn rekey(State(api): State<Api>, device: Segment, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let manifest = read_bytes(request, limits::BODY_MAX.default).await?;
    let device = DeviceId::parse(&segment("deviceId", device)?)?;
    ok(&api.station.rekey(&proof, &device, &manifest).await?)
}

/// `POST /api/registry/devices/{deviceId}/accept-audit`.
pub(super) async fn accept_audit(
    State(api): State<Api>,
    device: Segment,
    request: Request,
) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let device = DeviceId::parse(&segment("deviceId", device)?)?;
    ok(&api.station.accept_audit_log(&proof, &device).await?)
}

/// `POST /api/registry/devices/{deviceId}/enrolment`.
pub(super) async fn permit_enrolment(
    State(api): State<Api>,
    device: Segment,
    request: Request,
) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let device = DeviceId::parse(&segment("deviceId", device)?)?;
    ok(&api.station.permit_enrolment(&proof, &device).await?)
}

/// `GET /api/registry/devices/{deviceId}`.
pub(super) async fn device(State(api): State<Api>, device: Segment, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let device = DeviceId::parse(&segment("deviceId", device)?)?;
    tagged(request.headers(), &api.station.device(&proof, &device).await?)
}

/// `GET /api/registry/beds/{bedId}`: who has the bed now.
pub(super) async fn bed(State(api): State<Api>, bed: Segment, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let bed = BedId::parse(&segment("bedId", bed)?)?;
    let devices = api.station.devices_at_bed(&proof, &bed).await?;
    tagged(
        request.headers(),
        &DeviceList { total: u64::try_from(devices.len()).unwrap_or(u64::MAX), devices },
    )
}

/// `GET /api/certificates?state=&deviceId=&offset=&limit=`: of a state, or of a device.
pub(super) async fn certificates(State(api): State<Api>, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let names = ["state", "deviceId", "offset", "limit"];
    let [state, device, offset, limit] = values(request.uri(), names)?;
    let of = match (state, device) {
        (Some(_), Some(_)) => {
            return Err(FieldError::new("deviceId", "must not stand beside state").into());
        }
        (None, Some(device)) => CertificatesOf::Device(device.parse()?),
        (Some(state), None) => CertificatesOf::State(state.parse::<Standing>()?.0),
        (None, None) => CertificatesOf::State(CertificateState::Current),
    };
    tagged(request.headers(), &api.station.certificates(&proof, &of, page(offset, limit)?).await?)
}

/// The state of a certificate by its word.
struct Standing(CertificateState);

impl FromStr for Standing {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let known = CertificateState::ALL.into_iter().find(|state| state.as_str() == text);
        let rule = "must be pending, current, superseded or revoked";
        known.map(Self).ok_or(FieldError::new("state", rule))
    }
}

/// `POST /api/certificates/{serial}/revoke`; without a body, an administrator's decision.
pub(super) async fn revoke(State(api): State<Api>, serial: Segment, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let asked = read_or_nothing::<RevokeRequest>(request).await?.unwrap_or_default();
    let serial = Serial::parse(&segment("serial", serial)?)?;
    let reason = match asked.reason {
        RevokeReason::Administrator => RevocationReason::Administrator,
        RevokeReason::KeyCompromise => RevocationReason::KeyCompromise,
    };
    ok(&api.station.revoke(&proof, &serial, reason).await?)
}

/// `GET /api/audit?after=&limit=`, or `?before=&limit=` for the newest first.
pub(super) async fn audit(State(api): State<Api>, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let [after, before, limit] = numbers(request.uri(), ["after", "before", "limit"])?;
    let limit = page_rows(limit);
    let rows = match (after, before) {
        (Some(_), Some(_)) => {
            return Err(FieldError::new("before", "must not stand beside after").into());
        }
        (None, Some(before)) => api.station.newest_audit(&proof, before, limit).await?,
        (after, None) => {
            let page = AuditPage { after: after.unwrap_or(0), limit };
            api.station.audit(&proof, page).await?
        }
    };
    tagged(request.headers(), &rows::page(rows, limit))
}

/// `GET /api/overview`.
pub(super) async fn overview(State(api): State<Api>, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    ok(&api.station.overview(&proof).await?)
}

/// `GET /api/policy`.
pub(super) async fn policy(State(api): State<Api>, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    tagged(request.headers(), &api.station.policy_view(&proof, env!("CARGO_PKG_VERSION")).await?)
}

/// `GET /api/audit/verify`.
pub(super) async fn verify_audit(State(api): State<Api>, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    ok(&rows::verdict(&api.station.verify_audit(&proof).await?))
}
