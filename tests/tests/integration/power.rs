//! Power cuts before and after every transaction of a pairing: wholly old or wholly new, and it says
//! which (D13). The same by `kill -9` of the shipped program is in `kill`.

use zmon_domain::error::ErrorCode;
use zmon_domain::state::ProvisioningState;
use zmon_station::ports::CertificateState;
use zmon_testkit::{
    DOUBT, Kind, RETRIES, SimulatedDevice, StationOptions, Step, TestStation, paired, registered,
    registered_with, wait,
};

/// Transactions of one pairing after the window was opened: claim, slot B, commit sent, flip.
const TRANSACTIONS: u32 = 4;

/// Pairs, and cuts the device's power at transaction `number`: before it (`Crash`) or after it
/// (`Drop`). Then switches it on and lets it come to rest.
async fn cut(
    station: &TestStation,
    device: &mut SimulatedDevice,
    number: u32,
    kind: Kind,
) -> ProvisioningState {
    let qr = device.open_window().await;
    device.faults().after(number, Step::Store, kind);
    let tablet = station.technician().clone();
    let pairing = tokio::spawn(async move { tablet.try_pair(&qr).await });
    station.clock().hurry(RETRIES, device.until_crashed()).await;
    device.faults().clear();
    device.start().await.unwrap();
    let rest = device.until("a state of rest", |view| {
        matches!(
            view.state,
            ProvisioningState::NotProvisioned
                | ProvisioningState::Provisioned
                | ProvisioningState::Error
        )
    });
    let view = station.clock().hurry(DOUBT, rest).await;
    pairing.abort();
    view.state
}

#[tokio::test]
async fn a_first_pairing_survives_a_power_cut_at_every_transaction() {
    for kind in [Kind::Crash, Kind::Drop] {
        for number in 0..TRANSACTIONS {
            let (station, mut device) = registered().await;
            let state = cut(&station, &mut device, number, kind).await;
            let current = station.certificates(&device, CertificateState::Current).await;
            let boot = device.store().load().await.unwrap();
            match state {
                ProvisioningState::Provisioned => {
                    assert_eq!(current.len(), 1, "{kind:?} {number}");
                    assert_eq!(boot.slot_a.unwrap().serial, current[0].serial);
                    device.until_connected().await;
                }
                _ => {
                    assert!(current.is_empty(), "{kind:?} {number}");
                    assert!(boot.slot_a.is_none());
                }
            }
            assert!(boot.slot_b.is_none() && !boot.window_open, "{kind:?} {number}");
            // Until the commit is marked sent nothing counts; from then on the station's word does:
            // it never heard of a commit that was marked and not sent.
            let durable = number + u32::from(kind == Kind::Drop);
            let expected = match (durable, kind) {
                (0..=2, _) => ProvisioningState::NotProvisioned,
                (3, Kind::Drop) => ProvisioningState::Error,
                _ => ProvisioningState::Provisioned,
            };
            assert_eq!(state, expected, "{kind:?} {number}");
            device.audit_verified().await;
            station.audit_verified().await;
        }
    }
}

#[tokio::test]
async fn a_reprovisioning_survives_a_power_cut_at_every_transaction() {
    for kind in [Kind::Crash, Kind::Drop] {
        for number in 0..TRANSACTIONS {
            let (station, mut device) = paired().await;
            let old = device.credentials().await.client_chain;
            let state = cut(&station, &mut device, number, kind).await;
            assert_eq!(state, ProvisioningState::Provisioned, "never neither");
            let clock = station.clock();
            clock.hurry(DOUBT, device.until_connected()).await;
            let current = station.certificates(&device, CertificateState::Current).await;
            let boot = device.store().load().await.unwrap();
            let slot = boot.slot_a.unwrap();
            assert_eq!(current.len(), 1, "never two");
            assert_eq!(slot.serial, current[0].serial, "{kind:?} {number}: both sides agree");
            assert!(boot.slot_b.is_none() && !boot.window_open);
            let is_old = slot.credentials().unwrap().client_chain == old;
            assert!(number > 1 || is_old, "{kind:?} {number}: nothing was staged yet");
            device.audit_verified().await;
            station.audit_verified().await;
        }
    }
}

#[tokio::test]
async fn an_open_window_does_not_survive_a_power_cut() {
    let (station, mut device) = registered_with(StationOptions::impatient()).await;
    let qr = device.open_window().await;
    device.crash();
    device.start().await.unwrap();
    assert_eq!(device.state(), ProvisioningState::NotProvisioned);
    let refused = station.pair(&qr).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::DeviceUnreachable);
    let events = device.events().await;
    let voided = zmon_domain::audit::EventType::WindowVoidedByRestart;
    assert!(events.iter().any(|(event, _)| *event == voided));
}

#[tokio::test]
async fn a_station_that_dies_at_any_step_of_a_pairing_goes_on_with_it() {
    for step in [Step::Dial, Step::Session, Step::Identity, Step::Issue, Step::Deliver] {
        let (mut station, device) = registered().await;
        let qr = device.open_window().await;
        station.faults().order(step, Kind::Crash);
        let tablet = station.technician().clone();
        assert!(tablet.try_pair(&qr).await.is_err(), "{step:?}: the connection broke");
        station.crash();
        station.faults().clear();
        station.restart().await;

        // Nobody goes back to the monitor: the same session ends as if nothing had been.
        let clock = station.clock().clone();
        clock.hurry(RETRIES, device.until_connected()).await;
        let current = station.certificates(&device, CertificateState::Current).await;
        let [current] = &current[..] else { panic!("{step:?}: {current:?}") };
        for state in [CertificateState::Pending, CertificateState::Revoked] {
            assert!(station.certificates(&device, state).await.is_empty(), "{step:?}: one, once");
        }
        let over = || async { station.technician().result(current.session).await.ok() };
        wait::eventually("the end of the session", over).await;
        let again = station.technician().pair(&qr).await.unwrap_err();
        assert_eq!(again.code(), ErrorCode::PairingCodeConsumed, "{step:?}");
        assert!(again.problem.instance.unwrap().ends_with(&current.session.to_string()));
        station.audit_verified().await;
        device.audit_verified().await;
    }
}
