//! Enrolment by EST: credentials, and the sessions beside what was fetched (D26).

use crate::common::{at, session};
use crate::memory::{Memory, on_both_databases, on_every_store};
use crate::station_store::{answer, certificate, device, reservation};
use zmon_domain::ids::Thumbprint;
use zmon_protocol::station::CertificateState;
use zmon_station::ports::{
    CertificateRow, DeviceStatus, Enrolment, EnrolmentCredentialRow, Refusal, RevocationReason,
    SessionRow, StationWrite,
};

on_every_store! { an_unspent_credential_ends_with_the_trust_in_its_device, }

mod by_sql {
    use super::*;

    on_both_databases! {
        a_credential_is_spent_once_and_for_ever,
        a_session_says_by_what_right_its_device_enrolled,
    }
}

fn credential(hash: u8) -> EnrolmentCredentialRow {
    EnrolmentCredentialRow {
        device_id: device(1).id,
        hash: [hash; 32],
        expires_at: at(2000),
        spent_by: None,
    }
}

fn spend(hash: u8, by: u8, when: i64) -> StationWrite {
    StationWrite::SpendCredential {
        device_id: device(1).id,
        hash: [hash; 32],
        session_id: session(by),
        at: at(when),
    }
}

async fn a_credential_is_spent_once_and_for_ever(memory: &Memory) {
    let store = memory.open().await;
    let id = device(1).id;
    let known = StationWrite::ImportDevices(vec![device(1)]);
    assert_eq!(store.enrolment_credential(&id).await.unwrap(), None);
    let permit = |hash| StationWrite::PermitEnrolment(credential(hash));
    answer(&*store, vec![known, permit(1), permit(2)]).await.unwrap();
    assert_eq!(store.enrolment_credential(&id).await.unwrap(), Some(credential(2)));
    for wrong in [spend(1, 1, 1000), spend(2, 1, 2001)] {
        assert_eq!(answer(&*store, vec![wrong]).await, Err(Refusal::CredentialSpent));
    }
    // Together with the rest of its record, or not at all.
    let twice = vec![spend(2, 1, 2000), spend(2, 2, 2000)];
    assert_eq!(answer(&*store, twice).await, Err(Refusal::CredentialSpent));
    answer(&*store, vec![spend(2, 1, 2000)]).await.unwrap();
    assert_eq!(answer(&*store, vec![spend(2, 1, 1500)]).await, Err(Refusal::CredentialSpent));
    drop(store);
    let store = memory.open().await;
    let spent = EnrolmentCredentialRow { spent_by: Some(session(1)), ..credential(2) };
    assert_eq!(store.enrolment_credential(&id).await.unwrap(), Some(spent));
    // Not by SQL either; another one takes its place.
    let mut sql = memory.sql().await;
    let again = "UPDATE enrolment_credentials SET spent_by = NULL";
    assert!(sql.attempt(again).await.is_err());
    answer(&*store, vec![permit(3), spend(3, 2, 1000)]).await.unwrap();
}

async fn an_unspent_credential_ends_with_the_trust_in_its_device(memory: &Memory) {
    use CertificateState::{Current, Pending, Revoked};
    let store = memory.open().await;
    let id = device(1).id;
    let of_device = |n| CertificateRow { device_id: device(1).id, ..certificate(n) };
    let other = EnrolmentCredentialRow { device_id: device(2).id, ..credential(9) };
    let devices = StationWrite::ImportDevices(vec![device(1), device(2)]);
    answer(&*store, vec![devices, StationWrite::PermitEnrolment(other.clone())]).await.unwrap();
    let shift = |n, from, to, reason| StationWrite::Certificate {
        serial: certificate(n).serial,
        from,
        to,
        at: at(1500),
        reason,
    };
    let permit = || StationWrite::PermitEnrolment(credential(1));
    let key = |n| Thumbprint::from_bytes([n; 32]);
    let rekey = |from, to| StationWrite::Rekey { device_id: device(1).id, from, to };
    let status = |status| StationWrite::DeviceStatus { device_id: device(1).id, status };

    for (n, reason) in (1..).zip(RevocationReason::ALL) {
        let insert = StationWrite::InsertCertificate(of_device(n));
        answer(&*store, vec![insert, shift(n, Pending, Current, None), permit()]).await.unwrap();
        answer(&*store, vec![shift(n, Current, Revoked, Some(reason))]).await.unwrap();
        let kept = store.enrolment_credential(&id).await.unwrap();
        let ends = !matches!(reason, RevocationReason::Aborted | RevocationReason::Superseded);
        assert_eq!(kept.is_none(), ends, "{reason:?}");
    }
    answer(&*store, vec![permit(), rekey(key(1), key(7))]).await.unwrap();
    assert_eq!(store.enrolment_credential(&id).await.unwrap(), None, "another key");
    // What is refused ends nothing.
    answer(&*store, vec![permit(), status(DeviceStatus::Active)]).await.unwrap();
    assert_eq!(answer(&*store, vec![rekey(key(1), key(8))]).await, Err(Refusal::KeyMoved));
    assert_eq!(store.enrolment_credential(&id).await.unwrap(), Some(credential(1)));
    // What is spent stays known as spent.
    answer(&*store, vec![spend(1, 1, 1000), rekey(key(7), key(8))]).await.unwrap();
    let spent = EnrolmentCredentialRow { spent_by: Some(session(1)), ..credential(1) };
    assert_eq!(store.enrolment_credential(&id).await.unwrap(), Some(spent));
    answer(&*store, vec![StationWrite::PermitEnrolment(credential(2))]).await.unwrap();
    answer(&*store, vec![status(DeviceStatus::Decommissioned)]).await.unwrap();
    assert_eq!(store.enrolment_credential(&id).await.unwrap(), None, "out of service");
    assert_eq!(store.enrolment_credential(&device(2).id).await.unwrap(), Some(other));
}

async fn a_session_says_by_what_right_its_device_enrolled(memory: &Memory) {
    let store = memory.open().await;
    for (n, enrolment) in
        [(1, None), (2, Some(Enrolment::Credential)), (3, Some(Enrolment::Certificate))]
    {
        let row = SessionRow { enrolment, owner: None, epoch: 0, ..reservation(n, 1000) };
        let release = StationWrite::Release { session_id: row.id };
        answer(&*store, vec![StationWrite::Reserve(row.clone()), release]).await.unwrap();
        let kept = SessionRow { reserved: false, ..row.clone() };
        assert_eq!(store.session(&row.id).await.unwrap(), Some(kept));
    }
    let mut sql = memory.sql().await;
    let unknown = "UPDATE sessions SET enrolment = 'guess'";
    assert!(sql.attempt(unknown).await.is_err());
}
