//! Enrolment by EST: credentials, and the sessions beside what was fetched (D26).

use crate::common::{at, session};
use crate::memory::{Memory, on_both_databases};
use crate::station_store::{answer, device, reservation};
use zmon_station::ports::{
    Enrolment, EnrolmentCredentialRow, Refusal, SessionRow, StationStore, StationWrite,
};

on_both_databases! {
    a_credential_is_spent_once_and_for_ever,
    a_session_says_by_what_right_its_device_enrolled,
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
    answer(&store, vec![known, permit(1), permit(2)]).await.unwrap();
    assert_eq!(store.enrolment_credential(&id).await.unwrap(), Some(credential(2)));
    for wrong in [spend(1, 1, 1000), spend(2, 1, 2001)] {
        assert_eq!(answer(&store, vec![wrong]).await, Err(Refusal::CredentialSpent));
    }
    // Together with the rest of its record, or not at all.
    let twice = vec![spend(2, 1, 2000), spend(2, 2, 2000)];
    assert_eq!(answer(&store, twice).await, Err(Refusal::CredentialSpent));
    answer(&store, vec![spend(2, 1, 2000)]).await.unwrap();
    assert_eq!(answer(&store, vec![spend(2, 1, 1500)]).await, Err(Refusal::CredentialSpent));
    drop(store);
    let store = memory.open().await;
    let spent = EnrolmentCredentialRow { spent_by: Some(session(1)), ..credential(2) };
    assert_eq!(store.enrolment_credential(&id).await.unwrap(), Some(spent));
    // Not by SQL either; another one takes its place.
    let mut sql = memory.sql().await;
    let again = "UPDATE enrolment_credentials SET spent_by = NULL";
    assert!(sql.attempt(again).await.is_err());
    answer(&store, vec![permit(3), spend(3, 2, 1000)]).await.unwrap();
}

async fn a_session_says_by_what_right_its_device_enrolled(memory: &Memory) {
    let store = memory.open().await;
    for (n, enrolment) in
        [(1, None), (2, Some(Enrolment::Credential)), (3, Some(Enrolment::Certificate))]
    {
        let row = SessionRow { enrolment, owner: None, epoch: 0, ..reservation(n, 1000) };
        let release = StationWrite::Release { session_id: row.id };
        answer(&store, vec![StationWrite::Reserve(row.clone()), release]).await.unwrap();
        let kept = SessionRow { reserved: false, ..row.clone() };
        assert_eq!(store.session(&row.id).await.unwrap(), Some(kept));
    }
    let mut sql = memory.sql().await;
    let unknown = "UPDATE sessions SET enrolment = 'guess'";
    assert!(sql.attempt(unknown).await.is_err());
}
