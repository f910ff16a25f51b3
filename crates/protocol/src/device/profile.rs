//! What the device is: fixed facts, the keys it may use, and what storage held at start.

use alloc::vec::Vec;
use core::time::Duration;

use zmon_crypto::x509::{AnchorSet, CertificateChain};
use zmon_crypto::{Algorithms, CodeHashKey, IdentityKey, TokenKey};
use zmon_domain::code::CodeFormat;
use zmon_domain::error::FieldError;
use zmon_domain::ids::{DeviceId, DeviceSerial, FirmwareVersion, SiteId};
use zmon_domain::limits;
use zmon_domain::time::UnixTime;
use zmon_wire::kind::{KeyProtection, TrustLevel};

use super::retire::Retirement;
use super::slot::Slot;

/// Whose signature a device takes as a station's authority (D8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum StationTrust {
    /// Hello and configuration chain to an anchor of the device. The default.
    #[default]
    Anchored,
    /// The device holds no anchor: an operator compares four words at it and confirms the station, before
    /// anything is staged. Refused while it holds one.
    Proximity,
    /// Development: the anchors in the context are those of a simulated station (D20).
    Simulated,
}

impl StationTrust {
    /// What the identity document and the certificate say of it.
    #[must_use]
    pub const fn level(self) -> TrustLevel {
        match self {
            Self::Anchored => TrustLevel::Anchored,
            Self::Proximity => TrustLevel::Proximity,
            Self::Simulated => TrustLevel::Simulated,
        }
    }
}

/// Facts and settings of this device that do not change while it runs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeviceProfile {
    /// Identifier, as the registry knows it.
    pub device_id: DeviceId,
    /// Serial number.
    pub serial: DeviceSerial,
    /// Firmware version.
    pub firmware: FirmwareVersion,
    /// Form of the pairing code (D1).
    pub code_format: CodeFormat,
    /// Whose signature counts.
    pub trust: StationTrust,
    /// Where the device's keys live (D19).
    pub key_protection: KeyProtection,
    /// The maker's certificate of the identity key with its chain, for stations that ask for one (D9).
    pub factory_chain: Option<CertificateChain>,
    /// Whether an expired certificate may be replaced without an operator (D23). Default: no.
    pub recovery: bool,
    /// Whether the device takes its client key from the station instead of making it (D6). Default: no.
    pub station_made_keys: bool,
    /// When this firmware was built: no time before it is believed, even by a device that never saw
    /// a trusted one (D14). Default: the epoch, which bounds nothing.
    pub built_at: UnixTime,
    window: Duration,
    rotation: Duration,
}

impl DeviceProfile {
    /// A profile with every default of [`limits`].
    #[must_use]
    pub fn new(device_id: DeviceId, serial: DeviceSerial, firmware: FirmwareVersion) -> Self {
        Self {
            device_id,
            serial,
            firmware,
            code_format: CodeFormat::Grouped9,
            trust: StationTrust::Anchored,
            key_protection: KeyProtection::File,
            factory_chain: None,
            recovery: false,
            station_made_keys: false,
            built_at: UnixTime::EPOCH,
            window: limits::WINDOW.default,
            rotation: limits::ROTATION.default,
        }
    }

    /// Sets how long a pairing code lives: 1 to 60 minutes ([W §2.2] "configurable").
    ///
    /// # Errors
    /// The value is out of range.
    pub fn with_window(mut self, window: Duration) -> Result<Self, FieldError> {
        self.window = limits::WINDOW.check(window)?;
        Ok(self)
    }

    /// How long a pairing code lives.
    #[must_use]
    pub const fn window(&self) -> Duration {
        self.window
    }

    /// How often the token in the QR code is replaced ([W §3]).
    #[must_use]
    pub const fn rotation(&self) -> Duration {
        self.rotation
    }
}

/// What every step of the machine may use; borrowed for the call.
#[derive(Clone, Copy)]
pub struct DeviceContext<'a> {
    /// Facts and settings.
    pub profile: &'a DeviceProfile,
    /// Signs identity documents, statuses, asks and pulls.
    pub identity: &'a dyn IdentityKey,
    /// Keys the token's MAC.
    pub token_key: &'a TokenKey,
    /// Keys the hash of a pairing code in the audit log (D16).
    pub code_hash_key: &'a CodeHashKey,
    /// Whose stations are believed (D8).
    pub anchors: &'a AnchorSet,
    /// Signature verification.
    pub algorithms: &'a Algorithms,
    /// The latest checkpoint of the device's audit log, a JWS (D16).
    pub checkpoint: Option<&'a str>,
}

/// What storage held when the device started.
#[derive(Clone, Debug, Default)]
pub struct BootState {
    /// The active slot.
    pub slot_a: Option<Slot>,
    /// The staged slot, and whether its commit is marked sent.
    pub slot_b: Option<(Slot, bool)>,
    /// A window was open or claimed.
    pub window_open: bool,
    /// The device was deprovisioned and not provisioned since.
    pub deprovisioned: bool,
    /// Highest trusted time the device has seen (D14).
    pub floor: Option<UnixTime>,
    /// Per site the latest `notBefore` of a signing certificate (D14).
    pub site_not_before: Vec<(SiteId, UnixTime)>,
    /// Highest slot generation ever used.
    pub generation: u64,
    /// Statements that wait for their station, oldest first (D21).
    pub retirements: Vec<Retirement>,
    /// Highest counter of a statement ever used.
    pub retire_counter: u64,
    /// A factory reset has begun and not ended.
    pub erasing: bool,
    /// A new identity was asked for with it and is not made yet.
    pub new_identity: bool,
    /// An operator has begun to migrate a manual configuration ([W §14]).
    pub migrating: bool,
    /// The counter of recoveries (D23).
    pub recovery_counter: u64,
}
