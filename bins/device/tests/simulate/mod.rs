//! Simulated provisioning (D20): absent from a device as it ships, whole in a development build.

use zmon_transport::control::ControlClient;
use zmon_wire::control::ControlRequest;

use super::{Made, PIN, device, refusal};

fn enter() -> ControlRequest {
    ControlRequest::Enter {
        operator: "admin".parse().unwrap(),
        pin: PIN.into(),
        address: None,
        override_interlock: None,
    }
}

#[tokio::test]
async fn a_device_that_was_not_told_to_does_not_simulate() {
    let made = Made::new();
    let running = made.start();
    let mut control = ControlClient::connect(running.socket()).await.unwrap();
    control.ask(&enter()).await.unwrap();
    let simulate = ControlRequest::Simulate { payload: None };
    assert_eq!(refusal(control.ask(&simulate).await), "simulation_unavailable");
    running.stop();
}

#[cfg(not(feature = "simulate"))]
#[test]
fn a_device_as_it_ships_does_not_know_the_flag() {
    let made = Made::new();
    let refused = device(&["run", made.text(), "--simulate"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("'--simulate'"));
    let help = String::from_utf8(device(&["run", "--help"]).stdout).unwrap();
    assert!(!help.to_lowercase().contains("simulate"));
}

#[cfg(feature = "simulate")]
mod built_in {
    use zmon_wire::configuration::ProvisioningPayload;
    use zmon_wire::control::{ControlAnswer, StatusView};

    use super::*;
    use crate::{json, newest};

    const PAYLOAD: &str = r#"{"deviceId":"ZM-001","serverUrl":"https://monitoring.hospital.com:8443",
        "clientCertificate":"any","signature":"any","timestamp":"2024-11-25T14:25:00Z",
        "bedId":"ICU-BED-04","deviceLabel":"ICU-MON-04","measurementUnit":"IMPERIAL","language":"ES",
        "syncInterval":15}"#;

    async fn status(control: &mut ControlClient) -> StatusView {
        let answer = control.ask(&ControlRequest::Status {}).await.unwrap();
        let ControlAnswer::Status(status) = answer else { panic!("asked for the status") };
        *status
    }

    fn with(change: impl FnOnce(&mut ProvisioningPayload)) -> ControlRequest {
        let mut payload = ProvisioningPayload::parse(PAYLOAD.as_bytes()).unwrap();
        change(&mut payload);
        ControlRequest::Simulate { payload: Some(Box::new(payload)) }
    }

    /// Pushed, applied and tested over mTLS by the machine that pairs with real stations.
    #[tokio::test]
    async fn a_simulated_station_provisions_the_device_with_a_payload_or_without() {
        let made = Made::new();
        let running = made.start_with(&["--simulate"]);
        let mut control = ControlClient::connect(running.socket()).await.unwrap();
        newest(&mut control, "simulation_started").await;
        let own = ControlRequest::Simulate { payload: None };
        assert_eq!(refusal(control.ask(&own).await), "not_in_provisioning_mode");

        control.ask(&enter()).await.unwrap();
        let wrong = with(|payload| payload.device_id = "ZM-002".into());
        assert_eq!(refusal(control.ask(&wrong).await), "device_mismatch");
        let wrong = with(|payload| payload.pairing_code = "ABC-123-XYZ".into());
        assert_eq!(refusal(control.ask(&wrong).await), "pairing_code_mismatch");
        let wrong = with(|payload| payload.bed_id = "\u{7}".into());
        assert_eq!(refusal(control.ask(&wrong).await), "configuration_malformed");
        assert_eq!(status(&mut control).await.state.as_str(), "ReadyToPair");

        assert!(matches!(control.ask(&with(|_| ())).await, Ok(ControlAnswer::Done {})));
        let shown = status(&mut control).await;
        assert_eq!(shown.state.as_str(), "Provisioned");
        assert_eq!(shown.bed_id.unwrap().as_str(), "ICU-BED-04");
        for event in ["connection_tested", "commit_confirmed", "provisioning_completed"] {
            assert!(newest(&mut control, event).await.success);
        }

        // Once more, with a payload of its own.
        let again = ControlRequest::Reprovision {
            operator: "admin".parse().unwrap(),
            pin: PIN.into(),
            confirm: zmon_wire::kind::True,
            address: None,
            override_interlock: None,
        };
        control.ask(&again).await.unwrap();
        control.ask(&own).await.unwrap();
        assert_eq!(status(&mut control).await.device_label.unwrap().as_str(), "MOCK-MON-01");
        running.stop();
    }

    #[tokio::test]
    async fn a_simulated_configuration_is_refused_by_a_run_that_does_not_simulate() {
        let made = Made::new();
        // Without a clock too: the station goes by the device's floor.
        let running = made.start_with(&["--simulate", "--clock", "none"]);
        let mut control = ControlClient::connect(running.socket()).await.unwrap();
        control.ask(&enter()).await.unwrap();
        control.ask(&ControlRequest::Simulate { payload: None }).await.unwrap();
        running.stop();

        let plain = device(&["--json", "run", made.text()]);
        assert_eq!(json(&plain)["code"].as_str(), Some("simulated_configuration"));

        let running = made.start_with(&["--simulate"]);
        let mut control = ControlClient::connect(running.socket()).await.unwrap();
        assert_eq!(status(&mut control).await.state.as_str(), "Provisioned");
        let reset = ControlRequest::FactoryReset {
            operator: "admin".parse().unwrap(),
            pin: PIN.into(),
            confirmation: "ZM-001".parse().unwrap(),
            new_identity: false,
        };
        control.ask(&reset).await.unwrap();
        let left = status(&mut control).await.retirements_waiting;
        assert_eq!(left, 0, "no station is left that would take a statement");
        running.stop();
        made.start().stop();
    }
}
