//! The device's local control socket: one JSON object a line, each way.
//!
//! A request is an object with one member, the method: `{"status":{}}`,
//! `{"enter":{"operator":"tess","pin":"…"}}`. An answer is one as well, `{"status":{…}}` or
//! `{"error":{…}}` with a problem document. `{"events":{}}` is answered by a `status`, then an `event`
//! a line until the client hangs up.

mod view;

use alloc::{boxed::Box, string::String, vec::Vec};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;
use zmon_domain::{
    address::DeviceAddress,
    ids::{DeviceId, OperatorId, OverrideReason, SiteId, Thumbprint},
    limits,
    role::Role,
};

pub use self::view::{
    AnchorView, AnchorsView, ConfirmationView, CourierView, EventView, IdentityView, LinkView,
    ManualView, OperatorView, OperatorsView, QrView, StatusView,
};
use crate::{
    audit::{AuditPage, AuditVerdict},
    b64,
    configuration::ProvisioningPayload,
    kind::True,
    problem::Problem,
    secret::SecretText,
    strict::{self, WireError},
    text,
};

/// What a local client asks for. Nothing but `enter` and `reprovision`, with an operator's PIN, opens a
/// window.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub enum ControlRequest {
    /// The state of the device.
    Status {},
    /// Enter provisioning mode.
    Enter {
        /// The operator.
        #[serde(with = "text")]
        operator: OperatorId,
        /// The operator's PIN.
        #[serde(deserialize_with = "crate::secret::pin")]
        pin: SecretText,
        /// The address to show in the QR code; the configured one when absent.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
        address: Option<DeviceAddress>,
        /// Why an administrator goes on although the clinical interlock objects.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
        override_interlock: Option<OverrideReason>,
    },
    /// Enter provisioning mode on a provisioned device.
    Reprovision {
        /// The operator.
        #[serde(with = "text")]
        operator: OperatorId,
        /// The operator's PIN.
        #[serde(deserialize_with = "crate::secret::pin")]
        pin: SecretText,
        /// The operator means it: another configuration is to replace the one in force.
        confirm: True,
        /// The address to show in the QR code; the configured one when absent.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
        address: Option<DeviceAddress>,
        /// Why an administrator goes on although the clinical interlock objects.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
        override_interlock: Option<OverrideReason>,
    },
    /// Ask the station for a new certificate now.
    Renew {
        /// The operator.
        #[serde(with = "text")]
        operator: OperatorId,
        /// The operator's PIN.
        #[serde(deserialize_with = "crate::secret::pin")]
        pin: SecretText,
    },
    /// Confirm the station of a device that trusts by proximity (D8).
    ConfirmStation {
        /// The operator.
        #[serde(with = "text")]
        operator: OperatorId,
        /// The operator's PIN.
        #[serde(deserialize_with = "crate::secret::pin")]
        pin: SecretText,
        /// The four words that the operator has compared, as the station shows them.
        #[serde(deserialize_with = "crate::text::words")]
        words: String,
    },
    /// Refuse that station: the pairing is over.
    RefuseStation {},
    /// The QR code of the open window.
    Qr {},
    /// A new code and token in the open window.
    Regenerate {},
    /// Leave provisioning mode.
    Cancel {},
    /// Take what a courier has laid into the device's folder (D7).
    Courier {},
    /// Have a simulated station provision the device whose window is open; development builds only.
    Simulate {
        /// What to configure; a payload of the device's own when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        payload: Option<Box<ProvisioningPayload>>,
    },
    /// Try again after a failure.
    Retry {
        /// The operator.
        #[serde(with = "text")]
        operator: OperatorId,
        /// The operator's PIN.
        #[serde(deserialize_with = "crate::secret::pin")]
        pin: SecretText,
    },
    /// Clear a failure.
    Reset {
        /// The operator.
        #[serde(with = "text")]
        operator: OperatorId,
        /// The operator's PIN.
        #[serde(deserialize_with = "crate::secret::pin")]
        pin: SecretText,
    },
    /// Remove the configuration.
    Deprovision {
        /// The administrator.
        #[serde(with = "text")]
        operator: OperatorId,
        /// The administrator's PIN.
        #[serde(deserialize_with = "crate::secret::pin")]
        pin: SecretText,
    },
    /// Erase the device.
    FactoryReset {
        /// The administrator.
        #[serde(with = "text")]
        operator: OperatorId,
        /// The administrator's PIN.
        #[serde(deserialize_with = "crate::secret::pin")]
        pin: SecretText,
        /// The device's identifier, typed to confirm.
        #[serde(with = "text")]
        confirmation: DeviceId,
        /// Give the device a new identity key and root secret; it starts again by itself.
        #[serde(default, skip_serializing_if = "core::ops::Not::not")]
        new_identity: bool,
    },
    /// Go from the manual configuration to provisioning.
    Migrate {
        /// The operator.
        #[serde(with = "text")]
        operator: OperatorId,
        /// The operator's PIN.
        #[serde(deserialize_with = "crate::secret::pin")]
        pin: SecretText,
        /// The address to show in the QR code; the configured one when absent.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
        address: Option<DeviceAddress>,
    },
    /// Keep the manual configuration for now.
    PostponeMigration {
        /// The operator.
        #[serde(with = "text")]
        operator: OperatorId,
        /// The operator's PIN.
        #[serde(deserialize_with = "crate::secret::pin")]
        pin: SecretText,
    },
    /// Make the first administrator; only while there is no operator.
    CreateAdministrator {
        /// The new account.
        #[serde(with = "text")]
        operator: OperatorId,
        /// Its PIN.
        #[serde(deserialize_with = "crate::secret::pin")]
        pin: SecretText,
    },
    /// Who the device is.
    Identity {},
    /// The anchors of the device: whose stations it believes (D8).
    Anchors {},
    /// Believe the stations of one more anchor from now on.
    ImportAnchor {
        /// The administrator.
        #[serde(with = "text")]
        operator: OperatorId,
        /// The administrator's PIN.
        #[serde(deserialize_with = "crate::secret::pin")]
        pin: SecretText,
        /// The CA certificate, DER.
        #[serde(with = "b64::url")]
        certificate: Vec<u8>,
        /// The site that it speaks for.
        #[serde(with = "text")]
        site: SiteId,
        /// The fingerprint that the administrator has compared: SHA-256 of the certificate.
        #[serde(with = "text")]
        fingerprint: Thumbprint,
    },
    /// The link to the station.
    Link {},
    /// A page of the audit log.
    Log {
        /// Only rows after this sequence number.
        #[serde(default)]
        after: u64,
        /// At most so many rows; the usual page when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u16>,
    },
    /// Verify the audit log.
    Verify {},
    /// Follow what happens.
    Events {},
    /// Add a local operator.
    AddOperator {
        /// The administrator who does it.
        #[serde(with = "text")]
        operator: OperatorId,
        /// The administrator's PIN.
        #[serde(deserialize_with = "crate::secret::pin")]
        pin: SecretText,
        /// The new account.
        #[serde(with = "text")]
        new_operator: OperatorId,
        /// Its PIN.
        #[serde(deserialize_with = "crate::secret::pin")]
        new_pin: SecretText,
        /// Its role.
        #[serde(with = "text")]
        role: Role,
    },
    /// Who the local operators are.
    ListOperators {
        /// The administrator who asks.
        #[serde(with = "text")]
        operator: OperatorId,
        /// The administrator's PIN.
        #[serde(deserialize_with = "crate::secret::pin")]
        pin: SecretText,
    },
    /// Remove a local operator; the last administrator stays.
    RemoveOperator {
        /// The administrator who does it.
        #[serde(with = "text")]
        operator: OperatorId,
        /// The administrator's PIN.
        #[serde(deserialize_with = "crate::secret::pin")]
        pin: SecretText,
        /// The account.
        #[serde(with = "text")]
        account: OperatorId,
    },
    /// Give a local operator another PIN.
    SetPin {
        /// The administrator who does it.
        #[serde(with = "text")]
        operator: OperatorId,
        /// The administrator's PIN.
        #[serde(deserialize_with = "crate::secret::pin")]
        pin: SecretText,
        /// The account.
        #[serde(with = "text")]
        account: OperatorId,
        /// Its new PIN.
        #[serde(deserialize_with = "crate::secret::pin")]
        new_pin: SecretText,
    },
    /// Forget the wrong PINs of a local operator who has to wait.
    UnlockOperator {
        /// The administrator who does it.
        #[serde(with = "text")]
        operator: OperatorId,
        /// The administrator's PIN.
        #[serde(deserialize_with = "crate::secret::pin")]
        pin: SecretText,
        /// The account.
        #[serde(with = "text")]
        account: OperatorId,
    },
}

/// What the device answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub enum ControlAnswer {
    /// Done; there is nothing else to say.
    Done {},
    /// The state of the device.
    Status(Box<StatusView>),
    /// The QR code.
    Qr(QrView),
    /// Who the device is.
    Identity(IdentityView),
    /// The anchors of the device.
    Anchors(AnchorsView),
    /// The link to the station.
    Link(LinkView),
    /// A page of the audit log.
    Log(AuditPage),
    /// What verifying found.
    Verdict(AuditVerdict),
    /// The local operators.
    Operators(OperatorsView),
    /// What was taken from the courier's folder, and what was laid into it.
    Courier(CourierView),
    /// Something happened.
    Event(EventView),
    /// It failed.
    Error(Box<Problem>),
}

/// One line of the socket: the JSON and a line end, wiped on drop: requests carry PINs, answers codes.
///
/// # Errors
/// Never for messages of this crate; see [`strict::to_vec`].
pub fn to_line<T: Serialize>(message: &T) -> Result<Zeroizing<Vec<u8>>, WireError> {
    // With its end.
    let mut line = strict::to_secret(message, limits::BODY_MAX.default.saturating_add(1))?;
    line.push(b'\n');
    Ok(line)
}
