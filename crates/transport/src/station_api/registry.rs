//! Registry, revocation, audit log.

use axum::extract::{RawQuery, Request, State};
use zmon_domain::error::FieldError;
use zmon_domain::ids::{BedId, DeviceId, Serial};
use zmon_domain::limits;
use zmon_station::ports::{AuditPage, Page, RevocationReason};
use zmon_wire::admin::DeviceList;

use super::Api;
use super::answer::{Answer, Refused, Segment, ok, read_bytes, segment};
use super::gate::Caller;
use super::rows;

/// `POST /api/registry/import`: a manifest, all of it or nothing. Its limit is its own.
pub(super) async fn import(State(api): State<Api>, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let manifest = read_bytes(request, limits::MANIFEST_BYTES.default).await?;
    ok(&api.station.import(&proof, &manifest).await.map_err(|refusal| refusal.error)?)
}

/// `GET /api/registry/devices?offset=&limit=`.
pub(super) async fn devices(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let [offset, limit] = numbers(query.as_deref(), ["offset", "limit"])?;
    let page = Page { offset: offset.unwrap_or(0), limit: page_rows(limit) };
    ok(&DeviceList { devices: api.station.devices(&proof, page).await? })
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

/// `GET /api/registry/devices/{deviceId}`.
pub(super) async fn device(State(api): State<Api>, device: Segment, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let device = DeviceId::parse(&segment("deviceId", device)?)?;
    ok(&api.station.device(&proof, &device).await?)
}

/// `GET /api/registry/beds/{bedId}`: who has the bed now.
pub(super) async fn bed(State(api): State<Api>, bed: Segment, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let bed = BedId::parse(&segment("bedId", bed)?)?;
    ok(&DeviceList { devices: api.station.devices_at_bed(&proof, &bed).await? })
}

/// `POST /api/certificates/{serial}/revoke`.
pub(super) async fn revoke(State(api): State<Api>, serial: Segment, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let serial = Serial::parse(&segment("serial", serial)?)?;
    ok(&api.station.revoke(&proof, &serial, RevocationReason::Administrator).await?)
}

/// `GET /api/audit?after=&limit=`.
pub(super) async fn audit(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let [after, limit] = numbers(query.as_deref(), ["after", "limit"])?;
    let limit = page_rows(limit);
    let page = AuditPage { after: after.unwrap_or(0), limit };
    ok(&rows::page(api.station.audit(&proof, page).await?, limit))
}

/// `GET /api/audit/verify`.
pub(super) async fn verify_audit(State(api): State<Api>, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    ok(&rows::verdict(&api.station.verify_audit(&proof).await?))
}

fn page_rows(asked: Option<u64>) -> u32 {
    let most = u32::try_from(limits::PAGE_ROWS.max).unwrap_or(u32::MAX);
    let usual = u32::try_from(limits::PAGE_ROWS.default).unwrap_or(most);
    asked.map_or(usual, |rows| u32::try_from(rows).unwrap_or(most).clamp(1, most))
}

/// Numbers of a query string by name; anything else in it is refused.
fn numbers<const N: usize>(
    query: Option<&str>,
    names: [&'static str; N],
) -> Result<[Option<u64>; N], Refused> {
    let mut found = [None; N];
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let known = names.iter().zip(&mut found).find(|(known, _)| **known == name);
        let Some((name, slot)) = known else {
            return Err(FieldError::new("query", "must hold known names only").into());
        };
        let digits = value.bytes().all(|byte| byte.is_ascii_digit());
        let number = value.parse().ok().filter(|_| digits && slot.is_none());
        *slot = Some(number.ok_or(FieldError::new(name, "must be one whole number"))?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_strict() {
        let read = |query| numbers(Some(query), ["after", "limit"]).ok();
        assert_eq!(read(""), Some([None, None]));
        assert_eq!(read("limit=5&after=7"), Some([Some(7), Some(5)]));
        for bad in ["x=1", "after", "after=", "after=-1", "after=+1", "after=1&after=2", "limit=a"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(numbers::<1>(None, ["after"]).ok(), Some([None]));
    }

    #[test]
    fn pages_have_an_end() {
        assert_eq!(page_rows(None), 100);
        assert_eq!(page_rows(Some(0)), 1);
        assert_eq!(page_rows(Some(u64::MAX)), 1000);
    }
}
