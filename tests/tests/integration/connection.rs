//! [W §13.2] "Connection testing after provisioning", and the link that follows.

use core::time::Duration;

use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_domain::state::ProvisioningState;
use zmon_provisioning::IProvisioningService;
use zmon_testkit::{Kind, Step, paired, wait};

#[tokio::test]
async fn the_connection_test_tells_up_from_down() {
    let (mut station, device) = paired().await;
    device.service().test_connection().await.unwrap();
    station.stop().await;
    let refused = device.service().test_connection().await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::StationUnreachable);
    station.restart().await;
    device.service().test_connection().await.unwrap();
    assert_eq!(device.state(), ProvisioningState::Provisioned, "a test changes nothing");
}

#[tokio::test]
async fn a_restarted_device_connects_without_pairing() {
    let (station, mut device) = paired().await;
    let before = device.credentials().await.client_chain;
    device.restart().await;
    assert_eq!(device.state(), ProvisioningState::Provisioned);
    device.until_connected().await;
    assert_eq!(device.credentials().await.client_chain, before);

    device.crash();
    device.start().await.unwrap();
    device.until_connected().await;
    assert_eq!(device.credentials().await.client_chain, before);
    assert_eq!(station.faults().count(Step::Dial), 1, "paired once");
    device.audit_verified().await;
}

#[tokio::test]
async fn a_heartbeat_leaves_every_sync_interval() {
    let (station, device) = paired().await;
    let sent = device.faults().count(Step::Heartbeat);
    for number in 1..=3 {
        // Not a moment earlier.
        station.clock().advance(limits::SYNC_INTERVAL.default - Duration::from_millis(1));
        assert_eq!(device.faults().count(Step::Heartbeat), sent + number - 1);
        station.clock().advance(Duration::from_millis(1));
        device.faults().reached(Step::Heartbeat, sent + number).await;
        wait::until("an answer", device.link(), |link| {
            link.connected && link.uptime == limits::SYNC_INTERVAL.default * number as u32
        })
        .await;
    }
}

#[tokio::test]
async fn the_link_comes_back_with_the_station() {
    let (mut station, device) = paired().await;
    let clock = station.clock().clone();
    station.stop().await;
    let down = wait::until("the link to fall", device.link(), |link| !link.connected);
    let down = clock.hurry(limits::SYNC_INTERVAL.default, down).await;
    assert_eq!(down.last_error, Some(ErrorCode::StationUnreachable));
    assert_eq!(device.state(), ProvisioningState::Provisioned);

    station.restart().await;
    clock.hurry(limits::LINK_BACKOFF_MAX.default, device.until_connected()).await;
}

#[tokio::test]
async fn a_crashed_station_is_taken_up_again() {
    let (mut station, device) = paired().await;
    let clock = station.clock().clone();
    station.crash();
    station.restart().await;
    let again = async {
        let beats = device.faults().count(Step::Heartbeat);
        device.faults().reached(Step::Heartbeat, beats + 2).await;
        device.until_connected().await
    };
    clock.hurry(limits::LINK_BACKOFF_MAX.default, again).await;
    station.audit_verified().await;
}

#[tokio::test]
async fn another_server_is_not_spoken_to() {
    let (station, device) = paired().await;
    device.faults().order(Step::Heartbeat, Kind::Tamper);
    let refused = wait::until("a refusal", device.link(), |link| {
        link.last_error == Some(ErrorCode::ServerPinMismatch)
    });
    station.clock().hurry(limits::SYNC_INTERVAL.default, refused).await;
    device.faults().clear();
    station.clock().hurry(limits::LINK_BACKOFF_MAX.default, device.until_connected()).await;
}
