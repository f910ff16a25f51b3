//! A slot: one signed configuration with its client key, and what can be read out of it.

use alloc::vec::Vec;
use core::fmt;

use zmon_crypto::SecretBytes;
use zmon_domain::address::ServerUrl;
use zmon_domain::error::ErrorReport;
use zmon_domain::ids::{DeviceId, Serial, SessionId, Thumbprint};
use zmon_domain::settings::{DeviceSettings, SyncInterval};

/// A configuration as it is stored: the exact signed bytes, and the key that never moved (D6, D13).
#[derive(Clone)]
pub struct Slot {
    /// Counts up with every staged slot; part of the sealing (D19).
    pub generation: u64,
    /// The session that brought it.
    pub session_id: SessionId,
    /// The payload of the configuration JWS, exact bytes.
    pub configuration: Vec<u8>,
    /// The client's TLS key, PKCS#8 DER.
    pub client_key: SecretBytes,
    /// SHA-256 of `configuration`.
    pub configuration_hash: [u8; 32],
    /// Serial number of the client certificate.
    pub serial: Serial,
}

/// How to reach the station with a slot.
#[derive(Clone)]
pub struct LinkCredentials {
    /// Where the station is.
    pub server_url: ServerUrl,
    /// Certificates the server's chain must end in, DER.
    pub ca: Vec<Vec<u8>>,
    /// The client's chain, leaf first, DER.
    pub client_chain: Vec<Vec<u8>>,
    /// The client's TLS key, PKCS#8 DER.
    pub client_key: SecretBytes,
    /// SHA-256 of the server's SPKI, checked besides the chain.
    pub server_pin: Option<Thumbprint>,
    /// Interval of the heartbeat.
    pub sync_interval: SyncInterval,
    /// Who the client certificate speaks for.
    pub device_id: DeviceId,
}

/// What a screen may show of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotSummary {
    /// The session that brought it.
    pub session_id: SessionId,
    /// Where the station is.
    pub server_url: ServerUrl,
    /// Serial number of the client certificate.
    pub serial: Serial,
    /// SHA-256 of the exact signed bytes.
    pub configuration_hash: [u8; 32],
    /// Label, bed, unit, language, interval.
    pub settings: DeviceSettings,
}

impl Slot {
    /// Reads the credentials out of the stored configuration.
    ///
    /// # Errors
    /// `StorageCorrupt` when the stored bytes are not a configuration.
    pub fn credentials(&self) -> Result<LinkCredentials, ErrorReport> {
        todo!()
    }

    /// Reads the settings out of the stored configuration.
    ///
    /// # Errors
    /// `StorageCorrupt` when the stored bytes are not a configuration.
    pub fn settings(&self) -> Result<DeviceSettings, ErrorReport> {
        todo!()
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("generation", &self.generation)
            .field("session_id", &self.session_id)
            .field("serial", &self.serial)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for LinkCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkCredentials")
            .field("server_url", &self.server_url)
            .field("device_id", &self.device_id)
            .finish_non_exhaustive()
    }
}
