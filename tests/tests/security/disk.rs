//! What lies on the disks of both sides (D19, [W §10.2]).

use std::path::PathBuf;

use zmon_domain::state::ProvisioningState;
use zmon_provisioning::IProvisioningService;
use zmon_testkit::{Kind, PASSWORD, PIN, SimulatedDevice, Step, TestStation, disk, registered};
use zmon_wire::b64;
use zmon_wire::qr::QrContent;

/// Every form in which a secret may lie about.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let standard = b64::encode_standard(secret).into_bytes();
    vec![
        secret.to_vec(),
        hex.clone().into_bytes(),
        hex.to_uppercase().into_bytes(),
        b64::encode_url(secret).into_bytes(),
        standard[..standard.len() - 4].to_vec(),
    ]
}

fn found(dirs: &[&std::path::Path], secrets: &[(&'static str, Vec<u8>)]) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for (name, secret) in secrets {
        assert!(secret.len() >= 6, "{name} is too short to look for");
        for form in forms(secret) {
            for dir in dirs {
                let files = disk::files_with(dir, &form);
                found.extend(files.into_iter().map(|file| ((*name).to_owned(), file)));
            }
        }
    }
    found
}

/// What a pairing is opened with: the code in both spellings, the token in both.
fn of_the_screen(qr: &QrContent) -> Vec<(&'static str, Vec<u8>)> {
    let code = qr.pairing_code.expose();
    let token = qr.pairing_token.expose();
    vec![
        ("code", code.as_bytes().to_vec()),
        ("code without dashes", code.replace('-', "").into_bytes()),
        ("token", token.as_bytes().to_vec()),
        ("token bytes", b64::decode_url(token).unwrap()),
    ]
}

/// The PKCS#8 of a P-256 key, and its scalar alone.
fn of_a_key(pkcs8: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    // The first: the same two bytes may be in the public key, which is behind it and no secret.
    let at = pkcs8.windows(2).position(|window| window == [0x04, 0x20]).unwrap() + 2;
    vec![("private key", pkcs8.to_vec()), ("private scalar", pkcs8[at..at + 32].to_vec())]
}

fn dirs<'a>(station: &'a TestStation, device: &'a SimulatedDevice) -> [&'a std::path::Path; 2] {
    [station.directory(), device.directory()]
}

#[tokio::test]
async fn no_secret_lies_in_clear_on_either_disk_at_any_time() {
    let (station, device) = registered().await;
    let mut secrets = vec![
        ("PIN", PIN.as_bytes().to_vec()),
        ("password", PASSWORD.as_bytes().to_vec()),
        ("technician's bearer", station.technician().token().as_bytes().to_vec()),
        ("administrator's bearer", station.administrator().token().as_bytes().to_vec()),
    ];
    let qr = device.open_window().await;
    secrets.extend(of_the_screen(&qr));
    assert_eq!(found(&dirs(&station, &device), &secrets), [], "with an open window");

    device.faults().order(Step::Commit, Kind::Delay);
    let tablet = station.technician().clone();
    let pairing = tokio::spawn(async move { tablet.pair(&qr).await });
    device.faults().reached(Step::Commit, 1).await;
    let (slot, _) = device.store().load().await.unwrap().slot_b.unwrap();
    secrets.extend(of_a_key(slot.client_key.expose()));
    assert_eq!(found(&dirs(&station, &device), &secrets), [], "with a staged slot");

    device.faults().clear();
    pairing.await.unwrap().unwrap();
    device.until_connected().await;
    assert_eq!(found(&dirs(&station, &device), &secrets), [], "provisioned");

    // The same search finds what is there.
    let known = [("device id", device.id().as_str().as_bytes().to_vec())];
    let files: Vec<_> = found(&dirs(&station, &device), &known);
    for database in [station.database(), device.database()] {
        let wal = database.with_extension("db-wal");
        assert!(
            files.iter().any(|(_, file)| *file == database || *file == wal),
            "{} is not searched",
            database.display()
        );
    }
    let planted = device.directory().join("planted");
    std::fs::write(&planted, &secrets.last().unwrap().1).unwrap();
    assert!(!found(&dirs(&station, &device), &secrets).is_empty(), "the search finds a leak");
}

#[tokio::test]
async fn a_replaced_key_and_a_deprovisioned_one_are_gone() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    station.pair(&qr).await.unwrap();
    device.until_connected().await;
    let keys = |device: &SimulatedDevice| disk::files(&device.directory().join("slots")).len();
    assert_eq!(keys(&device), 1);
    let qr = device.open_window().await;
    station.pair(&qr).await.unwrap();
    device.until_state(ProvisioningState::Provisioned).await;
    assert_eq!(keys(&device), 1, "the old slot's secret is destroyed");
    let proof = device.administrator().await;
    device.service().deprovision_device(proof).await.unwrap();
    assert_eq!(keys(&device), 0);
}

#[tokio::test]
async fn files_are_private_to_their_owner() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    station.pair(&qr).await.unwrap();
    device.until_connected().await;
    assert_eq!(disk::reachable_by_others(device.directory()), []);
    assert_eq!(disk::reachable_by_others(station.directory()), []);
    let files = disk::files(device.directory());
    for name in ["root.key", "identity.key", "device.db", "operators.json"] {
        assert!(files.iter().any(|file| file.ends_with(name)), "{name} is not among {files:?}");
    }
}
