//! One whole pairing as it ships: station, device and everything between them, over memory.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use tokio::net::TcpStream;
use zmon_crypto::Suite;
use zmon_domain::address::DeviceAddress;
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, DeviceSerial, FirmwareVersion, OperatorId};
use zmon_domain::role::{OperatorProof, Role, danger};
use zmon_domain::route::Route;
use zmon_domain::state::ProvisioningState;
use zmon_domain::time::Tick;
use zmon_protocol::device::DeviceProfile;
use zmon_provisioning::clock::VirtualClock;
use zmon_provisioning::ports::{KeyStore, LocalData, SharedRng};
use zmon_provisioning::{CentralStationProvisioningService, DeviceParts, IProvisioningService};
use zmon_station::ports::CertificateState;
use zmon_transport::device_listener::{Bind, TlsListener};
use zmon_transport::provider::Provider;
use zmon_transport::station_link::TlsStationLink;
use zmon_transport::tls::TlsContext;
use zmon_wire::pair::{PairAnswer, PairPending};
use zmon_wire::{manifest, qr, strict};

use crate::memory::{MemoryKeys, MemoryLog};
use crate::pki::NOW;
use crate::support::{PATIENCE, providers};
use crate::world::{World, problem};

/// A monitor on 127.0.0.1 with everything real but its disk.
pub(crate) struct Monitor {
    pub(crate) service: CentralStationProvisioningService,
    pub(crate) log: Arc<MemoryLog>,
    keys: Arc<MemoryKeys>,
}

impl Monitor {
    pub(crate) async fn start(world: &World, provider: &Provider, suite: Suite) -> Self {
        let clock = VirtualClock::starting_at(NOW);
        let keys = Arc::new(MemoryKeys::new(suite, 21));
        let log = Arc::new(MemoryLog::default());
        let rng = SharedRng::new(ChaCha20Rng::seed_from_u64(22));
        let tls = TlsContext::new(Arc::clone(&provider.tls), || u64::try_from(NOW).ok());
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let listener = TlsListener::new(&tls, keys.clone(), &rng, Bind::any_port(here)).unwrap();
        let parts = DeviceParts {
            profile: DeviceProfile::new(
                DeviceId::parse("ZM-001").unwrap(),
                DeviceSerial::parse("SN-2024-001234").unwrap(),
                FirmwareVersion::parse("1.2.3").unwrap(),
            ),
            address: DeviceAddress::from_ip(here).unwrap(),
            anchors: world.anchors(),
            algorithms: provider.algorithms,
            store: log.clone(),
            keys: keys.clone(),
            listener: Arc::new(listener),
            station: Arc::new(TlsStationLink::new(tls)),
            interlock: DeviceParts::no_patient(),
            local: LocalData::none(),
            clock: Arc::new(clock),
            rng,
        };
        let service = CentralStationProvisioningService::start(parts).await.unwrap();
        Self { service, log, keys }
    }

    pub(crate) fn manifest(&self) -> String {
        let row = manifest::ManifestRow::new(
            DeviceId::parse("ZM-001").unwrap(),
            DeviceSerial::parse("SN-2024-001234").unwrap(),
            self.keys.identity().public().thumbprint(),
        );
        String::from_utf8(manifest::to_lines(&[row]).unwrap()).unwrap()
    }

    /// Opens a window and reads the QR code, as a tablet would.
    pub(crate) async fn scan(&self) -> qr::QrContent {
        self.service.enter_provisioning_mode(technician()).await.unwrap();
        let data = self.service.generate_qr_code().await.unwrap();
        qr::QrContent::parse(data.qr_code_content().as_bytes()).unwrap()
    }
}

fn technician() -> OperatorProof {
    let expires = Tick::new(std::time::Duration::from_secs(1_000_000));
    #[expect(clippy::disallowed_methods, reason = "tests have operators of their own")]
    danger::authenticated(OperatorId::parse("tess").unwrap(), Role::Technician, expires)
}

/// The request of [W §11.3] with the address besides.
fn pair_request(scanned: &qr::QrContent) -> String {
    let scanned = String::from_utf8(strict::to_vec(scanned).unwrap()).unwrap();
    let member = |name: &str| {
        let (_, rest) = scanned.split_once(&format!("\"{name}\":\"")).unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    format!(
        r#"{{"deviceId":"{}","pairingCode":"{}","pairingToken":"{}","ipAddress":"{}"}}"#,
        member("deviceId"),
        member("pairingCode"),
        member("pairingToken"),
        member("ipAddress")
    )
}

#[tokio::test]
async fn a_scanned_device_is_paired_in_the_documents_shape() {
    for provider in providers() {
        for suite in [Suite::P256, Suite::Rsa2048] {
            pair(provider.clone(), suite).await;
        }
    }
}

async fn pair(provider: Provider, suite: Suite) {
    let world = World::open_with(provider.clone(), Default::default()).await;
    let monitor = Monitor::start(&world, &provider, suite).await;
    let mut ada = world.administrator().await;
    let imported = ada.post("/api/registry/import", &monitor.manifest()).await;
    assert_eq!(&imported.body[..], br#"{"success":true,"added":1,"changed":0,"unchanged":0}"#);

    let scanned = monitor.scan().await;
    let answer = ada.post("/api/provisioning/pair", &pair_request(&scanned)).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let order = [
        r#"{"success":true,"configuration":{"serverUrl":"https://127.0.0.1:"#,
        r#"","caCertificate":""#,
        r#"","clientCertificate":""#,
        r#"","clientPrivateKey":null,"signature":""#,
        r#""}}"#,
    ];
    let mut rest = text.as_str();
    for part in order {
        rest = rest.split_once(part).unwrap_or_else(|| panic!("{part} in {text}")).1;
    }
    assert_eq!(rest, "");
    let paired: PairAnswer = strict::parse(&answer.body, 65_536).unwrap();
    assert_eq!(paired.configuration.server_url, world.url);

    assert_eq!(monitor.service.state(), ProvisioningState::Provisioned);
    let certificates = world.store.certificates();
    assert_eq!(certificates.len(), 1);
    assert_eq!(certificates[0].state, CertificateState::Current);
    let events = monitor.log.events();
    for event in [
        EventType::ProvisioningModeEntered,
        EventType::PairingCodeValidated,
        EventType::ConfigurationApplied,
        EventType::ConnectionTested,
        EventType::ProvisioningCompleted,
    ] {
        assert!(events.contains(&event), "{event}");
    }

    // The same request again: the token is used up, and the result is where the refusal says.
    let again = ada.post("/api/provisioning/pair", &pair_request(&scanned)).await;
    assert_eq!(again.status, 409);
    let refused = problem(&again);
    assert_eq!(refused.code, ErrorCode::PairingCodeConsumed);
    let result = refused.instance.unwrap();
    assert!(refused.detail.ends_with(&format!(" Its result is at {result}.")));
    let result = ada.get(&result).await;
    assert_eq!((result.status, &result.body), (answer.status, &answer.body));
    assert_eq!(world.store.certificates().len(), 1);

    // The listener went with the window.
    let token = zmon_crypto::token::PairingToken::parse_base64url(
        pair_request(&scanned)
            .split_once("pairingToken\":\"")
            .unwrap()
            .1
            .split_once('"')
            .unwrap()
            .0,
    )
    .unwrap();
    let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, token.port())).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);

    // The link comes up over the new certificate.
    let mut link = monitor.service.link();
    let up = link.wait_for(|link| link.connected);
    let status = tokio::time::timeout(PATIENCE, up).await.unwrap().unwrap().clone();
    assert_eq!(status.server_url, Some(world.url.clone()));
    monitor.service.shutdown().await;
    world.listeners.shutdown().await;
}

#[tokio::test]
async fn a_device_that_is_gone_and_a_wrong_token_are_refused_with_their_codes() {
    let provider = providers().swap_remove(0);
    let times = zmon_transport::client::ClientTimes {
        connect: std::time::Duration::from_millis(300),
        ..Default::default()
    };
    let world = World::open_with(provider.clone(), times).await;
    let monitor = Monitor::start(&world, &provider, Suite::P256).await;
    let mut ada = world.administrator().await;
    ada.post("/api/registry/import", &monitor.manifest()).await;

    // A bit of the token's MAC: the device answers like to any stranger.
    let request = pair_request(&monitor.scan().await);
    let (head, tail) = request.split_once("pairingToken\":\"").unwrap();
    let (token, tail) = tail.split_once('"').unwrap();
    let last = if token.ends_with('A') { 'B' } else { 'A' };
    let spoiled = format!("{head}pairingToken\":\"{}{last}\"{tail}", &token[..token.len() - 1]);
    let refused = problem(&ada.post("/api/provisioning/pair", &spoiled).await);
    assert_eq!(refused.code, ErrorCode::ClaimRefused);

    // Without a window there is no listener.
    monitor.service.shutdown().await;
    let waits = ada.post("/api/provisioning/pair", &request).await;
    assert_eq!(waits.status, 202);
    let pending: PairPending = strict::parse(&waits.body, waits.body.len()).unwrap();
    assert_eq!(pending.delivery, Route::Courier, "somebody may still carry it");
    assert!(world.store.certificates().is_empty());
}
