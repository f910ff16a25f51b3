//! Backup, pair, restore: what was given out in between is dead, and everybody is told. All of it with the
//! programs that ship, as an operator does it.

use std::fs;
use std::io::Write;
use std::path::Path;

use http::StatusCode;
use serde_json::Value;
use zmon_testkit::disk;

use crate::programs::{Ward, until};

/// Brings everything that was written into the file of the database itself.
async fn settle(ward: &Ward) {
    disk::sql(&ward.path("station/station.db"), "PRAGMA wal_checkpoint(TRUNCATE)").await;
}

/// Copies a file over another one, as somebody does who does not know better.
fn put(from: &Path, to: &Path) {
    let bytes = fs::read(from).unwrap();
    fs::OpenOptions::new().write(true).truncate(true).open(to).unwrap().write_all(&bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_given_out_after_the_backup_is_dead_after_the_restore_and_everybody_is_told() {
    let mut ward = Ward::start();
    let backup = ["station", "backup", "station", "--output", "backup.zmon"];
    let backup = [&backup[..], &["--passphrase-file", "passphrase"]].concat();
    let made = ward.zmon(&backup);
    assert_eq!(made["stationId"], "station-1", "{made}");
    assert!(ward.has_row("station", "station_backed_up", None));
    assert_eq!(ward.zmon(&backup)["field"], "--output", "a backup replaces none");

    // Then somebody logs in and pairs a device, twice: the second time it is told of the log of the first.
    let token = ward.log_in().await;
    ward.pair(&["enter"]);
    until("the device's link", || ward.is_connected()).await;
    let session = ward.pair(&["reprovision", "--yes"]);
    until("the device's link", || ward.is_connected()).await;
    let followed = format!("/api/provisioning/pair/{session}");
    assert_eq!(ward.ask(&followed, Some(&token), None).await.0, StatusCode::OK, "control");
    let serial = ward.administrator(&["certificate", "list"])["certificates"][0]["serial"].clone();

    // The old station must not run beside the new one; what does not come to an end leaves nothing.
    let beside = ward.restore("new", &["--old", "station"]);
    assert_eq!(beside["code"], "state_conflict");
    ward.secret("other", "another passphrase, as long");
    let wrong = ["station", "restore", "backup.zmon", "new", "--passphrase-file", "other"];
    assert_eq!(ward.zmon(&wrong)["code"], "authentication_failed");
    let mut torn = fs::read(ward.path("backup.zmon")).unwrap();
    torn.truncate(torn.len() - 1);
    fs::write(ward.path("torn.zmon"), torn).unwrap();
    let torn = ["station", "restore", "torn.zmon", "new", "--passphrase-file", "passphrase"];
    let refused = ward.run("zmon", &[&["--json"], &torn[..]].concat());
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    assert_eq!(ward.restore("bed", &[])["code"], "state_conflict", "a restore replaces nothing");
    assert_eq!((ward.drafts(), ward.path("new").exists()), (Vec::new(), false));

    // The disk of the station is gone.
    ward.stop_station();
    let restored = ward.restore("new", &[]);
    assert_eq!((&restored["success"], &restored["oldRecordRead"]), (&true.into(), &false.into()));
    assert!(restored["loginsEnded"].as_u64() >= Some(1), "{restored}");
    assert_eq!(ward.drafts(), Vec::<String>::new());
    let open_to_others = disk::reachable_by_others(&ward.path("new"));
    let is_certificate = |path: &Path| path.extension().is_some_and(|pem| pem == "pem");
    assert!(open_to_others.iter().all(|(path, _)| is_certificate(path)), "{open_to_others:?}");
    ward.serve("mock-central-station", &["run", "new"]);

    let (status, answer) = ward.ask("/api/registry/devices", Some(&token), None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "the old login: {answer}");
    let fresh = ward.log_in().await;
    let (status, answer) = ward.ask(&followed, Some(&fresh), None).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "the old session: {answer}");
    let known = ward.administrator(&["certificate", "list"]);
    assert_eq!(known["total"], 0, "the certificate {serial} is unknown: {known}");
    until("the link is refused", || !ward.is_connected()).await;
    assert!(ward.has_row("new", "station_restored", None), "the rollback is in the log");
    assert_eq!(ward.zmon(&["audit", "verify", "new"])["lanes"].as_array().unwrap().len(), 2);

    // Paired again, the device tells that the log of its station was set back.
    ward.pair(&["reprovision", "--yes"]);
    until("the device's link", || ward.is_connected()).await;
    assert!(ward.has_row("bed", "checkpoint_received", Some("audit_rolled_back")));
    let again = ward.administrator(&["certificate", "list"]);
    assert_ne!(again["certificates"][0]["serial"], serial, "no number is given out again: {again}");

    // With what is left of the old directory, the station knows what it had issued, and refuses it by name.
    let with_old = ward.restore("third", &["--old", "station"]);
    assert_eq!(
        (&with_old["oldRecordRead"], &with_old["certificatesRevoked"]),
        (&true.into(), &2.into())
    );
    assert!(with_old["rowsLost"].as_u64() > Some(5), "{with_old}");
    ward.stop_station();
    ward.serve("mock-central-station", &["run", "third"]);
    let revoked = ward.administrator(&["certificate", "list", "--state", "revoked"]);
    let serials: Vec<_> =
        revoked["certificates"].as_array().unwrap().iter().map(|c| &c["serial"]).collect();
    assert!(serials.len() == 2 && serials.contains(&&serial), "{revoked}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_database_in_the_place_of_the_newer_one_is_noticed_and_can_be_accepted() {
    let mut ward = Ward::start();
    ward.stop_station();
    let yesterday = ward.path("yesterday.db");
    settle(&ward).await;
    fs::copy(ward.path("station/station.db"), &yesterday).unwrap();
    ward.serve("mock-central-station", &["run", "station"]);
    ward.pair(&["enter"]);
    let confirm = ["station", "accept", "station", "--confirm", "station-1"];
    assert_eq!(ward.zmon(&confirm)["code"], "state_conflict", "while it runs");
    ward.stop_station();
    assert_eq!(ward.zmon(&confirm)["code"], "state_conflict", "nothing was set back");
    settle(&ward).await;
    put(&yesterday, &ward.path("station/station.db"));
    let refused = ward.run("mock-central-station", &["--json", "run", "station"]);
    let said: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!((refused.status.code(), &said["code"]), (Some(5), &"station_set_back".into()));
    assert!(said["next"].as_str().unwrap().contains("zmon station accept station"), "{said}");
    let doctor = ward.run("zmon", &["--json", "doctor", "station"]);
    assert_eq!(doctor.status.code(), Some(5));
    let said: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let findings = said["findings"].as_array().unwrap();
    let problems: Vec<_> =
        findings.iter().filter(|finding| finding["level"] == "problem").collect();
    assert_eq!((problems.len(), &problems[0]["check"]), (1, &"high water".into()), "{problems:?}");
    let backup =
        ["station", "backup", "station", "--output", "b", "--passphrase-file", "passphrase"];
    assert_eq!(ward.zmon(&backup)["code"], "station_set_back", "no backup of what is too old");

    let other = ["station", "accept", "station", "--confirm", "station-2"];
    assert_eq!(ward.zmon(&other)["field"], "--confirm");
    assert_eq!(ward.zmon(&confirm)["success"], true);
    assert!(ward.has_row("station", "set_back_accepted", None));
    ward.serve("mock-central-station", &["run", "station"]);
    assert_eq!(ward.zmon(&["doctor", "station"])["success"], true);
    ward.pair(&["reprovision", "--yes"]);
    assert_eq!(ward.zmon(&["audit", "verify", "station"])["success"], true);

    // After a copy by hand nothing need show that it is older: whoever made it says so.
    ward.stop_station();
    let restored = ward.zmon(&[&confirm[..], &["--restored"]].concat());
    assert_eq!(restored["certificatesAccepted"], 1, "{restored}");
    ward.serve("mock-central-station", &["run", "station"]);
    assert_eq!(ward.zmon(&["audit", "verify", "station"])["lanes"].as_array().unwrap().len(), 3);
}
