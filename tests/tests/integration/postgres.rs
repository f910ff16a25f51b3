//! A station that keeps its memory in PostgreSQL: the same flows, and the programs.

use core::pin::pin;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use serde_json::Value;
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_domain::state::ProvisioningStatus;
use zmon_station::ports::CertificateState;
use zmon_testkit::{
    PASSWORD, RETRIES, SimulatedDevice, StationOptions, Step, TestDatabase, TestStation, binary,
    registered_with,
};

async fn registered() -> (Arc<TestDatabase>, TestStation, SimulatedDevice) {
    let database = Arc::new(TestDatabase::create().await);
    let options =
        StationOptions { database: Some(Arc::clone(&database)), ..StationOptions::default() };
    let (station, device) = registered_with(options).await;
    assert!(!station.database().exists(), "there is no second memory");
    (database, station, device)
}

#[tokio::test]
async fn a_device_is_paired_and_outlives_a_crash_of_its_station() {
    let (_database, mut station, device) = registered().await;
    let qr = device.open_window().await;
    station.pair(&qr).await.unwrap();
    device.until_connected().await;
    assert_eq!(device.status(), ProvisioningStatus::Provisioned);
    assert_eq!(station.certificates(&device, CertificateState::Current).await.len(), 1);

    let clock = station.clock().clone();
    station.crash();
    station.restart().await;
    let again = async {
        let beats = device.faults().count(Step::Heartbeat);
        device.faults().reached(Step::Heartbeat, beats + 2).await;
        device.until_connected().await
    };
    clock.hurry(limits::LINK_BACKOFF_MAX.default, again).await;
    station.revoke(&device).await;
    assert!(station.certificates(&device, CertificateState::Current).await.is_empty());
    device.audit_verified().await;
    station.audit_verified().await;
}

#[tokio::test]
async fn while_the_database_is_gone_nobody_is_paired_and_afterwards_the_same_code_is_good() {
    let (database, station, device) = registered().await;
    let qr = device.open_window().await;
    database.set_reachable(false).await;
    for _ in 0..2 {
        let refused = station.technician().pair(&qr).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::StorageUnavailable);
    }
    assert_eq!(device.status(), ProvisioningStatus::ReadyToPair);
    database.set_reachable(true).await;
    station.pair(&qr).await.unwrap();
    device.until_connected().await;
    assert_eq!(station.certificates(&device, CertificateState::Current).await.len(), 1);
    station.audit_verified().await;
}

#[tokio::test]
async fn a_pairing_that_loses_its_database_half_way_goes_on_when_it_is_back() {
    let (database, station, device) = registered().await;
    let qr = device.open_window().await;
    let mut stall = database.stall("certificates").await;
    let outage = async {
        // The certificate is signed and cannot be recorded.
        stall.reached().await;
        database.set_reachable(false).await;
        let refused = station.stranger().log_in("tina", PASSWORD).await.err().unwrap();
        assert_eq!(refused.code(), ErrorCode::StorageUnavailable);
    };
    let mut pairing = pin!(station.technician().pair(&qr));
    tokio::select! {
        answer = &mut pairing => panic!("paired without a record: {answer:?}"),
        () = outage => {}
    }
    database.set_reachable(true).await;
    station.clock().hurry(RETRIES, pairing).await.unwrap();
    device.until_connected().await;
    assert_eq!(station.certificates(&device, CertificateState::Current).await.len(), 1);
    assert!(station.certificates(&device, CertificateState::Pending).await.is_empty());
    device.audit_verified().await;
    station.audit_verified().await;
}

fn program(package: &str, name: &str, args: &[&str]) -> Command {
    let mut command = Command::new(binary(package, name));
    command.env_clear().stdin(Stdio::null()).arg("--json").args(args);
    command
}

fn station(args: &[&str]) -> Command {
    program("zmon-mock-central-station", "mock-central-station", args)
}

fn verify(dir: &str, url: &str) -> Value {
    json(&program("zmon", "zmon", &["audit", "verify", dir, "--database", url]).output().unwrap())
}

fn json(output: &Output) -> Value {
    let read = serde_json::from_slice(&output.stdout);
    read.unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

struct Running(Child);

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        assert!(ready.pointer("/addresses/operators").is_some(), "{ready}");
        Self(child)
    }

    fn stop(mut self) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone after `stop`; a failed test must leave nothing behind.
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

#[tokio::test]
async fn the_programs_keep_and_verify_a_station_in_a_database_of_its_own() {
    let database = TestDatabase::create().await;
    let url = database.url();
    let home = tempfile::tempdir().unwrap();
    let place = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let (dir, other) = (place("station"), place("other"));
    let any = ["--listen", "127.0.0.1:0", "--device-listen", "127.0.0.1:0"];
    let init = |dir: &str, id: &str| {
        let args = ["init", dir, "--station-id", id, "--database", &url];
        station(&[&args[..], &any].concat())
    };

    // A database that is not there leaves no directory behind.
    let absent = ["init", &dir, "--database", "postgres://zmon:hunter2@127.0.0.1:1/zmon"];
    let refused = station(&absent).output().unwrap();
    assert_eq!(json(&refused)["code"], "storage_unavailable");
    assert!(!String::from_utf8_lossy(&refused.stdout).contains("hunter2"));
    assert!(!Path::new(&dir).exists());

    assert_eq!(json(&init(&dir, "one").output().unwrap())["success"], true);
    assert!(!Path::new(&dir).join("station.db").exists());
    let taken = init(&other, "two").output().unwrap();
    assert_eq!(json(&taken)["code"], "state_conflict");
    assert!(!Path::new(&other).exists());

    // `init` wrote the URL into the settings.
    let running = Running::start(station(&["run", &dir]));
    let verified = verify(&dir, &url);
    assert_eq!(
        (&verified["success"], &verified["lanes"][0]["lane"]),
        (&true.into(), &"station:one".into())
    );
    assert!(verified["rows"].as_u64().unwrap() >= 3, "{verified}");
    running.stop();

    // Another station's directory, its database named by the environment.
    let made = station(&[&["init", &other, "--station-id", "two"], &any[..]].concat()).output();
    assert_eq!(json(&made.unwrap())["success"], true);
    let mut wrong = station(&["run", &other]);
    let wrong = json(&wrong.env("STATION_DATABASE", &url).output().unwrap());
    assert_eq!(wrong["code"], "state_conflict");
    let empty = TestDatabase::create().await;
    let unmade = json(&station(&["run", &other, "--database", &empty.url()]).output().unwrap());
    assert_eq!(unmade["code"], "not_initialised");
    assert_eq!(verify(&dir, "station.db")["field"], "--database");

    Running::start(station(&["run", &dir])).stop();
    assert_eq!(verify(&dir, &url)["success"], true);
}
