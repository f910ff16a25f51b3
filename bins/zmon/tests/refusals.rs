//! How commands fail: class of the exit code, stable code, next step.
#![expect(clippy::unwrap_used, reason = "a panic in a helper of a test is its report")]

use std::{fs, os::unix::fs::PermissionsExt};

use clap::Parser;
use serde_json::Value;
use zmon::{Args, run};
use zmon_cli::{ExitClass, Streams};

async fn zmon(args: &[&str]) -> (ExitClass, Value) {
    let args = Args::try_parse_from(["zmon", "--json"].iter().chain(args)).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let class = run(args, &mut Streams::new(&mut out, &mut err, false)).await;
    (class, serde_json::from_slice(&out).unwrap())
}

#[tokio::test]
async fn a_device_that_does_not_run_is_unreachable() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().to_str().unwrap();
    let (class, report) = zmon(&["device", "status", "--dir", dir]).await;
    assert_eq!(
        (class, report["code"].as_str()),
        (ExitClass::Unreachable, Some("device_not_running"))
    );
    assert_eq!(report["next"], format!("Start it: device run {dir}"));
}

#[tokio::test]
async fn a_station_that_does_not_run_is_unreachable() {
    let home = tempfile::tempdir().unwrap();
    let (ca, token_file) = (home.path().join("ca.pem"), home.path().join("token"));
    fs::write(&ca, include_str!("../../device/tests/anchor.pem")).unwrap();
    fs::write(&token_file, "token\n").unwrap();
    fs::set_permissions(&token_file, fs::Permissions::from_mode(0o600)).unwrap();
    let base = ["registry", "list", "--ca", ca.to_str().unwrap()];
    let token = ["--token-file", token_file.to_str().unwrap()];
    // Port 1 is closed on every machine that runs tests.
    let closed = [&base[..], &token, &["--station", "https://127.0.0.1:1"]].concat();
    let (class, report) = zmon(&closed).await;
    assert_eq!(
        (class, report["code"].as_str()),
        (ExitClass::Unreachable, Some("station_unreachable"))
    );

    fs::write(&ca, "no certificate").unwrap();
    let (class, report) = zmon(&closed).await;
    assert_eq!((class, report["field"].as_str()), (ExitClass::Usage, Some("--ca")));
    fs::set_permissions(&token_file, fs::Permissions::from_mode(0o644)).unwrap();
    let (class, report) = zmon(&closed).await;
    assert_eq!((class, report["field"].as_str()), (ExitClass::Usage, Some("--token-file")));
}

#[tokio::test]
async fn a_password_is_changed_with_the_present_one_not_with_a_token() {
    let home = tempfile::tempdir().unwrap();
    let file = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let (ca, token, new) = (file("ca.pem"), file("token"), file("new"));
    fs::write(&token, "token\n").unwrap();
    let (class, report) = zmon(&[
        "operator",
        "password",
        "--station",
        "https://127.0.0.1:1",
        "--ca",
        &ca,
        "--token-file",
        &token,
        "--new-password-file",
        &new,
    ])
    .await;
    assert_eq!((class, report["field"].as_str()), (ExitClass::Usage, Some("--token-file")));
}

#[tokio::test]
async fn a_directory_without_a_log_is_refused_and_a_damaged_one_is_damaged() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().to_str().unwrap();
    let (class, report) = zmon(&["audit", "verify", dir]).await;
    assert_eq!((class, report["code"].as_str()), (ExitClass::Refused, Some("not_initialised")));
    fs::write(home.path().join("device.db"), "no database at all").unwrap();
    assert_eq!(zmon(&["audit", "verify", dir]).await.0, ExitClass::Damaged);
}

#[tokio::test]
async fn a_demonstration_without_its_programs_says_how_to_build_them() {
    let home = tempfile::tempdir().unwrap();
    let (class, report) = zmon(&["demo", "--programs", home.path().to_str().unwrap()]).await;
    assert_eq!(class, ExitClass::Refused);
    assert_eq!(report["next"], "Build it first: cargo build --bins");
}

#[tokio::test]
async fn a_manifest_is_checked_before_anything_is_sent() {
    let home = tempfile::tempdir().unwrap();
    let manifest = home.path().join("manifest.jsonl");
    fs::write(&manifest, "{\"deviceId\":\"ZM-001\"}\n").unwrap();
    let (class, report) = zmon(&[
        "registry",
        "import",
        manifest.to_str().unwrap(),
        "--station",
        "https://127.0.0.1:1",
        "--ca",
        "none",
        "--operator",
        "admin",
    ])
    .await;
    assert_eq!(class, ExitClass::Usage);
    assert_eq!(report["field"], "row 1.deviceSerial");
}

#[tokio::test]
async fn an_image_without_a_code_is_a_usage_failure() {
    let home = tempfile::tempdir().unwrap();
    let image = home.path().join("screen.png");
    fs::write(&image, "no image").unwrap();
    assert_eq!(zmon(&["qr", "decode", image.to_str().unwrap()]).await.0, ExitClass::Usage);
}

#[tokio::test]
async fn an_image_that_exists_is_not_overwritten() {
    let home = tempfile::tempdir().unwrap();
    let (text, image) = (home.path().join("content.json"), home.path().join("screen.png"));
    let content = r#"{"deviceId":"ZM-001","deviceSerial":"SN-2024-001234","ipAddress":"192.168.1.100","pairingCode":"ABC-123-XYZ","pairingToken":"dG9rZW4","expiresAt":"2024-11-25T14:30:00Z","firmwareVersion":"1.2.3"}"#;
    fs::write(&text, content).unwrap();
    let show = ["qr", "show", "--text", text.to_str().unwrap(), "--png", image.to_str().unwrap()];
    assert_eq!(zmon(&show).await.0, ExitClass::Ok);
    let drawn = fs::read(&image).unwrap();
    let (class, report) = zmon(&show).await;
    assert_eq!((class, report["code"].as_str()), (ExitClass::Usage, Some("settings_invalid")));
    assert_eq!(report["field"], "--png");
    assert_eq!(fs::read(&image).unwrap(), drawn);
}

#[tokio::test]
async fn a_station_on_postgresql_is_backed_up_by_its_own_tools() {
    let home = tempfile::tempdir().unwrap();
    let (settings, passphrase) = (home.path().join("station.toml"), home.path().join("passphrase"));
    for (path, text) in [
        (&settings, "database = 'postgres://zmon:hunter2@127.0.0.1/station'\n"),
        (&passphrase, "correct horse battery staple\n"),
    ] {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let (dir, file) = (home.path().to_str().unwrap(), home.path().join("backup.zmon"));
    let backup = ["station", "backup", dir, "--output", file.to_str().unwrap()];
    let secret = ["--passphrase-file", passphrase.to_str().unwrap()];
    let (class, report) = zmon(&[&backup[..], &secret].concat()).await;
    assert_eq!((class, report["code"].as_str()), (ExitClass::Refused, Some("state_conflict")));
    assert!(report["next"].as_str().unwrap().contains("pg_dump"), "{report}");
    assert!(!report.to_string().contains("hunter2") && !file.exists());
}

#[tokio::test]
async fn a_file_that_is_no_backup_leaves_no_directory() {
    let home = tempfile::tempdir().unwrap();
    let (file, passphrase) = (home.path().join("no-backup"), home.path().join("passphrase"));
    fs::write(&file, "a letter to whom it may concern, somewhat longer than any head\n").unwrap();
    fs::write(&passphrase, "correct horse battery staple\n").unwrap();
    fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600)).unwrap();
    let dir = home.path().join("station");
    let [file, dir_text, passphrase] =
        [&file, &dir, &passphrase].map(|path| path.to_str().unwrap().to_owned());
    let restore = ["station", "restore", &file, &dir_text, "--passphrase-file", &passphrase];
    let (class, report) = zmon(&restore).await;
    assert_eq!((class, report["code"].as_str()), (ExitClass::Damaged, Some("storage_corrupt")));
    assert!(!dir.exists());
    let absent = ["station", "restore", "/nowhere", &dir_text, "--passphrase-file", &passphrase];
    assert_eq!(zmon(&absent).await.1["field"], "BACKUP");
}
