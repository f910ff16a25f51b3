//! The usage example of the interface document ([I §5]), step by step, with the mock service.
//!
//! Run it with `cargo run -p zmon-provisioning --example usage`. The lines in quotation comments are
//! the document's; below each stands what replaces it.

use std::error::Error;
use std::io::{Write, stdout};
use std::sync::Arc;

use zmon_domain::address::DeviceAddress;
use zmon_domain::ids::DeviceId;
use zmon_provisioning::{
    IProvisioningService, MockConfig, MockProvisioningService, ProvisioningPayload,
    ProvisioningResult,
};

// The mock's delay passes in virtual time: the example ends at once.
#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    let provisioning_service = service()?;
    enter(&*provisioning_service).await?;

    // Step 1: Generate QR code
    // > QString deviceId = "ZM-ICU-MON-04";
    let device_id = DeviceId::parse("ZM-ICU-MON-04")?;
    // > QString deviceIp = "10.1.50.104";
    let device_ip = DeviceAddress::parse("10.1.50.104")?;

    // > QRCodeData qrData = provisioningService->generateProvisioningQRCode(deviceId, deviceIp);
    let qr_data = provisioning_service.generate_provisioning_qr_code(&device_id, device_ip).await?;

    // Display QR code in UI
    // > qrCodeDisplay->setPixmap(QPixmap::fromImage(qrData.qrCodeImage));
    display_image(qr_data.qr_code_image())?;
    // > pairingCodeLabel->setText(qrData.pairingCode);
    display_code(&qr_data.pairing_code().display())?;

    // Step 2: Wait for Central Station to send configuration
    // (Configuration received via HTTPS POST from Central Station)
    let payload = wait_for_configuration(&device_id, &qr_data);

    // Step 3: Apply configuration
    // > auto future = provisioningService->applyConfiguration(payload, qrData.pairingCode);
    let code = qr_data.pairing_code().display();
    let future = provisioning_service.apply_configuration(&payload, &code);

    // > future.then([](const ProvisioningResult& result) {
    let result: ProvisioningResult = future.await;
    // > if (result.isSuccess()) {
    if result.is_success() {
        // > m_logService->info("Provisioning completed successfully", {
        //       {"serverUrl", result.serverUrl}, {"deviceLabel", result.deviceLabel} });
        tracing::info!(
            server_url = ?result.server_url,
            device_label = ?result.device_label,
            "Provisioning completed successfully"
        );

        // Update UI
        // > showProvisionedState();
        show(&format!("{}", provisioning_service.get_status()))?;

        // Connect to server
        // > connectToServer();
        let connected = provisioning_service.link().borrow().connected;
        show(&format!("connected: {connected}"))?;
    } else if let Some(error) = result.error {
        // > m_logService->critical("Provisioning failed", {{"error", result.error.message}});
        tracing::error!(error = error.message(), "Provisioning failed");
        // > showError(result.error.message);
        show(&error.message())?;
        return Err(error.into());
    }
    Ok(())
}

fn service() -> Result<Arc<dyn IProvisioningService>, Box<dyn Error>> {
    let config = MockConfig::new("ZM-ICU-MON-04", "SN-2024-001234", "10.1.50.104")?;
    Ok(Arc::new(MockProvisioningService::new(config)))
}

/// The document leaves this out: a window opens only for an authenticated operator (D22).
#[expect(clippy::disallowed_methods, reason = "the example has no operators to authenticate")]
async fn enter(service: &dyn IProvisioningService) -> Result<(), Box<dyn Error>> {
    use core::time::Duration;
    use zmon_domain::ids::OperatorId;
    use zmon_domain::role::{Role, danger};
    use zmon_domain::time::Tick;

    let expires = Tick::new(Duration::from_secs(60));
    let proof = danger::authenticated(OperatorId::parse("tess")?, Role::Technician, expires);
    service.enter_provisioning_mode(proof).await?;
    Ok(())
}

/// A real device needs no such call: its listener receives the payload and the service applies it.
fn wait_for_configuration(
    device_id: &DeviceId,
    qr: &zmon_provisioning::qr::QrCodeData,
) -> ProvisioningPayload {
    ProvisioningPayload::mock(device_id, &qr.pairing_code().display(), qr.timestamp())
}

fn display_image(png: &[u8]) -> std::io::Result<()> {
    show(&format!("QR code: PNG image of {} bytes", png.len()))
}

fn display_code(code: &str) -> std::io::Result<()> {
    show(&format!("pairing code: {code}"))
}

fn show(text: &str) -> std::io::Result<()> {
    writeln!(stdout(), "{text}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_example_ends_well() {
        super::main().unwrap();
    }
}
