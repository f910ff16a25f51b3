//! The view-model over the mock service: eight properties, five invokables.

use core::time::Duration;
use std::sync::Arc;

use tokio::time::sleep;
use zeroize::Zeroizing;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::OperatorId;
use zmon_domain::role::{OperatorProof, Role, danger};
use zmon_domain::settings::DeviceSettings;
use zmon_domain::state::{ProvisioningState, ReprovisioningPhase};
use zmon_provisioning::ports::{Clock, ManualSettings};
use zmon_provisioning::{
    IProvisioningService, MockConfig, MockProvisioningService, ProvisioningPayload,
};
use zmon_ui::{ProvisioningProperties, ProvisioningViewModel};

#[cfg(test)]
struct Screen {
    clock: Arc<dyn Clock>,
    service: Arc<MockProvisioningService>,
    model: ProvisioningViewModel,
}

#[cfg(test)]
impl Screen {
    fn new(failure: Option<ErrorCode>) -> Self {
        let mut config = MockConfig::new("ZM-001", "SN-2024-001234", "192.168.1.100").unwrap();
        config.failure = failure;
        Self::with(config)
    }

    fn with(config: MockConfig) -> Self {
        let service = Arc::new(MockProvisioningService::new(config));
        let clock = service.clock();
        let model = ProvisioningViewModel::new(service.clone(), clock.clone());
        Self { clock, service, model }
    }

    fn proof(&self) -> OperatorProof {
        self.proof_of("tess", Role::Technician)
    }

    fn chief(&self) -> OperatorProof {
        self.proof_of("admin", Role::Administrator)
    }

    #[expect(clippy::disallowed_methods, reason = "this test stands in for an authenticator")]
    fn proof_of(&self, id: &str, role: Role) -> OperatorProof {
        let expires = self.clock.now().mono + Duration::from_secs(60);
        danger::authenticated(OperatorId::parse(id).unwrap(), role, expires)
    }

    async fn shown(&self) -> ProvisioningProperties {
        for _ in 0..32 {
            tokio::task::yield_now().await;
        }
        self.model.properties().borrow().clone()
    }

    async fn apply(&self) {
        let code = self.shown().await.pairing_code;
        let now = self.clock.now().wall.unwrap();
        let payload = ProvisioningPayload::mock(self.service.device_id(), &code, now);
        self.service.apply_configuration(&payload, &code).await;
    }
}

#[tokio::test(start_paused = true)]
async fn there_are_exactly_eight_properties_of_the_documents_types() {
    let screen = Screen::new(None);
    // Without `..`: a ninth property does not compile.
    let ProvisioningProperties {
        provisioning_state,
        pairing_code,
        qr_code_data,
        expiration_time,
        error_message,
        is_provisioned,
        server_url,
        certificate_status,
    } = screen.shown().await;
    fn types(_: ProvisioningState, _: Zeroizing<String>, _: Arc<[u8]>, _: u64) {}
    types(provisioning_state, pairing_code, qr_code_data, expiration_time);
    fn more_types(_: String, _: bool, _: String, _: String) {}
    more_types(error_message, is_provisioned, server_url, certificate_status);
    assert_eq!(ProvisioningProperties::NAMES.len(), 8);
}

#[test]
fn there_are_exactly_five_invokables() {
    let source = include_str!("../src/view_model.rs");
    let model = source.split("impl ProvisioningViewModel {").nth(1).unwrap();
    let model = model.split("\nimpl ").next().unwrap();
    let methods: Vec<&str> = model
        .split("pub async fn ")
        .skip(1)
        .map(|method| method.split('(').next().unwrap())
        .collect();
    let expected = [
        "enter_provisioning_mode",
        "exit_provisioning_mode",
        "regenerate_qr_code",
        "simulate_configuration",
        "reprovision_device",
    ];
    assert_eq!(methods, expected);
    assert_eq!(ProvisioningViewModel::INVOKABLES.len(), expected.len());
    for (document, ours) in ProvisioningViewModel::INVOKABLES.iter().zip(expected) {
        assert_eq!(document.to_lowercase(), ours.replace('_', ""));
    }
}

#[tokio::test(start_paused = true)]
async fn a_fresh_device_shows_nothing() {
    let shown = Screen::new(None).shown().await;
    assert_eq!(shown.provisioning_state, ProvisioningState::NotProvisioned);
    assert_eq!((shown.pairing_code.as_str(), shown.expiration_time), ("", 0));
    assert!(shown.qr_code_data.is_empty() && shown.error_message.is_empty());
    assert!(!shown.is_provisioned && shown.server_url.is_empty());
    assert_eq!(shown.certificate_status, "No certificate installed.");
}

#[tokio::test(start_paused = true)]
async fn an_open_window_shows_code_image_and_countdown() {
    let screen = Screen::new(None);
    screen.model.enter_provisioning_mode(screen.proof()).await.unwrap();
    let first = screen.shown().await;
    assert_eq!(first.provisioning_state, ProvisioningState::ReadyToPair);
    assert_eq!(first.expiration_time, 600);
    assert_eq!(first.pairing_code.len(), 11);
    assert!(first.qr_code_data.starts_with(b"\x89PNG"));
    let qr = screen.service.generate_qr_code().await.unwrap();
    assert_eq!(&*first.qr_code_data, qr.qr_code_image());
    assert!(!format!("{first:?} {:?}", screen.model).contains(first.pairing_code.as_str()));

    // "8:45 remaining"
    sleep(Duration::from_millis(75_500)).await;
    let later = screen.shown().await;
    assert_eq!(later.expiration_time, 8 * 60 + 45);
    assert_eq!(later.pairing_code, first.pairing_code);
    assert_ne!(later.qr_code_data, first.qr_code_data, "the token rotates");

    screen.model.regenerate_qr_code().await.unwrap();
    let renewed = screen.shown().await;
    assert_ne!(renewed.pairing_code, first.pairing_code);
    assert_eq!(renewed.expiration_time, 600);

    sleep(Duration::from_secs(601)).await;
    let expired = screen.shown().await;
    assert_eq!((expired.pairing_code.as_str(), expired.expiration_time), ("", 0));
    assert!(expired.qr_code_data.is_empty());
    assert!(expired.error_message.contains(ErrorCode::PairingCodeExpired.message()));
    assert!(expired.error_message.contains(ErrorCode::PairingCodeExpired.next()));
}

#[tokio::test(start_paused = true)]
async fn the_countdown_never_skips_a_second() {
    let screen = Screen::new(None);
    let mut properties = screen.model.properties();
    screen.model.enter_provisioning_mode(screen.proof()).await.unwrap();
    let mut seconds = Vec::new();
    while seconds.last() != Some(&590) {
        properties.changed().await.unwrap();
        seconds.push(properties.borrow_and_update().expiration_time);
    }
    seconds.dedup();
    assert_eq!(seconds, (590..=600).rev().collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_provisioned_device_shows_server_and_certificate() {
    let screen = Screen::new(None);
    screen.model.enter_provisioning_mode(screen.proof()).await.unwrap();
    screen.apply().await;
    let shown = screen.shown().await;
    assert_eq!(shown.provisioning_state, ProvisioningState::Provisioned);
    assert!(shown.is_provisioned);
    assert_eq!(shown.server_url, "https://mock-central-station.invalid:8443");
    assert!(shown.certificate_status.starts_with("Certificate valid until 20"));
    assert!(shown.pairing_code.is_empty() && shown.qr_code_data.is_empty());

    screen.model.reprovision_device(screen.proof()).await.unwrap();
    let again = screen.shown().await;
    let phase = ReprovisioningPhase::ReadyToPair;
    assert_eq!(again.provisioning_state, ProvisioningState::Reprovisioning(phase));
    assert!(again.is_provisioned && !again.pairing_code.is_empty());
    screen.model.exit_provisioning_mode(Some(&screen.proof())).await.unwrap();
    assert_eq!(screen.shown().await.provisioning_state, ProvisioningState::Provisioned);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_with_its_next_step() {
    let screen = Screen::new(Some(ErrorCode::SignatureInvalid));
    screen.model.enter_provisioning_mode(screen.proof()).await.unwrap();
    screen.apply().await;
    let shown = screen.shown().await;
    assert_eq!(shown.provisioning_state, ProvisioningState::Error);
    assert!(shown.error_message.starts_with(ErrorCode::SignatureInvalid.message()));
    assert!(shown.error_message.ends_with(ErrorCode::SignatureInvalid.next()));
}

#[tokio::test(start_paused = true)]
async fn refusals_come_back_from_the_invokable() {
    let screen = Screen::new(None);
    let closed = screen.model.regenerate_qr_code().await.unwrap_err();
    assert_eq!(closed.code(), ErrorCode::NotInProvisioningMode);
    let technician = screen.proof();
    assert!(screen.model.exit_provisioning_mode(Some(&technician)).await.is_err());
    assert!(screen.model.reprovision_device(screen.proof()).await.is_err());
    let simulated = screen.model.simulate_configuration().await;
    assert!(!simulated.is_success());
    assert!(screen.shown().await.error_message.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_manual_configuration_is_prompted_for_answered_and_gone_after_the_pairing() {
    let screen = Screen::new(None);
    assert!(screen.model.migration_prompt().is_empty());
    assert!(screen.model.migrate(screen.proof()).await.is_err());

    let mut config = MockConfig::new("ZM-001", "SN-2024-001234", "192.168.1.100").unwrap();
    let url = "https://old.hospital.example:8443".parse().unwrap();
    config.manual = Some(ManualSettings::new(url, DeviceSettings::default()));
    let screen = Screen::with(config);
    assert!(screen.model.migration_prompt().contains("now, or later"));
    screen.model.postpone_migration(screen.proof()).await.unwrap();
    assert!(screen.model.migration_prompt().contains("now, or later"));
    screen.model.migrate(screen.proof()).await.unwrap();
    assert!(screen.model.migration_prompt().contains("stays until"));
    screen.apply().await;
    assert!(screen.shown().await.is_provisioned);
    assert!(screen.model.migration_prompt().is_empty());
}

/// A screen in each state that a service reaches without a peer, by its name.
#[cfg(test)]
async fn in_state(name: &str) -> Screen {
    let failing = (name == "Error").then_some(ErrorCode::SignatureInvalid);
    let screen = Screen::new(failing);
    let model = &screen.model;
    let enter = async || model.enter_provisioning_mode(screen.proof()).await.unwrap();
    let pushed = async || {
        let code = screen.shown().await.pairing_code;
        let now = screen.clock.now().wall.unwrap();
        let payload = ProvisioningPayload::mock(screen.service.device_id(), &code, now);
        let service = screen.service.clone();
        drop(tokio::spawn(async move { service.apply_configuration(&payload, &code).await }));
        screen.shown().await;
    };
    match name {
        "NotProvisioned" => {}
        "ReadyToPair" => enter().await,
        "Configuring" => {
            enter().await;
            pushed().await;
        }
        _ => {
            enter().await;
            screen.apply().await;
        }
    }
    match name {
        "Deprovisioned" => screen.service.deprovision_device(screen.chief()).await.unwrap(),
        "Reprovisioning.ReadyToPair" => model.reprovision_device(screen.proof()).await.unwrap(),
        "Reprovisioning.Configuring" => {
            model.reprovision_device(screen.proof()).await.unwrap();
            pushed().await;
        }
        _ => {}
    }
    assert_eq!(screen.shown().await.provisioning_state.as_str(), name);
    screen
}

#[tokio::test(start_paused = true)]
async fn each_invokable_answers_in_every_state() {
    use ErrorCode::{
        AlreadyInProvisioningMode as Already, NotInProvisioningMode as Closed,
        SimulationUnavailable as Release, StateConflict as Conflict,
    };
    // enter, exit, regenerate, simulate, reprovision
    let table: [(&str, [Option<ErrorCode>; 5]); 8] = [
        ("NotProvisioned", [None, Some(Closed), Some(Closed), Some(Release), Some(Conflict)]),
        ("ReadyToPair", [Some(Already), None, None, Some(Release), Some(Already)]),
        ("Configuring", [Some(Already), None, Some(Conflict), Some(Release), Some(Already)]),
        ("Provisioned", [Some(Conflict), Some(Closed), Some(Closed), Some(Release), None]),
        ("Error", [None, None, Some(Closed), Some(Release), Some(Conflict)]),
        ("Deprovisioned", [None, Some(Closed), Some(Closed), Some(Release), Some(Conflict)]),
        ("Reprovisioning.ReadyToPair", [Some(Already), None, None, Some(Release), Some(Already)]),
        (
            "Reprovisioning.Configuring",
            [Some(Already), None, Some(Conflict), Some(Release), Some(Already)],
        ),
    ];
    for (state, answers) in table {
        for (name, expected) in ProvisioningViewModel::INVOKABLES.iter().zip(answers) {
            let screen = in_state(state).await;
            let (model, proof) = (&screen.model, screen.proof());
            let answer = match *name {
                "enterProvisioningMode" => model.enter_provisioning_mode(proof).await,
                "exitProvisioningMode" => model.exit_provisioning_mode(Some(&proof)).await,
                "regenerateQRCode" => model.regenerate_qr_code().await,
                "simulateConfiguration" => {
                    model.simulate_configuration().await.error.map_or(Ok(()), Err)
                }
                "reprovisionDevice" => model.reprovision_device(proof).await,
                other => panic!("{other} is not invoked here"),
            };
            assert_eq!(answer.err().map(|error| error.code()), expected, "{name} in {state}");
        }
    }
}
