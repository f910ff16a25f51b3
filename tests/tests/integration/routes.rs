//! Pull and courier over real sockets (D7): a station that may not, or cannot, dial the device.

use core::time::Duration;

use zmon_domain::address::{Network, NetworkPolicy, ServerUrl};
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::SessionId;
use zmon_domain::route::Route;
use zmon_domain::state::ProvisioningState;
use zmon_station::ports::CertificateState;
use zmon_testkit::{DeviceOptions, Kind, SimulatedDevice, StationOptions, Step, TestStation, wait};
use zmon_transport::courier::Courier;
use zmon_wire::carry::{Message, Reply, Return};
use zmon_wire::kind::V1;
use zmon_wire::pair::PairAnswer;

/// A station that may dial nobody on this machine.
async fn behind_a_wall() -> TestStation {
    let policy = |policy: &mut zmon_station::StationPolicy| {
        let networks = vec![Network::parse("10.9.0.0/16").unwrap()];
        policy.session.networks = NetworkPolicy { networks, ..NetworkPolicy::default() };
    };
    TestStation::start_with(StationOptions { policy, ..StationOptions::default() }).await
}

async fn ward(pulls: bool) -> (TestStation, SimulatedDevice) {
    let station = behind_a_wall().await;
    let mut options = DeviceOptions::new(&station);
    if pulls {
        let url = ServerUrl::parse(&format!("https://{}", station.devices())).unwrap();
        options.pull = Some((Some(url), Duration::from_millis(20)));
    }
    let device = SimulatedDevice::with(options).await;
    station.register(&device).await;
    (station, device)
}

async fn paired_once(station: &TestStation, device: &SimulatedDevice, route: Route) {
    device.until_connected().await;
    assert_eq!(device.state(), ProvisioningState::Provisioned);
    assert_eq!(station.certificates(device, CertificateState::Current).await.len(), 1);
    let issued = station.events().await;
    let issued = issued.iter().filter(|(event, _)| *event == EventType::CertificateIssued);
    assert_eq!(issued.count(), 1);
    let opened = station.audit().await;
    let opened = opened.iter().rfind(|row| row.event == EventType::SessionClaimed).unwrap();
    assert!(opened.detail.contains(&("route".to_owned(), route.to_string())), "{opened:?}");
    station.audit_verified().await;
    device.audit_verified().await;
}

#[tokio::test]
async fn a_device_that_polls_is_paired_behind_a_wall_by_qr_code_and_typed() {
    for typed in [false, true] {
        let (station, device) = ward(true).await;
        let qr = device.open_window().await;
        let place = (qr.ip_address, device.listener().await.port().try_into().unwrap());
        let tablet = station.technician();
        let paired = wait::eventually("the device to poll", async || {
            let code = qr.pairing_code.expose();
            let answer: Result<PairAnswer, _> = if typed {
                tablet.pair_typed(device.id(), code, Some(place)).await
            } else {
                tablet.pair(&qr).await
            };
            match answer {
                Err(error) if error.code() == ErrorCode::AddressNotPermitted => None,
                other => Some(other),
            }
        });
        paired.await.expect("paired by pull");
        paired_once(&station, &device, Route::Pull).await;
        let claimed = device.audit().await;
        let event = EventType::PairingCodeValidated;
        let claimed = claimed.iter().find(|row| row.event == event).unwrap();
        assert!(claimed.detail.contains(&("route".to_owned(), "pull".to_owned())), "{claimed:?}");
    }
}

#[tokio::test]
async fn without_a_url_of_its_own_a_device_asks_the_station_of_its_active_slot() {
    let station = TestStation::start().await;
    let pull = Some((None, Duration::from_millis(20)));
    let device =
        SimulatedDevice::with(DeviceOptions { pull, ..DeviceOptions::new(&station) }).await;
    station.register(&device).await;
    // Without a slot there is nobody to ask.
    let qr = device.open_window().await;
    station.pair(&qr).await.unwrap();
    device.until_connected().await;
    let qr = device.open_window().await;
    let request = serde_json::json!({
        "deviceId": qr.device_id.as_str(),
        "pairingCode": qr.pairing_code.expose(),
        "pairingToken": qr.pairing_token.expose(),
        "ipAddress": qr.ip_address.to_string(),
        "delivery": Route::Pull.to_string(),
    });
    let path = "/api/provisioning/pair";
    station.technician().post_json(path, request.to_string()).await.expect("paired by pull");
    device.until_state(ProvisioningState::Provisioned).await;
    let claimed = |rows: Vec<zmon_station::ports::AuditRow>| {
        let rows = rows.into_iter().filter(|row| row.event == EventType::SessionClaimed);
        let route = |row: zmon_station::ports::AuditRow| {
            row.detail.iter().find(|(name, _)| name == "route").map(|(_, route)| route.clone())
        };
        rows.filter_map(route).collect::<Vec<_>>()
    };
    assert_eq!(claimed(station.audit().await), ["push", "pull"]);
    device.audit_verified().await;
}

#[tokio::test]
async fn a_device_that_fails_says_so_in_its_last_poll() {
    let (station, device) = ward(true).await;
    device.faults().order(Step::Test, Kind::Tamper);
    let qr = device.open_window().await;
    let refused = wait::eventually("the device to poll", async || {
        match station.technician().pair(&qr).await {
            Err(error) if error.code() == ErrorCode::AddressNotPermitted => None,
            other => Some(other),
        }
    });
    assert_eq!(refused.await.unwrap_err().code(), ErrorCode::ServerPinMismatch);
    device.until_state(ProvisioningState::Error).await;
    assert_eq!(station.certificates(&device, CertificateState::Current).await.len(), 0);
    assert_eq!(station.certificates(&device, CertificateState::Pending).await.len(), 0);
}

#[tokio::test]
async fn a_station_that_no_anchor_vouches_for_hands_nothing_out() {
    let other = behind_a_wall().await;
    let url = ServerUrl::parse(&format!("https://{}", other.devices())).unwrap();
    let pull = Some((Some(url), Duration::from_millis(20)));
    // A device of another hospital: the certificate of the station it asks leads to no anchor of it.
    let elsewhere = TestStation::start().await;
    let foreign = DeviceOptions { pull: pull.clone(), ..DeviceOptions::new(&elsewhere) };
    let foreign = SimulatedDevice::with(foreign).await;
    let own = DeviceOptions { pull, ..DeviceOptions::new(&other).named("ZM-002") };
    let own = SimulatedDevice::with(own).await;
    let mut waiting = Vec::new();
    for device in [&foreign, &own] {
        other.register(device).await;
        let qr = device.open_window().await;
        waiting.push(other.technician().pair_by(&qr, Route::Courier).await.unwrap());
    }
    // Both ask all the time; only one of them believes whom it asks.
    own.until_state(ProvisioningState::Provisioned).await;
    assert_eq!(foreign.state(), ProvisioningState::ReadyToPair);
    let rows = other.audit().await;
    let fetched = rows.iter().filter(|row| row.event == EventType::MessageFetched);
    let by: Vec<_> = fetched.map(|row| row.session).collect();
    assert_eq!(by, [Some(waiting[1].session_id); 2]);
}

/// A person with a laptop: `zmon courier`.
async fn carry(station: &TestStation, device: &SimulatedDevice, session: SessionId) {
    let tablet = station.technician();
    let mut courier = None;
    while device.state() != ProvisioningState::Provisioned {
        let Ok(next) = tablet.courier(session).await else { return };
        let Some(message) = next.message else { continue };
        let courier = courier.get_or_insert_with(|| {
            Courier::new(device.tls(), next.ip_address, next.port, next.device_key16)
        });
        let reply = courier.carry(message).await.expect("the device answers");
        let answer = Return { v: V1::default(), session_id: session, reply };
        match tablet.courier_return(session, &answer).await {
            Ok(_) => {}
            Err(error) => assert_eq!(error.code(), ErrorCode::SessionUnknown, "it has ended"),
        }
    }
}

#[tokio::test]
async fn a_courier_s_machine_carries_a_scanned_and_a_typed_pairing() {
    for typed in [false, true] {
        let (station, device) = ward(false).await;
        let qr = device.open_window().await;
        let tablet = station.technician();
        let waits = if typed {
            let place = (qr.ip_address, device.listener().await.port().try_into().unwrap());
            let code = qr.pairing_code.expose();
            tablet.pair_typed_by(device.id(), code, place, Route::Courier).await
        } else {
            tablet.pair_by(&qr, Route::Courier).await
        };
        let waits = waits.unwrap();
        assert_eq!(waits.delivery, Route::Courier);
        carry(&station, &device, waits.session_id).await;
        device.until_state(ProvisioningState::Provisioned).await;
        tablet.result(waits.session_id).await.expect("the document's answer");
        paired_once(&station, &device, Route::Courier).await;
    }
}

/// Brings one message by hand, as a file would.
async fn bring(device: &SimulatedDevice, message: Message) -> Result<Reply, ErrorCode> {
    let endpoint = device.service().endpoint();
    endpoint.carried(Route::Courier, message).await.map_err(|report| report.code)
}

#[tokio::test]
async fn files_pair_and_foreign_or_stale_ones_are_refused_by_their_code() {
    let (station, mut device) = ward(false).await;
    let tablet = station.technician().clone();
    let begin = async |device: &SimulatedDevice| {
        let qr = device.open_window().await;
        tablet.pair_by(&qr, Route::Courier).await.unwrap().session_id
    };
    let give = async |session: SessionId, reply: Reply| {
        let answer = Return { v: V1::default(), session_id: session, reply };
        tablet.courier_return(session, &answer).await
    };
    // hello.json, identity.json, envelope.json; then the power goes.
    let session = begin(&device).await;
    let hello = tablet.courier(session).await.unwrap().message.unwrap();
    let identity = bring(&device, hello.clone()).await.unwrap();
    give(session, identity).await.unwrap();
    let stale = tablet.courier(session).await.unwrap().message.unwrap();
    assert_eq!(stale.name(), "configuration");
    device.crash();
    device.restart().await;
    assert_eq!(bring(&device, stale.clone()).await.unwrap_err(), ErrorCode::SessionUnknown);
    assert_eq!(bring(&device, hello).await.unwrap_err(), ErrorCode::NotInProvisioningMode);
    assert!(device.has_refused(ErrorCode::SessionUnknown).await);
    assert!(device.has_refused(ErrorCode::NotInProvisioningMode).await);
    tablet.cancel(session).await.unwrap();

    // Another session: the envelope of the first is not its own.
    let session = begin(&device).await;
    let hello = tablet.courier(session).await.unwrap().message.unwrap();
    let identity = bring(&device, hello).await.unwrap();
    assert_eq!(bring(&device, stale).await.unwrap_err(), ErrorCode::SessionUnknown);
    give(session, identity).await.unwrap();
    let envelope = tablet.courier(session).await.unwrap().message.unwrap();
    let status = bring(&device, envelope).await.unwrap();
    assert!(matches!(status, Reply::Status(_)));
    device.until_state(ProvisioningState::Provisioned).await;
    // The device has committed: its status is news no more.
    drop(give(session, status).await);
    tablet.result(session).await.unwrap();
    device.until_connected().await;
    assert_eq!(station.certificates(&device, CertificateState::Current).await.len(), 1);
    station.audit_verified().await;
    device.audit_verified().await;
}
