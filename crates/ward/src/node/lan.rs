//! What the machines share: the network, and who is where on it.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use zmon_protocol::device::LinkCredentials;
use zmon_provisioning::ports::DeviceEndpoint;
use zmon_station::Station;

use super::pki::Pki;
use crate::clock::NodeClock;
use crate::life::Life;
use crate::lock;
use crate::net::{Net, Tape};
use crate::watch::Watch;

/// A station that runs.
#[derive(Clone)]
pub(crate) struct Running {
    /// The station.
    pub(crate) station: Arc<Station>,
    /// Its clock.
    pub(crate) clock: NodeClock,
    /// Its life.
    pub(crate) life: Life,
    /// Which life it is.
    pub(crate) number: u64,
}

/// An open listener.
#[derive(Clone)]
pub(super) struct Place {
    /// Which device.
    pub(super) index: usize,
    /// Left half of SHA-256 over its identity key.
    pub(super) thumbprint16: [u8; 16],
    /// What it calls.
    pub(super) endpoint: Arc<dyn DeviceEndpoint>,
}

/// The ward's network with everybody on it.
pub(crate) struct Lan {
    /// How messages travel.
    pub(crate) net: Net,
    /// What was recorded on the way.
    pub(crate) tape: Tape,
    /// What must hold.
    pub(crate) watch: Watch,
    /// The hospital's certificates.
    pub(crate) pki: Pki,
    places: Mutex<BTreeMap<(IpAddr, u16), Place>>,
    station: Mutex<Option<Running>>,
    /// Credentials that were ever used.
    seen: Mutex<Vec<LinkCredentials>>,
}

impl Lan {
    /// A network without anybody.
    #[must_use]
    pub(crate) fn new(net: Net, tape: Tape, watch: Watch, pki: Pki) -> Self {
        let (places, station, seen) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { net, tape, watch, pki, places, station, seen }
    }

    /// The station, while it runs.
    #[must_use]
    pub(crate) fn station(&self) -> Option<Running> {
        lock(&self.station).clone().filter(|running| !running.life.is_over())
    }

    pub(super) fn set_station(&self, running: Option<Running>) {
        *lock(&self.station) = running;
    }

    pub(super) fn listen(&self, at: (IpAddr, u16), place: Place) {
        lock(&self.places).insert(at, place);
    }

    pub(super) fn hang_up(&self, index: usize) {
        lock(&self.places).retain(|_, place| place.index != index);
    }

    pub(super) fn place(&self, at: (IpAddr, u16)) -> Option<Place> {
        lock(&self.places).get(&at).cloned()
    }

    /// The open listener of a device.
    #[must_use]
    pub(crate) fn endpoint(&self, index: usize) -> Option<Arc<dyn DeviceEndpoint>> {
        let places = lock(&self.places);
        let place = places.values().find(|place| place.index == index)?;
        Some(Arc::clone(&place.endpoint))
    }

    pub(super) fn saw(&self, credentials: &LinkCredentials) {
        let mut seen = lock(&self.seen);
        if !seen.iter().any(|old| old.client_chain == credentials.client_chain) {
            seen.push(credentials.clone());
        }
    }

    /// Credentials that some device has used at some time: a thief has all of them.
    #[must_use]
    pub(crate) fn stolen(&self) -> Vec<LinkCredentials> {
        lock(&self.seen).clone()
    }
}
