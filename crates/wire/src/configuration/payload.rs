//! The view of a configuration that [I §3.2] names `ProvisioningPayload`.

use alloc::string::String;

use serde::{Deserialize, Serialize};
use zmon_domain::{
    error::FieldError,
    limits,
    settings::{Language, MeasurementUnit, SyncInterval},
    time::{UnixTime, is_expired},
};

use super::ConfigurationDocument;
use crate::{
    secret::SecretText,
    strict::{self, WireError},
    text,
};

/// A configuration payload with exactly the members of [I §3.2], and the bed of [W §5].
///
/// It is a view for callers of the provisioning service: text members may be empty, as in the document,
/// and [`ProvisioningPayload::is_valid`] says whether the needed ones are there. A device never acts on
/// it; it acts on the verified [`ConfigurationDocument`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProvisioningPayload {
    /// The device; must match.
    pub device_id: String,
    /// The pairing code, for validation.
    #[serde(default = "nothing")]
    pub pairing_code: SecretText,
    /// The station's URL.
    pub server_url: String,
    /// Interval of the heartbeat, in seconds.
    #[serde(default, with = "text::sync_interval")]
    pub sync_interval: SyncInterval,
    /// Client certificate for mTLS.
    pub client_certificate: String,
    /// Client private key, sealed; empty when the device made its own.
    #[serde(default = "nothing")]
    pub client_private_key: SecretText,
    /// CA certificate.
    #[serde(default)]
    pub ca_certificate: String,
    /// Server certificate, for pinning.
    #[serde(default)]
    pub server_certificate: String,
    /// Device label.
    #[serde(default)]
    pub device_label: String,
    /// Bed ([W §5]).
    #[serde(default)]
    pub bed_id: String,
    /// `METRIC` or `IMPERIAL`.
    #[serde(default, with = "text")]
    pub measurement_unit: MeasurementUnit,
    /// Language.
    #[serde(default, with = "text")]
    pub language: Language,
    /// The signature: the third part of the configuration's JWS (D4).
    pub signature: String,
    /// When it was made.
    #[serde(with = "text")]
    pub timestamp: UnixTime,
    /// Until when it may be applied; an hour after `timestamp` when absent.
    #[serde(default, with = "text::option")]
    pub expires_at: Option<UnixTime>,
}

impl ProvisioningPayload {
    /// The view of a configuration with the signature of its JWS.
    #[must_use]
    pub fn new(document: &ConfigurationDocument, signature: &str) -> Self {
        let secret = |text: &Option<SecretText>| text.clone().unwrap_or_else(nothing);
        let shown = |text: Option<&str>| String::from(text.unwrap_or_default());
        Self {
            device_id: document.device_id.as_str().into(),
            pairing_code: secret(&document.pairing_code),
            server_url: document.server_url.as_str().into(),
            sync_interval: document.sync_interval,
            client_certificate: document.client_certificate.as_str().into(),
            client_private_key: secret(&document.client_private_key),
            ca_certificate: document.ca_certificate.as_str().into(),
            server_certificate: shown(document.server_certificate.as_ref().map(|pem| pem.as_str())),
            device_label: shown(document.device_label.as_ref().map(|label| label.as_str())),
            bed_id: shown(document.bed_id.as_ref().map(|bed| bed.as_str())),
            measurement_unit: document.measurement_unit,
            language: document.language,
            signature: signature.into(),
            timestamp: document.timestamp,
            expires_at: Some(document.expires_at),
        }
    }

    /// Reads a payload in the form of [W §5] or [I §3.2].
    ///
    /// # Errors
    /// A [`WireError`] naming the member and the rule.
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        strict::parse(bytes, limits::BODY_MAX.default)
    }

    /// Whether the members without which nothing works are there ([I §3.2] `isValid`).
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.check().is_ok()
    }

    /// As [`is_valid`](Self::is_valid), naming what is missing.
    ///
    /// # Errors
    /// The first member without which nothing works that is empty.
    pub fn check(&self) -> Result<(), FieldError> {
        let needed = [
            ("deviceId", &self.device_id),
            ("serverUrl", &self.server_url),
            ("clientCertificate", &self.client_certificate),
            ("signature", &self.signature),
        ];
        match needed.into_iter().find(|(_, text)| text.is_empty()) {
            Some((member, _)) => Err(FieldError::new(member, "must not be empty")),
            None => Ok(()),
        }
    }

    /// When it expires: an hour after its timestamp when it does not say.
    #[must_use]
    pub fn expires_at(&self) -> UnixTime {
        self.expires_at.unwrap_or_else(|| self.timestamp + limits::PAYLOAD_LIFETIME.default)
    }

    /// Whether its time has passed ([I §3.2] `isExpired`).
    #[must_use]
    pub fn is_expired(&self, now: UnixTime) -> bool {
        is_expired(now, self.expires_at())
    }
}

fn nothing() -> SecretText {
    SecretText::new("")
}
