//! What a console lists: places, certificates by state, the newest audit rows, how many were paired.

use crate::common::{at, device_id, now, session};
use crate::memory::{Memory, on_every_store};
use crate::station_store::answer;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::ids::{BedId, DeviceLabel, DeviceSerial, OperatorId, Serial, Thumbprint, TokenId};
use zmon_domain::role::Actor;
use zmon_domain::settings::{Language, MeasurementUnit};
use zmon_protocol::station::{CertificateState, SessionPhase};
use zmon_station::ports::{
    CertificateRow, DeviceRow, DeviceStatus, Page, Place, Refusal, RevocationReason, SessionRow,
    StationRecord, StationWrite,
};

use CertificateState::{Current, Pending, Revoked};

on_every_store! {
    a_place_is_written_whole_and_the_other_settings_stay,
    certificates_of_a_state_come_in_their_order_and_in_pages,
    the_newest_rows_come_first_and_go_on_where_a_page_ended,
    only_pairings_of_operators_that_succeeded_are_counted,
}

const ALL: Page = Page { offset: 0, limit: 100 };

fn serial(n: u8) -> Serial {
    Serial::from_bytes(&[n, 7]).unwrap()
}

fn certificate(n: u8, not_after: i64) -> CertificateRow {
    CertificateRow {
        serial: serial(n),
        session: session(n),
        device_id: device_id(),
        identity_key: vec![n; 91],
        config_version: u64::from(n),
        state: Pending,
        der: vec![n; 500],
        not_before: at(1000),
        not_after: at(not_after),
        issued_at: at(1000),
        committed_at: None,
        revoked: None,
    }
}

fn revoked(n: u8, when: i64) -> StationWrite {
    StationWrite::Certificate {
        serial: serial(n),
        from: Pending,
        to: Revoked,
        at: at(when),
        reason: Some(RevocationReason::KeyCompromise),
    }
}

async fn a_place_is_written_whole_and_the_other_settings_stay(memory: &Memory) {
    let store = memory.open().await;
    let row = DeviceRow {
        id: device_id(),
        serial: DeviceSerial::parse("SN-1").unwrap(),
        identity: Thumbprint::from_bytes([1; 32]),
        status: DeviceStatus::Active,
        model: None,
        address: None,
        port: None,
        bed: BedId::parse("ICU-1").ok(),
        label: DeviceLabel::parse("old").ok(),
        unit: Some(MeasurementUnit::Imperial),
        language: Some(Language::DE),
        sync_interval: None,
        registered_at: at(1000),
    };
    answer(&*store, vec![StationWrite::ImportDevices(vec![row.clone()])]).await.unwrap();
    let place = |bed: Option<&str>, label: Option<&str>| Place {
        bed: bed.map(|bed| BedId::parse(bed).unwrap()),
        label: label.map(|label| DeviceLabel::parse(label).unwrap()),
    };
    let from_to = |from, to| StationWrite::Place { device_id: device_id(), from, to };
    let (first, second) = (place(Some("ICU-1"), Some("old")), place(Some("ICU-2"), None));
    answer(&*store, vec![from_to(first.clone(), second.clone())]).await.unwrap();
    let moved = DeviceRow { bed: BedId::parse("ICU-2").ok(), label: None, ..row.clone() };
    assert_eq!(store.device(&row.id).await.unwrap(), Some(moved));
    let third = place(None, Some("new"));
    answer(&*store, vec![from_to(second.clone(), third.clone())]).await.unwrap();
    let moved = DeviceRow { bed: None, label: DeviceLabel::parse("new").ok(), ..row.clone() };
    assert_eq!(store.device(&row.id).await.unwrap(), Some(moved.clone()));
    // Whoever believes that it stands elsewhere moves nothing.
    for stale in [first, second, Place::default(), place(Some("ICU-1"), Some("new"))] {
        let refused = answer(&*store, vec![from_to(stale, place(Some("ICU-9"), None))]).await;
        assert_eq!(refused, Err(Refusal::PlaceMoved));
    }
    assert_eq!(store.device(&row.id).await.unwrap(), Some(moved));
}

async fn certificates_of_a_state_come_in_their_order_and_in_pages(memory: &Memory) {
    let store = memory.open().await;
    let rows = [(1, 9000), (2, 8000), (3, 7000), (4, 6000)];
    let inserts = rows.map(|(n, end)| StationWrite::InsertCertificate(certificate(n, end)));
    answer(&*store, inserts.into_iter().collect()).await.unwrap();
    let listed = async |state, page| {
        let rows = store.certificates(state, page).await.unwrap();
        rows.iter().map(|row| row.serial).collect::<Vec<_>>()
    };
    assert_eq!(listed(Pending, ALL).await, [serial(4), serial(3), serial(2), serial(1)]);
    assert_eq!(listed(Pending, Page { offset: 1, limit: 2 }).await, [serial(3), serial(2)]);
    answer(&*store, vec![revoked(1, 2000), revoked(4, 3000)]).await.unwrap();
    assert_eq!(listed(Revoked, ALL).await, [serial(4), serial(1)], "the latest first");
    assert_eq!(store.count_certificates(Revoked).await.unwrap(), 2);
    assert_eq!(store.count_certificates(Current).await.unwrap(), 0);
    let row = store.certificates(Revoked, ALL).await.unwrap().swap_remove(0);
    let expected = CertificateRow {
        state: Revoked,
        revoked: Some((at(3000), RevocationReason::KeyCompromise)),
        ..certificate(4, 6000)
    };
    assert_eq!(row, expected.into());
}

async fn the_newest_rows_come_first_and_go_on_where_a_page_ended(memory: &Memory) {
    let store = memory.open().await;
    for _ in 0..5 {
        let audit = vec![AuditEvent::new(EventType::Started, Actor::System)];
        let record = StationRecord { audit, writes: Vec::new() };
        store.commit(&now(), &record).await.unwrap().unwrap();
    }
    let numbers = async |before, limit| {
        let rows = store.newest_audit(before, limit).await.unwrap();
        rows.iter().map(|row| row.sequence).collect::<Vec<_>>()
    };
    assert_eq!(numbers(0, 2).await, [5, 4]);
    assert_eq!(numbers(4, 2).await, [3, 2]);
    assert_eq!(numbers(2, 2).await, [1]);
    assert!(numbers(1, 2).await.is_empty());
    assert_eq!(numbers(u64::MAX, 9).await.len(), 5);
}

async fn only_pairings_of_operators_that_succeeded_are_counted(memory: &Memory) {
    let store = memory.open().await;
    let row = |n: u8, operator: Option<&str>, phase, opened_at| {
        StationWrite::Reserve(SessionRow {
            id: session(n),
            device_id: zmon_domain::ids::DeviceId::parse(&format!("ZM-{n}")).unwrap(),
            operator: operator.map(|name| OperatorId::parse(name).unwrap()),
            phase,
            reserved: true,
            token_id: TokenId::from_bytes([n; 16]),
            opened_at: at(opened_at),
            expires_at: at(opened_at + 900),
            error: None,
            answer: None,
            owner: None,
            epoch: 1,
            lease_until: at(opened_at + 15),
            enrolment: None,
        })
    };
    let writes = vec![
        row(1, Some("tess"), SessionPhase::Paired, 5000),
        row(2, Some("tess"), SessionPhase::Paired, 4999),
        row(3, Some("tess"), SessionPhase::Failed, 6000),
        row(4, None, SessionPhase::Paired, 6000),
    ];
    answer(&*store, writes).await.unwrap();
    assert_eq!(store.paired_since(at(5000)).await.unwrap(), 1);
    assert_eq!(store.paired_since(at(0)).await.unwrap(), 2);
}
