//! What the station is, what it allows, and what its records say about a device.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use zmon_crypto::token::PairingToken;
use zmon_crypto::x509::FactoryAnchors;
use zmon_crypto::{Algorithms, IdentityKey, Suite};
use zmon_domain::address::{DeviceAddress, NetworkPolicy, ServerUrl};
use zmon_domain::code::PairingCode;
use zmon_domain::ids::{
    DeviceId, DeviceSerial, OperatorId, Serial, SessionId, SiteId, StationId, StationName,
    Thumbprint, TokenId,
};
use zmon_domain::limits;
use zmon_domain::role::Role;
use zmon_domain::route::Route;
use zmon_domain::settings::DeviceSettings;
use zmon_wire::kind::TrustLevel;

use crate::PullMethod;

/// What every step of a session may use; borrowed for the call.
#[derive(Clone, Copy)]
pub struct SessionContext<'a> {
    /// The station.
    pub station_id: &'a StationId,
    /// The name the device shows.
    pub name: &'a StationName,
    /// The hospital's site, equal to the anchor's.
    pub site_id: &'a SiteId,
    /// The configuration-signing key.
    pub signer: &'a dyn IdentityKey,
    /// Chain of the configuration-signing certificate, leaf first, DER; it goes into `x5c`.
    pub signing_chain: &'a [Vec<u8>],
    /// Signature verification.
    pub algorithms: &'a Algorithms,
    /// Where devices connect once they are provisioned.
    pub server: &'a ServerParameters,
    /// What the station allows.
    pub policy: &'a StationPolicy,
    /// The latest checkpoint of the station's audit log, a JWS (D16).
    pub checkpoint: Option<&'a str>,
    /// The checkpoint that is kept of the device's audit log, a JWS (D16).
    pub peer_checkpoint: Option<&'a str>,
    /// Whether the device comes for its messages by itself: it has polled lately (D7).
    pub polls: bool,
}

/// The station as a configured device reaches it.
#[derive(Clone, Debug)]
pub struct ServerParameters {
    /// Base URL of the mTLS listener.
    pub url: ServerUrl,
    /// PEM of the certificates the server's chain ends in; becomes `caCertificate`.
    pub ca_certificate: String,
    /// PEM of the server's leaf, pinned by SPKI; becomes `serverCertificate`.
    pub server_certificate: Option<String>,
}

/// On what ground a device is believed (D9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum DeviceTrust {
    /// The registry knows its id, serial number and key.
    #[default]
    Registry,
    /// Its maker does: a certificate of its identity key leads to a factory anchor.
    Factory,
    /// What a logged-in operator scanned is enough for a device the registry does not know.
    Scanned,
}

/// What the station allows, and for how long.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StationPolicy {
    /// Where devices may be dialled (D18).
    pub networks: NetworkPolicy,
    /// Identity key types that are taken.
    pub suites: Vec<Suite>,
    /// Only devices whose keys live in hardware (D19). Default: no.
    pub require_hardware_keys: bool,
    /// On what grounds a device is believed, any of them (D9). Default: the registry only.
    pub device_trust: Vec<DeviceTrust>,
    /// The makers whose devices are believed by [`DeviceTrust::Factory`].
    pub factory_anchors: FactoryAnchors,
    /// On what grounds devices may believe this station (D8). Default: anchored ones only.
    pub station_trust: Vec<TrustLevel>,
    /// Whether the station makes the client keys (D6). Default: no, the devices make them.
    pub station_made_keys: bool,
    /// How long a claim at the scan waits for `pair` (D11).
    pub claim_without_pair: Duration,
    /// How long a session lasts (D11).
    pub session_lifetime: Duration,
    /// How long a certificate may stay pending (D13).
    pub pending_lifetime: Duration,
    /// How long a configuration is valid ([I §3.2]).
    pub payload_lifetime: Duration,
}

impl DeviceTrust {
    /// Every ground.
    pub const ALL: [Self; 3] = [Self::Registry, Self::Factory, Self::Scanned];

    /// Reads the word back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ground| ground.as_str() == text)
    }

    /// The word in settings and rows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Factory => "factory",
            Self::Scanned => "scanned",
        }
    }
}

impl StationPolicy {
    /// Whether devices are believed on this ground.
    #[must_use]
    pub fn trusts(&self, ground: DeviceTrust) -> bool {
        self.device_trust.contains(&ground)
    }

    /// Whether a device that the registry does not know may be paired by its QR code.
    #[must_use]
    pub fn takes_unregistered(&self) -> bool {
        self.trusts(DeviceTrust::Factory) || self.trusts(DeviceTrust::Scanned)
    }

    /// A policy with every default of [`limits`].
    #[must_use]
    pub fn new(networks: NetworkPolicy) -> Self {
        Self {
            networks,
            suites: alloc::vec![Suite::P256, Suite::Rsa2048],
            require_hardware_keys: false,
            device_trust: alloc::vec![DeviceTrust::Registry],
            factory_anchors: FactoryAnchors::new(),
            station_trust: alloc::vec![TrustLevel::Anchored],
            station_made_keys: false,
            claim_without_pair: limits::CLAIM_WITHOUT_PAIR.default,
            session_lifetime: limits::SESSION_LIFETIME.default,
            pending_lifetime: limits::PENDING_CERTIFICATE.default,
            payload_lifetime: limits::PAYLOAD_LIFETIME.default,
        }
    }
}

/// What the registry knows about one device (D9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryEntry {
    /// Identifier.
    pub device_id: DeviceId,
    /// Serial number.
    pub serial: DeviceSerial,
    /// SHA-256 of the identity key's SPKI.
    pub identity_key: Thumbprint,
    /// Taken out of service: refused.
    pub decommissioned: bool,
}

/// The registry's answer for the scanned device id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceRecord {
    /// The registry has this device.
    Known(RegistryEntry),
    /// The registry does not have it.
    Unknown(DeviceId),
}

/// Which operator works on which device (D11). It consumes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The session that holds it.
    pub session_id: SessionId,
    /// The operator who holds it.
    pub operator: OperatorId,
}

/// What the operator says about the device at `pair`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairDetails {
    /// Label, bed, unit, language, interval.
    pub settings: DeviceSettings,
    /// Number of this configuration for this device, counting up.
    pub config_version: u64,
}

/// A device's own request for a new certificate: everything a session starts from that nobody scanned.
/// The caller has verified it, and that the certificate may be replaced so (D23).
pub struct PullOrder {
    /// New, random.
    pub session_id: SessionId,
    /// The device, as the registry has it.
    pub device: RegistryEntry,
    /// A live reservation by an operator, if there is one.
    pub reservation: Option<Reservation>,
    /// The public name of the request.
    pub pull_id: TokenId,
    /// Renewal or recovery.
    pub method: PullMethod,
    /// The certificate that is to be replaced.
    pub serial: Serial,
    /// With a recovery, its counter.
    pub counter: Option<u64>,
    /// What the device is to become: what it is.
    pub details: PairDetails,
}

/// How a session is begun, and with what.
#[derive(Clone, Debug)]
pub enum Opening {
    /// The QR code was scanned: its token.
    Scanned(PairingToken),
    /// The code was typed: the port of the device's listener, unless nobody dials it (D2).
    Typed {
        /// The port.
        port: Option<u16>,
    },
}

impl Opening {
    /// The port of the device's listener; none where nobody has said it.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Scanned(token) => Some(token.port()),
            Self::Typed { port } => *port,
        }
    }

    /// The public name of what the session was opened with: the token's, or the session's own where
    /// there is no token.
    #[must_use]
    pub fn reference(&self, session: &SessionId) -> TokenId {
        match self {
            Self::Scanned(token) => token.id(),
            Self::Typed { .. } => TokenId::from_bytes(*session.as_bytes()),
        }
    }
}

/// How often an operator has tried a typed code, from the station's own record (D2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TypedTries {
    /// In this window of the device.
    pub window: u32,
    /// In the last hour and without success, at any device.
    pub hour: u32,
}

/// A scan or a typed code: everything a session starts from.
pub struct OpenRequest {
    /// New, random.
    pub session_id: SessionId,
    /// What the registry says.
    pub device: DeviceRecord,
    /// A live reservation of this device, if there is one.
    pub reservation: Option<Reservation>,
    /// What the operator has read off the screen, besides the code.
    pub opening: Opening,
    /// The code from the screen.
    pub code: PairingCode,
    /// The serial number from the QR code, if the tablet sent it.
    pub scanned_serial: Option<DeviceSerial>,
    /// Where the device is; it need not be said where nobody dials it.
    pub address: Option<DeviceAddress>,
    /// Who scanned.
    pub operator: OperatorId,
    /// The role they have, for the audit rows.
    pub role: Role,
    /// How the messages go. With [`Route::Push`] the device is dialled, and what the network does not
    /// carry is offered to another route; with any other nobody is dialled (D7).
    pub delivery: Route,
    /// Present when `pair` alone does scan and pair in one call (D7).
    pub pair: Option<PairDetails>,
}
