//! A factory reset with a new identity (D21), by the shipped program: the old key's last words still
//! reach the station, and the new key is a stranger's until an administrator says otherwise.

use zmon_domain::error::ErrorCode;
use zmon_domain::ids::DeviceId;
use zmon_station::ports::{CertificateState, StationStore};
use zmon_testkit::{ApiError, DeviceProgram, PIN, StationOptions, TestStation, binary, wait};
use zmon_wire::control::{ControlAnswer, ControlRequest};
use zmon_wire::secret::SecretText;
use zmon_wire::strict;

async fn done(device: &DeviceProgram, request: &ControlRequest) {
    let answer = device.ask(request).await;
    assert!(matches!(answer, Ok(ControlAnswer::Done {})), "{answer:?}");
}

/// How many of the device's certificates are in this state.
async fn certificates(station: &TestStation, state: CertificateState) -> usize {
    let id = DeviceId::parse("ZM-001").unwrap();
    let store: &dyn StationStore = &**station.store();
    store.certificates_of_device(&id, state).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_identity_is_refused_until_an_administrator_gives_it_to_the_registry() {
    let station = TestStation::start_with(StationOptions::beside_programs()).await;
    let _time = station.clock().run();
    let mut device = DeviceProgram::init(&station, binary("zmon-device", "device"));
    let old = device.manifest();
    station.import(old.clone()).await;
    device.start();
    station.pair(&device.open_window().await).await.unwrap();

    let operator = || "admin".parse().unwrap();
    let reset = ControlRequest::FactoryReset {
        operator: operator(),
        pin: SecretText::new(PIN),
        confirmation: "ZM-001".parse().unwrap(),
        new_identity: true,
    };
    done(&device, &reset).await;
    let first =
        ControlRequest::CreateAdministrator { operator: operator(), pin: SecretText::new(PIN) };
    let again = || async {
        // Between the two runs nobody answers; the one that ends refuses.
        device.ask(&first).await.is_ok().then_some(())
    };
    wait::eventually("the second start", again).await;
    let new = device.manifest();
    assert_ne!(new.identity_key, old.identity_key);
    assert_eq!((&new.device_id, &new.device_serial), (&old.device_id, &old.device_serial));

    // What the old key signed before it went is verified with the key on record.
    let retired =
        || async { (certificates(&station, CertificateState::Revoked).await == 1).then_some(()) };
    wait::eventually("the old certificate's end", retired).await;
    let emptied = || async { (device.status().await.retirements_waiting == 0).then_some(()) };
    wait::eventually("an empty queue", emptied).await;

    let refused = station.pair(&device.open_window().await).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::DeviceKeyConflict);
    done(&device, &ControlRequest::Cancel {}).await;

    let body = String::from_utf8(strict::to_vec(&[&new]).unwrap()).unwrap();
    let path = "/api/registry/devices/ZM-001/rekey";
    let technician = station.technician().post_json(path, body.clone()).await;
    assert_eq!(technician.map_err(|error: ApiError| error.code()), Err(ErrorCode::NotPermitted));
    station.administrator().post_json(path, body).await.unwrap();
    station.pair(&device.open_window().await).await.unwrap();
    assert_eq!(certificates(&station, CertificateState::Current).await, 1);

    device.kill();
    // Its log is whole under the new key, the old key's checkpoints included.
    assert!(device.on_disk().await.slot_a.is_some());
    station.audit_verified().await;
}
