//! What a device is composed of.

use std::sync::Arc;

use zmon_crypto::Algorithms;
use zmon_crypto::x509::AnchorSet;
use zmon_domain::address::DeviceAddress;
use zmon_protocol::device::DeviceProfile;

use crate::ports::{
    AlwaysClear, ClinicalInterlock, Clock, DeviceStore, KeyStore, Listener, LocalData, SharedRng,
    StationLink,
};

/// Facts and adapters of one device; a binary fills it in and starts a
/// [`CentralStationProvisioningService`](crate::CentralStationProvisioningService) with it.
pub struct DeviceParts {
    /// Who the device is.
    pub profile: DeviceProfile,
    /// Address announced in the QR code until another is asked for.
    pub address: DeviceAddress,
    /// Whose stations are believed (D8).
    pub anchors: AnchorSet,
    /// Signature verification.
    pub algorithms: Algorithms,
    /// Slots and audit log.
    pub store: Arc<dyn DeviceStore>,
    /// Identity key and root secret.
    pub keys: Arc<dyn KeyStore>,
    /// The provisioning listener.
    pub listener: Arc<dyn Listener>,
    /// Calls to the station.
    pub station: Arc<dyn StationLink>,
    /// May this be done to this patient's monitor now.
    pub interlock: Arc<dyn ClinicalInterlock>,
    /// What a factory reset erases besides, and what a migration removes.
    pub local: LocalData,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: SharedRng,
}

impl DeviceParts {
    /// An interlock for devices that cannot have a patient.
    #[must_use]
    pub fn no_patient() -> Arc<dyn ClinicalInterlock> {
        Arc::new(AlwaysClear)
    }
}
