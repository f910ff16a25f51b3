//! A bed board: follows the provisioning of a monitor through `IProvisioningService`.
//!
//! It is handed an `Arc<dyn IProvisioningService>` and knows nothing else. On a monitor that is the
//! `CentralStationProvisioningService`; here it is the mock, which provisions itself after a while.

use std::{error::Error, sync::Arc, time::Duration};

use zmon_domain::address::DeviceAddress;
use zmon_domain::ids::OperatorId;
use zmon_domain::role::{OperatorProof, Role, danger};
use zmon_domain::time::Tick;
use zmon_provisioning::{
    IProvisioningService, MockConfig, MockProvisioningService, ProvisioningEvent,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut config = MockConfig::new("ZM-ICU-04", "SN-2024-001234", "10.1.50.104")?;
    config.auto_provision = true;
    config.delay = Duration::from_millis(20);
    let monitor: Arc<dyn IProvisioningService> = Arc::new(MockProvisioningService::new(config));
    bed_board(&*monitor, technician()?).await
}

async fn bed_board(
    monitor: &dyn IProvisioningService,
    proof: OperatorProof,
) -> Result<(), Box<dyn Error>> {
    let mut events = monitor.events();
    monitor.enter_provisioning_mode(proof).await?;
    let (id, address) = (monitor.device_id().clone(), DeviceAddress::parse("10.1.50.104")?);
    let qr = monitor.generate_provisioning_qr_code(&id, address).await?;
    println!("{id}: scan {} bytes of PNG", qr.qr_code_image().len());
    while let Some(event) = events.next().await {
        match event {
            ProvisioningEvent::StatusChanged(status) => println!("{id}: {status}"),
            ProvisioningEvent::ProvisioningCompleted(result) => {
                println!("{id}: provisioned by {}", result.server_url.ok_or("no server")?);
                return Ok(());
            }
            ProvisioningEvent::ProvisioningFailed(error) => return Err(error.into()),
            _ => {}
        }
    }
    Err("the monitor is gone".into())
}

/// The board's own login has checked who this is.
#[expect(clippy::disallowed_methods, reason = "this is the authenticator")]
fn technician() -> Result<OperatorProof, Box<dyn Error>> {
    let until = Tick::new(Duration::from_secs(60));
    Ok(danger::authenticated(OperatorId::parse("tina")?, Role::Technician, until))
}
