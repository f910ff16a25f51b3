//! What is the mock's own.

#![expect(clippy::disallowed_methods, reason = "virtual time is tokio's")]

use core::time::Duration;

use tokio::time::{Instant, sleep};
use zmon_domain::code::CodeFormat;
use zmon_domain::role::Role;
use zmon_domain::state::ProvisioningStatus;
use zmon_provisioning::{
    IProvisioningService, MockConfig, MockProvisioningService, ProvisioningPayload,
};

use crate::common::proof;

fn config() -> MockConfig {
    MockConfig::new("ZM-001", "SN-2024-001234", "192.168.1.100").unwrap()
}

async fn entered(config: MockConfig) -> MockProvisioningService {
    let mock = MockProvisioningService::new(config);
    mock.enter_provisioning_mode(proof(Role::Technician, &*mock.clock())).await.unwrap();
    mock
}

#[tokio::test(start_paused = true)]
async fn applying_takes_a_second_of_virtual_time_unless_configured() {
    let mut quick = config();
    quick.delay = Duration::from_millis(20);
    for (config, expected) in [(config(), 1000), (quick, 20)] {
        let mock = entered(config).await;
        let code = mock.generate_qr_code().await.unwrap().pairing_code().display();
        let now = mock.clock().now().wall.unwrap();
        let payload = ProvisioningPayload::mock(mock.device_id(), &code, now);
        let begun = Instant::now();
        assert!(mock.apply_configuration(&payload, &code).await.is_success());
        assert_eq!(begun.elapsed().as_millis(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn auto_provision_needs_no_station() {
    let mut config = config();
    config.auto_provision = true;
    let mock = entered(config).await;
    sleep(Duration::from_millis(999)).await;
    assert_eq!(mock.get_status(), ProvisioningStatus::ReadyToPair);
    sleep(Duration::from_millis(1002)).await;
    assert_eq!(mock.get_status(), ProvisioningStatus::Provisioned);
    assert!(mock.link().borrow().connected);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_shows_the_same_codes() {
    let mut other = config();
    other.seed = 1;
    let mut codes = Vec::new();
    for config in [config(), config(), other] {
        let qr = entered(config).await.generate_qr_code().await.unwrap();
        codes.push(qr.qr_code_content().to_owned());
    }
    assert_eq!(codes[0], codes[1]);
    assert_ne!(codes[0], codes[2]);
}

#[tokio::test(start_paused = true)]
async fn the_short_format_of_the_interface_document_is_there_too() {
    let mut config = config();
    config.code_format = CodeFormat::Short6;
    let qr = entered(config).await.generate_qr_code().await.unwrap();
    assert_eq!(qr.pairing_code().display().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn names_are_parsed_at_the_edge() {
    assert!(MockConfig::new("", "SN-1", "192.168.1.100").is_err());
    assert!(MockConfig::new("ZM-001", "SN-1", "monitor.local").is_err());
}
