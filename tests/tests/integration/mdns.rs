//! A device found by multicast DNS over the loopback interface (D2).

use core::num::NonZeroU16;
use core::time::Duration;
use std::collections::BTreeSet;

use mdns_sd::{ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo};
use zmon_domain::address::{DeviceAddress, Network, NetworkPolicy};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::DeviceId;
use zmon_testkit::{DeviceOptions, SimulatedDevice, StationOptions, TestStation, wait};
use zmon_transport::discovery::{SERVICE, find};

/// Longer than an announcement takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whoever listens on the network.
struct Bystander {
    _daemon: ServiceDaemon,
    heard: mdns_sd::Receiver<ServiceEvent>,
}

impl Bystander {
    fn new() -> Self {
        let daemon = ServiceDaemon::new().unwrap();
        let heard = daemon.browse(SERVICE).unwrap();
        Self { _daemon: daemon, heard }
    }

    async fn until<T>(&self, what: &str, wanted: impl Fn(ServiceEvent) -> Option<T>) -> T {
        let heard = async {
            loop {
                let event = self.heard.recv_async().await.expect("the daemon runs");
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        };
        wait::within(what, heard).await
    }

    /// The announcement of a device.
    async fn found(&self, device: &DeviceId) -> ResolvedService {
        self.until("an announcement", |event| match event {
            ServiceEvent::ServiceResolved(service)
                if service.get_property_val_str("id") == Some(device.as_str()) =>
            {
                Some(*service)
            }
            _ => None,
        })
        .await
    }

    /// Its farewell.
    async fn gone(&self, name: &str) {
        self.until("a farewell", |event| match event {
            ServiceEvent::ServiceRemoved(_, gone) if gone == name => Some(()),
            _ => None,
        })
        .await;
    }
}

async fn ward(id: &str) -> (TestStation, SimulatedDevice) {
    let station = TestStation::start().await;
    let options = DeviceOptions { mdns: true, ..DeviceOptions::new(&station).named(id) };
    let device = SimulatedDevice::with(options).await;
    station.register(&device).await;
    (station, device)
}

#[tokio::test]
async fn a_device_is_found_and_paired_by_its_typed_code_and_is_gone_afterwards() {
    let (station, device) = ward("ZM-MDNS-1").await;
    let network = Bystander::new();
    let qr = device.open_window().await;
    let announced = network.found(device.id()).await;
    // These keys and no others, and in none of them anything of the window.
    let keys: BTreeSet<_> = announced.get_properties().iter().map(|text| text.key()).collect();
    assert_eq!(keys, BTreeSet::from(["id", "v"]));
    assert_eq!(announced.get_property_val_str("v"), Some("1"));
    let said = format!("{announced:?}");
    for secret in [qr.pairing_code.expose(), qr.pairing_token.expose()] {
        assert!(!said.contains(secret));
    }

    let place = find(device.id(), PATIENCE).await.unwrap().expect("it is announced");
    assert_eq!(place.1.get(), device.listener().await.port());
    let code = qr.pairing_code.expose();
    station.technician().pair_typed(device.id(), code, Some(place)).await.unwrap();
    device.until_connected().await;
    network.gone(announced.get_fullname()).await;
}

#[tokio::test]
async fn a_window_that_closes_is_taken_back_and_nobody_else_is_taken_for_the_device() {
    let (_station, device) = ward("ZM-MDNS-2").await;
    let network = Bystander::new();
    device.enter().await;
    let announced = network.found(device.id()).await;
    let other = DeviceId::parse("ZM-MDNS-3").unwrap();
    assert_eq!(find(&other, Duration::from_secs(2)).await.unwrap(), None);
    use zmon_provisioning::IProvisioningService;
    device.service().exit_provisioning_mode(None).await.unwrap();
    network.gone(announced.get_fullname()).await;
}

#[tokio::test]
async fn an_answer_that_points_elsewhere_is_held_to_the_stations_networks() {
    let policy = |policy: &mut zmon_station::StationPolicy| {
        let networks = vec![Network::parse("10.9.0.0/16").unwrap()];
        policy.session.networks = NetworkPolicy { networks, ..NetworkPolicy::default() };
    };
    let station = TestStation::start_with(StationOptions { policy, ..StationOptions::default() });
    let station = station.await;
    let device = SimulatedDevice::with(DeviceOptions::new(&station).named("ZM-MDNS-4")).await;
    station.register(&device).await;
    let qr = device.open_window().await;
    // Somebody else says where this device is: at the station's own machine.
    let rogue = ServiceDaemon::new().unwrap();
    let text = [("v", "1"), ("id", device.id().as_str())];
    let service = ServiceInfo::new(
        SERVICE,
        "rogue",
        "rogue-zm-mdns-4.local.",
        "127.0.0.1",
        40_404,
        &text[..],
    );
    rogue.register(service.unwrap()).unwrap();
    let found = find(device.id(), PATIENCE).await.unwrap().expect("it is announced");
    let address = DeviceAddress::parse("127.0.0.1").unwrap();
    assert_eq!(found, (address, NonZeroU16::new(40_404).unwrap()));
    let code = qr.pairing_code.expose();
    let typed = station.technician().pair_typed(device.id(), code, Some(found)).await;
    assert_eq!(typed.unwrap_err().code(), ErrorCode::AddressNotPermitted);
    assert!(station.has_refused(ErrorCode::AddressNotPermitted).await);
}
