//! A slot: one signed configuration with its client key, and what can be read out of it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use zmon_crypto::SecretBytes;
use zmon_crypto::x509::{self, CertificateChain, ValidityWindow};
use zmon_domain::address::ServerUrl;
use zmon_domain::error::{ErrorCode, ErrorReport, FieldError};
use zmon_domain::ids::{DeviceId, Serial, SessionId, StationId, Thumbprint};
use zmon_domain::settings::{DeviceSettings, SyncInterval};
use zmon_wire::configuration::ConfigurationDocument;
use zmon_wire::kind::TrustLevel;

/// A configuration as it is stored: the exact signed bytes, and the key that never moved (D6, D13).
#[derive(Clone)]
pub struct Slot {
    /// Counts up with every staged slot; part of the sealing (D19).
    pub generation: u64,
    /// The session that brought it.
    pub session_id: SessionId,
    /// The payload of the configuration JWS, exact bytes; the pairing code is in it.
    pub configuration: SecretBytes,
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
    /// The station that signed it.
    pub station_id: StationId,
    /// Where the station is.
    pub server_url: ServerUrl,
    /// Serial number of the client certificate.
    pub serial: Serial,
    /// SHA-256 of the exact signed bytes.
    pub configuration_hash: [u8; 32],
    /// The client's chain, leaf first, DER; for the validity a screen shows.
    pub client_chain: Vec<Vec<u8>>,
    /// Label, bed, unit, language, interval.
    pub settings: DeviceSettings,
    /// On what ground its station was believed (D8); none where the certificate says nothing.
    pub trust: Option<TrustLevel>,
}

/// Which slot it is, without what was secret of the pairing.
pub(super) struct SlotRecord {
    pub(super) generation: u64,
    pub(super) session_id: SessionId,
    pub(super) configuration_hash: [u8; 32],
    pub(super) serial: Serial,
}

/// A slot that has been read. The configuration itself stays on the disk: its code is of no use any more.
pub(super) struct Loaded {
    pub(super) slot: SlotRecord,
    pub(super) station_id: StationId,
    pub(super) credentials: LinkCredentials,
    pub(super) settings: DeviceSettings,
    /// Validity of the client certificate.
    pub(super) validity: ValidityWindow,
    /// What the client certificate says of the pairing (D8); none in one of before there were levels.
    pub(super) trust: Option<TrustLevel>,
    /// What the station has stated of its log (D16).
    pub(super) checkpoint: Option<String>,
}

impl Slot {
    /// Reads the credentials out of the stored configuration.
    ///
    /// # Errors
    /// `StorageCorrupt` when the stored bytes are not a configuration.
    pub fn credentials(&self) -> Result<LinkCredentials, ErrorReport> {
        Loaded::read(self).map(|loaded| loaded.credentials)
    }

    /// Reads the settings out of the stored configuration.
    ///
    /// # Errors
    /// `StorageCorrupt` when the stored bytes are not a configuration.
    pub fn settings(&self) -> Result<DeviceSettings, ErrorReport> {
        Loaded::read(self).map(|loaded| loaded.settings)
    }
}

impl Loaded {
    /// Whether its certificate is a simulated station's (D20).
    pub(super) fn is_simulated(&self) -> bool {
        self.trust == Some(TrustLevel::Simulated)
    }

    /// Reads a stored slot.
    pub(super) fn read(slot: &Slot) -> Result<Self, ErrorReport> {
        let document = ConfigurationDocument::parse(slot.configuration.expose())
            .map_err(|_| ErrorCode::StorageCorrupt)?;
        Self::from_document(slot, &document)
            .map_err(|field| ErrorReport::field(ErrorCode::StorageCorrupt, field))
    }

    /// Reads a document that was just verified, or just stored.
    pub(super) fn from_document(
        slot: &Slot,
        document: &ConfigurationDocument,
    ) -> Result<Self, FieldError> {
        let chain = |field: &'static str, text: &str| {
            CertificateChain::from_base64_pem(text)
                .map_err(|_| FieldError::new(field, "must be certificates in PEM, or base64 of it"))
        };
        let ca = chain("caCertificate", document.ca_certificate.as_str())?;
        let client = chain("clientCertificate", document.client_certificate.as_str())?;
        let malformed =
            |_| FieldError::new("clientCertificate", "must be a certificate of X.509 v3");
        let validity = x509::validity_of(client.leaf()).map_err(malformed)?;
        let server_pin = match &document.server_certificate {
            Some(text) => {
                let server = chain("serverCertificate", text.as_str())?;
                Some(x509::spki_thumbprint(server.leaf()).map_err(|_| {
                    FieldError::new("serverCertificate", "must be a certificate of X.509 v3")
                })?)
            }
            None => None,
        };
        let settings = document.settings();
        let credentials = LinkCredentials {
            server_url: document.server_url.clone(),
            ca: der(&ca),
            client_chain: der(&client),
            client_key: slot.client_key.clone(),
            server_pin,
            sync_interval: settings.sync_interval,
            device_id: document.device_id.clone(),
        };
        let station_id = document.station_id.clone();
        let trust = x509::trust_level_of(client.leaf()).map_err(|_| {
            FieldError::new("clientCertificate", "must say a trust level that is known")
        })?;
        let checkpoint = document.audit_checkpoint.clone();
        let slot = SlotRecord {
            generation: slot.generation,
            session_id: slot.session_id,
            configuration_hash: slot.configuration_hash,
            serial: slot.serial,
        };
        Ok(Self { station_id, credentials, settings, slot, validity, trust, checkpoint })
    }

    pub(super) fn summary(&self) -> SlotSummary {
        SlotSummary {
            session_id: self.slot.session_id,
            station_id: self.station_id.clone(),
            server_url: self.credentials.server_url.clone(),
            serial: self.slot.serial,
            configuration_hash: self.slot.configuration_hash,
            client_chain: self.credentials.client_chain.clone(),
            settings: self.settings.clone(),
            trust: self.trust,
        }
    }
}

fn der(chain: &CertificateChain) -> Vec<Vec<u8>> {
    chain.iter().map(|certificate| certificate.to_vec()).collect()
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
