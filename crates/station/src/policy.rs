//! What this station allows, and who it is.

use core::time::Duration;
use std::net::IpAddr;

use zmon_crypto::Suite;
use zmon_domain::address::{NetworkPolicy, ServerUrl};
use zmon_domain::ids::{SiteId, StationId, StationName};
use zmon_domain::limits;
use zmon_domain::settings::{Language, MeasurementUnit, SyncInterval};

/// Who this station is and what it puts into every configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StationProfile {
    /// Its id, as in the SAN of its configuration-signing certificate (D8).
    pub station_id: StationId,
    /// The name devices and operators see.
    pub station_name: StationName,
    /// The hospital's site, as the devices' anchor says.
    pub site_id: SiteId,
    /// Where provisioned devices connect (`serverUrl`, [W §5]).
    pub server_url: ServerUrl,
    /// `caCertificate`: what the server's certificate chains to, PEM. Never an anchor (D8).
    pub server_ca_pem: String,
    /// `serverCertificate`: the server's leaf, PEM; devices pin its key ([I §3.2]).
    pub server_certificate_pem: String,
}

/// On what ground a device is believed to be the registered one (D9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DeviceTrust {
    /// Its id, serial number and identity key are in the registry.
    #[default]
    Registry,
    /// What a logged-in operator scanned is enough; the device is registered when it is first
    /// paired. An id or serial number known under another key is refused all the same.
    Scanned,
}

/// How a device's identity key must be kept (D19).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KeyProtectionDemand {
    /// In a file or in hardware.
    #[default]
    Any,
    /// In hardware only.
    Hardware,
}

/// One of the station's own addresses, which no QR code may send it to (D18).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OwnAddress {
    /// The address.
    pub ip: IpAddr,
    /// One port of it, or every port.
    pub port: Option<u16>,
}

/// Values for devices whose registry row says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultSettings {
    /// Heartbeat interval.
    pub sync_interval: SyncInterval,
    /// Units to show.
    pub unit: MeasurementUnit,
    /// Language to show.
    pub language: Language,
}

/// What this station allows.
#[derive(Debug, Clone)]
pub struct StationPolicy {
    /// Identity key types that are taken.
    pub suites: Vec<Suite>,
    /// How identity keys must be kept.
    pub key_protection: KeyProtectionDemand,
    /// On what ground a device is believed.
    pub device_trust: DeviceTrust,
    /// Where devices may be dialled (D18).
    pub device_networks: NetworkPolicy,
    /// Where they may not, whatever `device_networks` says (D18).
    pub own_addresses: Vec<OwnAddress>,
    /// How long a device certificate is valid.
    pub certificate_lifetime: Duration,
    /// Whether the station makes client keys (`clientPrivateKey`, D6). Off: the device makes them.
    pub station_made_keys: bool,
    /// Values for devices whose registry row says nothing.
    pub defaults: DefaultSettings,
    /// How long a login lasts.
    pub login_lifetime: Duration,
    /// How long `pair` waits for the device before it answers "pending".
    pub pair_wait: Duration,
    /// How long a revocation list is valid; a new one is made after half of it.
    pub crl_lifetime: Duration,
}

impl StationPolicy {
    /// The defaults, with devices in `device_networks`.
    #[must_use]
    pub fn new(device_networks: NetworkPolicy, defaults: DefaultSettings) -> Self {
        Self {
            suites: vec![Suite::P256, Suite::Rsa2048],
            key_protection: KeyProtectionDemand::Any,
            device_trust: DeviceTrust::Registry,
            device_networks,
            own_addresses: Vec::new(),
            certificate_lifetime: limits::CERT_LIFETIME.default,
            station_made_keys: false,
            defaults,
            login_lifetime: Duration::from_hours(8),
            pair_wait: Duration::from_secs(30),
            crl_lifetime: Duration::from_hours(24),
        }
    }

    /// Whether `ip:port` is one of the station's own addresses.
    #[must_use]
    pub fn is_own(&self, ip: IpAddr, port: u16) -> bool {
        self.own_addresses.iter().any(|own| own.ip == ip && own.port.is_none_or(|p| p == port))
    }
}
