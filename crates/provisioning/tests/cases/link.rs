//! The monitoring link.

use core::time::Duration;

use crate::common::pass;
use zmon_domain::error::ErrorCode;
use zmon_domain::role::Role;
use zmon_provisioning::{CentralStationProvisioningService, IProvisioningService};

use crate::common::{Bench, settle};

async fn paired(bench: &Bench, sync_interval: u64) -> CentralStationProvisioningService {
    *bench.station.sync_interval.lock().unwrap() = sync_interval;
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    bench.pair(&service).await.unwrap();
    settle().await;
    service
}

fn gaps(bench: &Bench) -> Vec<Duration> {
    bench.beats().windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[tokio::test(start_paused = true)]
async fn the_sync_interval_drives_the_heartbeats() {
    for seconds in [1, 7, 10, 3600] {
        let bench = Bench::new();
        let service = paired(&bench, seconds).await;
        let interval = Duration::from_secs(seconds);
        pass(interval * 5 + Duration::from_millis(1)).await;
        assert_eq!(gaps(&bench), [interval; 5], "every {seconds} s");
        let status = service.link().borrow().clone();
        assert_eq!(status.uptime, interval * 5);
        assert!(status.bytes_sent > 0 && status.bytes_received > 0);
        assert_eq!(status.errors, 0);
        assert_eq!(status.last_connected, Some(bench.now()));
        assert_eq!(status.server_url, service.view().borrow().server_url);
        let expires = service.view().borrow().certificate.unwrap().not_after;
        assert!(expires.is_some_and(|at| at > bench.now()));
        assert_eq!(status.certificate_expires, expires);
    }
}

#[tokio::test(start_paused = true)]
async fn heartbeats_are_numbered_and_say_the_state() {
    let bench = Bench::new();
    let service = paired(&bench, 10).await;
    pass(Duration::from_secs(25)).await;
    let numbers: Vec<u64> = bench.link.beats.lock().unwrap().iter().map(|(_, n)| *n).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert!(service.link().borrow().connected);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_carries_the_checkpoint_that_the_station_has_not_got() {
    let bench = Bench::new();
    let service = paired(&bench, 10).await;
    let make = |name: &str| *bench.store.checkpoint.lock().unwrap() = Some(name.to_owned());
    make("one");
    pass(Duration::from_secs(31)).await;
    make("two");
    bench.set_deaf(true);
    pass(Duration::from_secs(60)).await;
    bench.set_deaf(false);
    pass(Duration::from_secs(120)).await;
    let carried: Vec<_> =
        bench.link.checkpoints.lock().unwrap().iter().flatten().cloned().collect();
    assert_eq!(carried, ["one", "two"], "each once, whatever was lost on the way");
    assert!(service.link().borrow().connected);
}

#[tokio::test(start_paused = true)]
async fn a_lost_station_is_tried_with_growing_pauses_until_it_is_back() {
    let bench = Bench::new();
    let service = paired(&bench, 10).await;
    bench.set_deaf(true);
    pass(Duration::from_secs(300)).await;
    let lost = service.link().borrow().clone();
    assert!(!lost.connected && lost.uptime.is_zero());
    assert_eq!(lost.last_error, Some(ErrorCode::StationUnreachable));
    // 1 + 2 + 4 + 8 + 16 + 32 + 60 + … seconds, each shortened by up to a half.
    assert!((7..=16).contains(&lost.errors), "{} tries in five minutes", lost.errors);
    assert!(service.view().borrow().is_provisioned, "a lost link is not a lost configuration");
    bench.set_deaf(false);
    pass(Duration::from_secs(61)).await;
    let back = service.link().borrow().clone();
    assert!(back.connected && back.last_error.is_none());
    assert_eq!(back.errors, lost.errors);
}

#[tokio::test(start_paused = true)]
async fn monitoring_does_not_wait_for_the_audit_log() {
    let bench = Bench::new();
    let service = paired(&bench, 10).await;
    bench.store.fail_next(usize::MAX);
    let refused = service.reprovision_device(bench.proof(Role::Technician)).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::AuditUnavailable);
    pass(Duration::from_secs(101)).await;
    assert_eq!(bench.beats().len(), 11);
    bench.store.fail_next(0);
}

#[tokio::test(start_paused = true)]
async fn a_window_leaves_the_link_up_and_the_flip_changes_it() {
    let bench = Bench::new();
    let service = paired(&bench, 10).await;
    service.reprovision_device(bench.proof(Role::Technician)).await.unwrap();
    pass(Duration::from_secs(21)).await;
    assert_eq!(bench.beats().len(), 3);
    *bench.station.sync_interval.lock().unwrap() = 2;
    bench.pair(&service).await.unwrap();
    settle().await;
    let before = bench.beats().len();
    pass(Duration::from_secs(9)).await;
    assert_eq!(bench.beats().len() - before, 4);
}

#[tokio::test(start_paused = true)]
async fn deprovisioning_stops_the_link() {
    let bench = Bench::new();
    let service = paired(&bench, 10).await;
    service.deprovision_device(bench.proof(Role::Administrator)).await.unwrap();
    settle().await;
    let status = service.link().borrow().clone();
    assert!(!status.connected && status.server_url.is_none());
    let before = bench.beats().len();
    pass(Duration::from_secs(600)).await;
    assert_eq!(bench.beats().len(), before);
}
