//! `IProvisioningService`: the interface of [I §2.1] and [W §11.1], and the types it speaks.

mod events;
mod opening;
mod payload;
mod result;
mod status;
mod verdict;
mod view;

use async_trait::async_trait;
use tokio::sync::watch;
use zmon_domain::address::DeviceAddress;
use zmon_domain::code::PairingCode;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, OverrideReason};
use zmon_domain::role::OperatorProof;
use zmon_domain::state::{ProvisioningState, ProvisioningStatus};

use crate::link::LinkStatus;
use crate::qr::QrCodeData;

pub use events::{EventHub, EventStream, ProvisioningEvent};
pub use opening::Opening;
pub use payload::{PayloadFields, ProvisioningPayload};
pub use result::{ProvisioningError, ProvisioningResult, VerifiedConfiguration};
pub use verdict::CodeVerdict;
pub use view::{CertificateView, Confirmation, ManualView, PairingView, QrView, ServiceView};

/// Device provisioning: a window, a code, a configuration, a certificate.
///
/// The trait keeps the document's name and is dyn-compatible (`Arc<dyn IProvisioningService>`).
/// Two implementations pass one contract suite:
/// [`CentralStationProvisioningService`](crate::CentralStationProvisioningService) and
/// [`MockProvisioningService`](crate::MockProvisioningService).
///
/// Every future may be dropped at any point: an operation that reached the service is finished or
/// was never begun, and its outcome is in [`get_status`](Self::get_status), the events and the
/// audit log. Errors are [`ProvisioningError`]s: a stable code with step, side, blame and next
/// action (D24).
#[async_trait]
pub trait IProvisioningService: Send + Sync {
    /// Which device this is.
    fn device_id(&self) -> &DeviceId;

    /// Opens a window: pairing code, QR code, listener (`enterProvisioningMode`, [W §11.1]).
    ///
    /// # Errors
    ///
    /// `not_permitted` or `proof_expired` (the refusal is audited), `interlock_active`,
    /// `already_in_provisioning_mode`, `listener_failed`, `audit_unavailable`.
    async fn enter_provisioning_mode(&self, proof: OperatorProof) -> Result<(), ProvisioningError>;

    /// Opens a window although the clinical interlock objects, for an administrator who says why
    /// (D22): until the window and its session are over, the interlock is not asked. An override
    /// that a power cut interrupts is over.
    ///
    /// # Errors
    ///
    /// `not_permitted` unless the proof is an administrator's (the refusal is audited); as the
    /// opening without an override.
    async fn open_despite_interlock(
        &self,
        proof: OperatorProof,
        reason: OverrideReason,
        opening: Opening,
    ) -> Result<(), ProvisioningError>;

    /// Closes the window and voids code and token (`exitProvisioningMode`, "Cancel Provisioning").
    /// Nobody needs a PIN for that; the row names the operator of a proof that still counts, else
    /// `local` (D22).
    ///
    /// # Errors
    ///
    /// `not_in_provisioning_mode` without a window or session.
    async fn exit_provisioning_mode(
        &self,
        by: Option<&OperatorProof>,
    ) -> Result<(), ProvisioningError>;

    /// The QR code of the open window, announcing `device_ip` (`generateProvisioningQRCode`).
    ///
    /// # Errors
    ///
    /// `not_in_provisioning_mode` without an open window (D22: only the authenticated command
    /// opens one), `device_mismatch` if `device_id` is not this device.
    async fn generate_provisioning_qr_code(
        &self,
        device_id: &DeviceId,
        device_ip: DeviceAddress,
    ) -> Result<QrCodeData, ProvisioningError>;

    /// The QR code of the open window as it stands (`generateQRCode`, [W §11.1]).
    ///
    /// # Errors
    ///
    /// `not_in_provisioning_mode` without an open window.
    async fn generate_qr_code(&self) -> Result<QrCodeData, ProvisioningError>;

    /// [`regenerate`](Self::regenerate) on the wish of someone at the screen
    /// (`generatePairingCode`, "Regenerate QR Code").
    ///
    /// # Errors
    ///
    /// As [`regenerate`](Self::regenerate).
    async fn generate_pairing_code(&self) -> Result<PairingCode, ProvisioningError> {
        self.regenerate(None).await
    }

    /// Voids code and token and makes new ones. The rows name who asked as those of
    /// [`exit_provisioning_mode`](Self::exit_provisioning_mode) do.
    ///
    /// # Errors
    ///
    /// `not_in_provisioning_mode`, `state_conflict` once a station has claimed the code.
    async fn regenerate(
        &self,
        by: Option<&OperatorProof>,
    ) -> Result<PairingCode, ProvisioningError>;

    /// Judges a typed code on this device alone (`validatePairingCode`): it consumes nothing, and
    /// no network peer can ask it.
    fn validate_pairing_code(&self, code: &str) -> CodeVerdict;

    /// Receives and validates a sealed envelope (`receiveConfiguration`, [W §11.1]). The device
    /// begins to apply a valid one at once; [`apply_provisioning_config`] awaits the outcome.
    ///
    /// [`apply_provisioning_config`]: Self::apply_provisioning_config
    ///
    /// # Errors
    ///
    /// Every refusal of the order of D4, D5 and D8, e.g. `envelope_mac_invalid`,
    /// `signature_invalid`, `configuration_expired`.
    async fn receive_configuration(
        &self,
        payload: &[u8],
    ) -> Result<VerifiedConfiguration, ProvisioningError>;

    /// Applies a configuration payload from the station (`applyConfiguration`, [I §2.1]): checks
    /// the code against this session, the payload's members and expiry, then its seal and
    /// signature, tests the connection, commits, and resolves with the outcome.
    async fn apply_configuration(
        &self,
        payload: &ProvisioningPayload,
        pairing_code: &str,
    ) -> ProvisioningResult;

    /// Resolves with the outcome of a verified configuration (`applyConfiguration`, [W §11.1]).
    async fn apply_provisioning_config(&self, config: VerifiedConfiguration) -> ProvisioningResult;

    /// Tests the connection with the newest configuration (`testConnection`, [W §11.1]); changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// `state_conflict` without a configuration; otherwise what the link found.
    async fn test_connection(&self) -> Result<(), ProvisioningError>;

    /// The six-valued status ([I §3.3]).
    fn get_status(&self) -> ProvisioningStatus;

    /// The state machine's state ([W §6]).
    fn state(&self) -> ProvisioningState;

    /// Development only: provisions with `mock_payload` against a station in memory (D20).
    /// Without the cargo feature `simulate` it answers `simulation_unavailable`.
    async fn simulate_provisioning(&self, mock_payload: &ProvisioningPayload)
    -> ProvisioningResult;

    /// Wipes both slots (`deprovisionDevice`); needs an administrator. Audited.
    ///
    /// # Errors
    ///
    /// `not_permitted`, `proof_expired`, `state_conflict` when there is nothing to remove.
    async fn deprovision_device(&self, proof: OperatorProof) -> Result<(), ProvisioningError>;

    /// Erases the device ("Factory Reset", [W §7.2]): slots, settings, clinical data, operators, a
    /// manual configuration. The audit log, the identity, the anchors and the statements for
    /// stations stay. Resolves when all of it is done; what a power cut interrupts the next start
    /// finishes.
    ///
    /// # Errors
    ///
    /// `not_permitted`, `proof_expired`, `confirmation_mismatch` unless `confirmation` is the device's
    /// identifier; `erase_pending` when something could not be erased yet: it is tried again.
    async fn factory_reset(
        &self,
        proof: OperatorProof,
        confirmation: &str,
    ) -> Result<(), ProvisioningError>;

    /// The same, and the device gets a new identity key and root secret (D21): the next start makes
    /// them, and until then the view says [`awaits_restart`](crate::ServiceView::awaits_restart).
    /// What the old key has signed for its station still goes out. A station knows the device under
    /// its old key until an administrator gives it the new one.
    ///
    /// # Errors
    ///
    /// As [`factory_reset`](Self::factory_reset).
    async fn factory_reset_with_new_identity(
        &self,
        proof: OperatorProof,
        confirmation: &str,
    ) -> Result<(), ProvisioningError>;

    /// Goes from a manual configuration to provisioning ([W §14]): opens a window, and after the
    /// first good heartbeat of the new connection the manual configuration is removed. On a
    /// provisioned device only that last step is left.
    ///
    /// # Errors
    ///
    /// As [`enter_provisioning_mode`](Self::enter_provisioning_mode);
    /// `manual_configuration_missing`, `manual_configuration_invalid` and what else makes it unusable,
    /// each audited.
    async fn migrate(&self, proof: OperatorProof) -> Result<(), ProvisioningError>;

    /// "Not now": the manual configuration stays. Audited.
    ///
    /// # Errors
    ///
    /// `not_permitted`, `proof_expired`, `manual_configuration_missing`, `state_conflict` while it is
    /// being removed.
    async fn postpone_migration(&self, proof: OperatorProof) -> Result<(), ProvisioningError>;

    /// Opens a window on a provisioned device, which stays connected ([W §8]).
    ///
    /// # Errors
    ///
    /// As [`enter_provisioning_mode`](Self::enter_provisioning_mode); `state_conflict` when the
    /// device is not provisioned.
    async fn reprovision_device(&self, proof: OperatorProof) -> Result<(), ProvisioningError>;

    /// Asks the station for a new certificate now, due or not (D23). Resolves when the request is on
    /// its way; what becomes of it is in the state, the events and the audit log.
    ///
    /// # Errors
    ///
    /// `not_permitted`, `proof_expired`, `state_conflict` when the device is not provisioned or a
    /// session runs.
    async fn renew_certificate(&self, proof: OperatorProof) -> Result<(), ProvisioningError>;

    /// Confirms the station of a device that trusts by proximity (D8). `words` are the four that this
    /// person has compared. Resolves when the configuration is staged; what becomes of it is in the
    /// state, the events and the audit log.
    ///
    /// # Errors
    ///
    /// `not_permitted`, `proof_expired`, `words_mismatch`, `state_conflict` when no station waits.
    async fn confirm_station(
        &self,
        _proof: OperatorProof,
        _words: &str,
    ) -> Result<(), ProvisioningError> {
        Err(ErrorCode::StateConflict.into())
    }

    /// Refuses that station: the pairing ends with `proximity_refused`. No PIN, as for cancelling.
    ///
    /// # Errors
    ///
    /// `state_conflict` when no station waits.
    async fn refuse_station(&self, _by: Option<&OperatorProof>) -> Result<(), ProvisioningError> {
        Err(ErrorCode::StateConflict.into())
    }

    /// From Error into a new window ("Manual Retry", [W §7.2]).
    ///
    /// # Errors
    ///
    /// `state_conflict` outside Error.
    async fn retry(&self, proof: OperatorProof) -> Result<(), ProvisioningError>;

    /// Clears the provisioning state and starts over ("Reset Provisioning", [W §7.2]).
    ///
    /// # Errors
    ///
    /// `not_permitted`, `proof_expired`.
    async fn reset(&self, proof: OperatorProof) -> Result<(), ProvisioningError>;

    /// The six signals of [I §2.1]; a late subscriber gets the current status first.
    fn events(&self) -> EventStream;

    /// What a screen shows, newest value first. Holds the pairing code: for the local screen only.
    fn view(&self) -> watch::Receiver<ServiceView>;

    /// How the monitoring link is doing ([W §9.2]).
    fn link(&self) -> watch::Receiver<LinkStatus>;
}
