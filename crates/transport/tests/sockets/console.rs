//! What the console asks: each answer a shape, each wrong question refused by name, each role its own.

use http::Method;
use zmon_domain::error::ErrorCode;
use zmon_domain::role::Role;
use zmon_transport::client::{Answer, Ask};
use zmon_wire::admin::DeviceList;
use zmon_wire::audit::AuditPage;
use zmon_wire::fleet::{CertificateList, OperatorAnswer, OperatorList, Overview, PolicyView};
use zmon_wire::strict;

use crate::world::{World, problem};

fn read<T: serde::de::DeserializeOwned>(answer: &Answer) -> T {
    assert_eq!(answer.status, 200, "{answer:?}");
    strict::parse(&answer.body, 65_536).unwrap()
}

const MANIFEST: &str = concat!(
    r#"[{"deviceId":"ZM-001","deviceSerial":"SN-1","bedId":"ICU-3B","identityKey":""#,
    "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef",
    r#""},{"deviceId":"ZM-002","deviceSerial":"SN-2","identityKey":""#,
    "ff112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef",
    r#""}]"#
);

async fn with_devices() -> World {
    let world = World::open().await;
    let mut ada = world.administrator().await;
    assert_eq!(ada.post("/api/registry/import", MANIFEST).await.status, 200);
    world
}

#[tokio::test]
async fn devices_are_filtered_and_counted() {
    let world = with_devices().await;
    let mut ada = world.administrator().await;
    let list: DeviceList = read(&ada.get("/api/registry/devices?limit=1").await);
    assert_eq!((list.total, list.devices.len()), (2, 1));
    let list: DeviceList =
        read(&ada.get("/api/registry/devices?text=icu-3b&state=unprovisioned&order=bed").await);
    assert_eq!((list.total, list.devices[0].device_id.as_str()), (1, "ZM-001"));
    let list: DeviceList = read(&ada.get("/api/registry/devices?state=connected").await);
    assert_eq!(list.total, 0);
    for (bad, field) in [
        ("state=asleep", "state"),
        ("order=age", "order"),
        ("offset=-1", "offset"),
        ("limit=1&limit=2", "limit"),
        ("text=%00", "text"),
        ("colour=red", "query"),
    ] {
        let refused = problem(&ada.get(&format!("/api/registry/devices?{bad}")).await);
        assert_eq!(refused.code, ErrorCode::RequestMalformed, "{bad}");
        assert_eq!(refused.field.as_deref(), Some(field), "{bad}");
        assert!(refused.rule.is_some(), "{bad}");
    }
}

#[tokio::test]
async fn lists_figures_and_policy_are_for_every_role() {
    let world = with_devices().await;
    for (name, role) in [("tess", Role::Technician), ("audrey", Role::Auditor)] {
        let mut operator = world.operator(name, role).await;
        let figures: Overview = read(&operator.get("/api/overview").await);
        assert_eq!((figures.active, figures.provisioned), (2, 0));
        let policy: PolicyView = read(&operator.get("/api/policy").await);
        assert_eq!((policy.station_id.as_str(), policy.version.as_str()), ("CS-1", "0.1.0"));
        for query in ["", "?state=revoked&limit=5", "?deviceId=ZM-001"] {
            let path = format!("/api/certificates{query}");
            let list: CertificateList = read(&operator.get(&path).await);
            assert_eq!(list.total, 0, "{query}");
        }
    }
    let mut ada = world.administrator().await;
    for (bad, field) in [
        ("state=lost", "state"),
        ("deviceId=a%20b", "deviceId"),
        ("state=current&deviceId=ZM-001", "deviceId"),
    ] {
        let refused = problem(&ada.get(&format!("/api/certificates?{bad}")).await);
        assert_eq!(refused.field.as_deref(), Some(field), "{bad}");
    }
    let unknown = problem(&ada.get("/api/certificates?deviceId=ZM-404").await);
    assert_eq!(unknown.code, ErrorCode::DeviceUnknown);
}

#[tokio::test]
async fn a_technician_moves_and_does_not_take_out_of_service() {
    let world = with_devices().await;
    let mut tess = world.operator("tess", Role::Technician).await;
    let place = "/api/registry/devices/ZM-002/place";
    let moved = tess.post(place, r#"{"bedId":"ICU-9","deviceLabel":"Door"}"#).await;
    assert!(std::str::from_utf8(&moved.body).unwrap().contains(r#""bedId":"ICU-9""#));
    let refused = problem(&tess.post(place, r#"{"bedId":"a b"}"#).await);
    assert_eq!(refused.field.as_deref(), Some("bedId"));
    let gone = "/api/registry/devices/ZM-002/decommission";
    assert_eq!(problem(&tess.post(gone, "").await).code, ErrorCode::NotPermitted);
    let mut audrey = world.operator("audrey", Role::Auditor).await;
    assert_eq!(problem(&audrey.post(place, "{}").await).code, ErrorCode::NotPermitted);
    let mut ada = world.administrator().await;
    assert_eq!(&ada.post(gone, "").await.body[..], br#"{"success":true}"#);
    let list: DeviceList = read(&ada.get("/api/registry/devices?state=decommissioned").await);
    assert_eq!(list.devices[0].device_id.as_str(), "ZM-002");
    let refused = problem(&tess.post(place, "{}").await);
    assert_eq!(refused.code, ErrorCode::DeviceDecommissioned);
}

#[tokio::test]
async fn accounts_are_listed_made_barred_and_given_a_new_password() {
    let world = World::open().await;
    let mut ada = world.administrator().await;
    let made: OperatorAnswer =
        read(&ada.post("/api/operators", r#"{"operator":"self","role":"technician"}"#).await);
    let password = made.one_time_password.unwrap();
    let list: OperatorList = read(&ada.get("/api/operators").await);
    let names: Vec<_> = list.operators.iter().map(|row| row.operator.as_str()).collect();
    assert_eq!(names, ["ada", "self"]);
    assert!(list.operators[1].one_time && !list.operators[1].disabled);

    let mut theirs = world.tablet().await;
    theirs.log_in("self", password.expose()).await;
    let refused = problem(&theirs.get("/api/overview").await);
    assert_eq!(refused.code, ErrorCode::PasswordChangeRequired);
    let again: OperatorAnswer = read(&ada.post("/api/operators/self/one-time-password", "").await);
    assert_ne!(again.one_time_password.unwrap().expose(), password.expose());
    let access = "/api/operators/self/access";
    assert_eq!(ada.post(access, r#"{"disabled":true}"#).await.status, 200);
    let list: OperatorList = read(&ada.get("/api/operators").await);
    assert!(list.operators[1].disabled);
    let refused = problem(&ada.post("/api/operators/ada/access", r#"{"disabled":true}"#).await);
    assert_eq!(refused.field.as_deref(), Some("operator"));
    let refused = problem(&ada.post("/api/operators/ghost/one-time-password", "").await);
    assert_eq!(refused.code, ErrorCode::OperatorUnknown);
    let mut tess = world.operator("tess", Role::Technician).await;
    assert_eq!(problem(&tess.get("/api/operators").await).code, ErrorCode::NotPermitted);
    assert_eq!(
        problem(&tess.post(access, r#"{"disabled":false}"#).await).code,
        ErrorCode::NotPermitted
    );
}

#[tokio::test]
async fn a_reason_of_revocation_is_one_of_two() {
    let world = World::open().await;
    let mut ada = world.administrator().await;
    let revoke = "/api/certificates/0a/revoke";
    for body in ["", "{}", r#"{"reason":"administrator"}"#, r#"{"reason":"keyCompromise"}"#] {
        let refused = problem(&ada.post(revoke, body).await);
        assert_eq!(refused.code, ErrorCode::CertificateUnknown, "{body}");
    }
    for body in [r#"{"reason":"aborted"}"#, r#"{"reason":7}"#, r#"{"why":1}"#, "[]", "x"] {
        let refused = problem(&ada.post(revoke, body).await);
        assert_eq!(refused.code, ErrorCode::RequestMalformed, "{body}");
    }
    let form = Ask::post(revoke, "text/plain", "{}").method(Method::POST);
    assert_eq!(ada.send(form).await.status, 415);
}

#[tokio::test]
async fn the_audit_log_is_read_from_its_newest_row() {
    let world = World::open().await;
    let mut ada = world.administrator().await;
    let first: AuditPage = read(&ada.get("/api/audit?before=0&limit=2").await);
    let newest = first.rows[0].seq;
    assert_eq!(first.rows[1].seq, newest - 1);
    assert_eq!(first.next, Some(newest - 1));
    let second: AuditPage = read(&ada.get(&format!("/api/audit?before={}", newest - 1)).await);
    assert_eq!(second.rows[0].seq, newest - 2);
    assert_eq!((second.rows.last().unwrap().seq, second.next), (1, None));
    let refused = problem(&ada.get("/api/audit?before=3&after=1").await);
    assert_eq!(refused.field.as_deref(), Some("before"));
}
