//! Certificates, by the program that administrators have.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;

use zmon_testkit::{PASSWORD, StationOptions, TestStation, registered_with, wait};

/// Runs `zmon --json certificate …` as the administrator; tells whether it succeeded, and what it said.
fn certificate(station: &TestStation, files: &Path, args: &[&str]) -> (bool, Value) {
    let (ca, password) = (files.join("ca.pem"), files.join("password"));
    fs::write(&ca, station.anchor_pem()).unwrap();
    fs::write(&password, PASSWORD).unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    let told = Command::new(zmon_testkit::binary("zmon", "zmon"))
        .args(["--json", "certificate"])
        .args(args)
        .args(["--station", &format!("https://{}", station.operators()), "--operator", "admin"])
        .args([Path::new("--ca"), &ca, Path::new("--password-file"), &password])
        .output()
        .unwrap();
    (told.status.success(), serde_json::from_slice(&told.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_lists_and_revokes_certificates_by_command() {
    let (station, device) = registered_with(StationOptions::beside_programs()).await;
    let qr = device.open_window().await;
    station.pair(&qr).await.expect("paired");
    device.until_connected().await;
    let files = tempfile::tempdir().unwrap();
    let zmon = |args: &[&str]| certificate(&station, files.path(), args);

    let (_, current) = zmon(&["list"]);
    assert_eq!(current["total"], 1, "{current}");
    let serial = current["certificates"][0]["serial"].as_str().unwrap().to_owned();
    let (_, revoked) = zmon(&["list", "--state", "revoked"]);
    assert_eq!(revoked["certificates"], Value::Array(Vec::new()));

    let (done, answer) = zmon(&["revoke", &serial, "--reason", "key-compromise"]);
    assert!(done, "{answer}");
    assert_eq!(answer["alreadyRevoked"], false);
    let down = wait::until("the link to fall", device.link(), |link| !link.connected);
    let link = station.clock().hurry(limits::SYNC_INTERVAL.default, down).await;
    assert_eq!(link.last_error, Some(ErrorCode::CertificateRevoked));
    assert_eq!(zmon(&["revoke", &serial]).1["alreadyRevoked"], true);

    let id = current["certificates"][0]["deviceId"].as_str().unwrap();
    let (_, of_device) = zmon(&["list", "--device", id]);
    assert_eq!(of_device["certificates"][0]["state"], "revoked");
    assert_eq!(of_device["certificates"][0]["reason"], "keyCompromise");
    let (done, unknown) = zmon(&["list", "--device", "ZM-NOBODY"]);
    assert_eq!((done, unknown["code"].as_str()), (false, Some("device_unknown")));
}
