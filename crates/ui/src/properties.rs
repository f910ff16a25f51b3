//! The eight properties.

use core::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;
use zmon_domain::state::ProvisioningState;
use zmon_domain::time::{Now, is_expired};
use zmon_provisioning::{CertificateView, PairingView, ServiceView};

/// The properties of [W §11.2], whole and consistent in each value.
///
/// While a window is open it holds the pairing code and the QR image: for the screen in front of
/// the operator, never for a log. `Debug` leaves them out.
#[derive(Clone, PartialEq, Eq)]
pub struct ProvisioningProperties {
    /// `provisioningState`: the state of [W §6].
    pub provisioning_state: ProvisioningState,
    /// `pairingCode`: as people read it, e.g. `ABC-123-XYZ`; empty without an open window.
    /// Wiped on drop.
    pub pairing_code: Zeroizing<String>,
    /// `qrCodeData`: a PNG image; empty without an open window.
    pub qr_code_data: Arc<[u8]>,
    /// `expirationTime`: whole seconds until the pairing code expires; 0 without an open window.
    pub expiration_time: u64,
    /// `errorMessage`: why the last attempt failed and what to do; empty if none did.
    pub error_message: String,
    /// `isProvisioned`: whether a configuration is in force.
    pub is_provisioned: bool,
    /// `serverUrl`: of the configuration in force; empty without one.
    pub server_url: String,
    /// `certificateStatus`: a sentence about the client certificate in force.
    pub certificate_status: String,
}

impl ProvisioningProperties {
    /// The document's names, in its order.
    pub const NAMES: [&'static str; 8] = [
        "provisioningState",
        "pairingCode",
        "qrCodeData",
        "expirationTime",
        "errorMessage",
        "isProvisioned",
        "serverUrl",
        "certificateStatus",
    ];

    /// The properties of `view` at `now`, with the image drawn elsewhere.
    pub(crate) fn new(view: &ServiceView, image: Arc<[u8]>, now: &Now) -> Self {
        let code = |pairing: &PairingView| pairing.code.display();
        let seconds = |pairing: &PairingView| pairing.seconds_left(now.mono);
        let error = view.last_error.as_ref();
        Self {
            provisioning_state: view.state,
            pairing_code: view.pairing.as_ref().map(code).unwrap_or_default(),
            qr_code_data: image,
            expiration_time: view.pairing.as_ref().map_or(0, seconds),
            error_message: error
                .map(|error| format!("{error} {}", error.next()))
                .unwrap_or_default(),
            is_provisioned: view.is_provisioned,
            server_url: view.server_url.as_ref().map(|url| url.as_str().into()).unwrap_or_default(),
            certificate_status: certificate_status(view.certificate, now),
        }
    }
}

impl fmt::Debug for ProvisioningProperties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProvisioningProperties")
            .field("provisioning_state", &self.provisioning_state)
            .field("expiration_time", &self.expiration_time)
            .field("error_message", &self.error_message)
            .field("is_provisioned", &self.is_provisioned)
            .field("server_url", &self.server_url)
            .field("certificate_status", &self.certificate_status)
            .finish_non_exhaustive()
    }
}

fn certificate_status(certificate: Option<CertificateView>, now: &Now) -> String {
    let Some(certificate) = certificate else { return String::from("No certificate installed.") };
    match (certificate.not_after, now.wall) {
        (None, _) => String::from("Certificate installed."),
        (Some(not_after), Some(wall)) if is_expired(wall, not_after) => {
            format!("Certificate expired on {not_after}.")
        }
        (Some(not_after), Some(_)) => format!("Certificate valid until {not_after}."),
        (Some(not_after), None) => {
            format!("Certificate valid until {not_after}; the clock of this monitor is not set.")
        }
    }
}
