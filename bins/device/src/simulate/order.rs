//! What a payload asks of the simulated station.

use zmon_domain::address::DeviceAddress;
use zmon_domain::error::{ErrorCode, ErrorReport, FieldError};
use zmon_domain::ids::{BedId, DeviceLabel, Thumbprint};
use zmon_domain::route::Route;
use zmon_provisioning::{ProvisioningPayload, qr::QrCodeData};
use zmon_wire::manifest::ManifestRow;
use zmon_wire::pair::PairRequest;
use zmon_wire::qr::QrContent;

/// A registry row and a request to pair: what an administrator and a tablet would send.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) row: ManifestRow,
    pub(super) pair: PairRequest,
}

impl Order {
    /// Bed, label, unit, language and interval are the payload's. Certificates, URL, signature and
    /// times are made anew: a device acts only on what was made for its own session.
    ///
    /// # Errors
    /// `envelope_malformed` for a sealed payload, `device_mismatch`, `pairing_code_mismatch` for
    /// members that are not this device's, `configuration_malformed` naming the member.
    pub(super) fn new(
        qr: &QrCodeData,
        payload: &ProvisioningPayload,
        identity: Thumbprint,
        address: DeviceAddress,
    ) -> Result<Self, ErrorReport> {
        let fields = payload.fields().ok_or(ErrorCode::EnvelopeMalformed)?;
        if fields.device_id != qr.device_id().as_str() {
            return Err(ErrorCode::DeviceMismatch.into());
        }
        let code = fields.pairing_code.expose();
        if !code.is_empty() && code != qr.pairing_code().display().as_str() {
            return Err(ErrorCode::PairingCodeMismatch.into());
        }
        let bed = given(&fields.bed_id).map(BedId::parse).transpose().map_err(malformed)?;
        let label =
            given(&fields.device_label).map(DeviceLabel::parse).transpose().map_err(malformed)?;
        let shown = QrContent::parse(qr.qr_code_content().as_bytes())
            .map_err(|error| error.report(ErrorCode::RequestMalformed))?;

        let (id, serial) = (shown.device_id, shown.device_serial);
        let mut row = ManifestRow::new(id.clone(), serial.clone(), identity);
        row.measurement_unit = Some(fields.measurement_unit);
        row.language = Some(fields.language);
        row.sync_interval = Some(fields.sync_interval);
        let pair = PairRequest {
            device_id: id,
            pairing_code: shown.pairing_code,
            pairing_token: Some(shown.pairing_token),
            session_id: None,
            device_serial: Some(serial),
            ip_address: Some(address),
            port: None,
            bed_id: bed,
            device_label: label,
            delivery: Some(Route::Push),
        };
        Ok(Self { row, pair })
    }
}

fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn malformed(field: FieldError) -> ErrorReport {
    ErrorReport::field(ErrorCode::ConfigurationMalformed, field)
}
