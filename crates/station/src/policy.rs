//! What this station allows, and who it is.

use core::time::Duration;
use std::net::IpAddr;

use zmon_domain::address::NetworkPolicy;
use zmon_domain::ids::{SiteId, StationId, StationName};
use zmon_domain::limits;
use zmon_domain::settings::{Language, MeasurementUnit, SyncInterval};
use zmon_protocol::station::{ServerParameters, StationPolicy as SessionPolicy};

use crate::ports::Enrolment;

/// Who this station is and what it puts into every configuration.
#[derive(Debug, Clone)]
pub struct StationProfile {
    /// Its id, as in the SAN of its configuration-signing certificate (D8).
    pub station_id: StationId,
    /// The name devices and operators see.
    pub station_name: StationName,
    /// The hospital's site, as the devices' anchor says.
    pub site_id: SiteId,
    /// Where provisioned devices connect, and how they recognise it (`serverUrl`, `caCertificate`,
    /// `serverCertificate`).
    pub server: ServerParameters,
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

/// Who may fetch a certificate by EST (RFC 7030).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum EnrolmentPolicy {
    /// Nobody.
    #[default]
    Off,
    /// Devices that show their current certificate (`simplereenroll`).
    Reenroll,
    /// Those, and devices for which an administrator has made a credential (`simpleenroll`).
    Enroll,
}

impl EnrolmentPolicy {
    /// By what rights a device may enrol.
    #[must_use]
    pub const fn rights(self) -> &'static [Enrolment] {
        match self {
            Self::Off => &[],
            Self::Reenroll => &[Enrolment::Certificate],
            Self::Enroll => &[Enrolment::Certificate, Enrolment::Credential],
        }
    }
}

/// What this station allows.
#[derive(Debug, Clone)]
pub struct StationPolicy {
    /// What a session is checked against: networks, suites, key protection, device trust, times.
    pub session: SessionPolicy,
    /// Where devices may not be dialled, whatever `session.networks` says (D18).
    pub own_addresses: Vec<OwnAddress>,
    /// How long a device certificate is valid.
    pub certificate_lifetime: Duration,
    /// Whether a device may replace an expired certificate by itself (D23). Default: no.
    pub recovery: bool,
    /// Who may fetch a certificate by EST (RFC 7030). Default: nobody.
    pub enrolment: EnrolmentPolicy,
    /// Values for devices whose registry row says nothing.
    pub defaults: DefaultSettings,
    /// How long a login lasts.
    pub login_lifetime: Duration,
    /// How long `pair` waits for the device before it answers "pending".
    pub pair_wait: Duration,
    /// How many pairings one batch runs at a time.
    pub batch_concurrency: usize,
    /// How long a revocation list is valid; a new one is made after half of it.
    pub crl_lifetime: Duration,
}

impl StationPolicy {
    /// The defaults, with devices in `networks`.
    #[must_use]
    pub fn new(networks: NetworkPolicy) -> Self {
        Self {
            session: SessionPolicy::new(networks),
            own_addresses: Vec::new(),
            certificate_lifetime: limits::CERT_LIFETIME.default,
            recovery: false,
            enrolment: EnrolmentPolicy::Off,
            defaults: DefaultSettings {
                sync_interval: SyncInterval::default(),
                unit: MeasurementUnit::Metric,
                language: Language::EN,
            },
            login_lifetime: limits::LOGIN_LIFETIME.default,
            pair_wait: limits::PAIR_TIMEOUT.default,
            batch_concurrency: limits::BATCH_CONCURRENCY.default,
            crl_lifetime: limits::CRL_LIFETIME.default,
        }
    }

    /// Whether `ip:port` is one of the station's own addresses.
    #[must_use]
    pub fn is_own(&self, ip: IpAddr, port: u16) -> bool {
        self.own_addresses.iter().any(|own| own.ip == ip && own.port.is_none_or(|p| p == port))
    }
}
