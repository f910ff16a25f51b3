//! Finding a device by multicast DNS (RFC 6762, RFC 6763), an option for typed codes (D2).
//!
//! A device says where its listener is while that is open, and who it is; nothing of it is secret, and
//! nobody is believed for it. The address is one that an operator could have typed: the station holds it
//! to its networks (D18), and whoever answers there must have the registered key.

use core::fmt;
use core::num::NonZeroU16;
use core::time::Duration;

use mdns_sd::{ResolvedService, ServiceDaemon, ServiceEvent};
use zmon_domain::address::DeviceAddress;
use zmon_domain::ids::DeviceId;

/// Service type of a provisioning listener that is open.
pub const SERVICE: &str = "_zmonitor-prov._tcp.local.";
/// Key of the device's id in the TXT record.
pub const TXT_ID: &str = "id";
/// Key of the version in the TXT record; its value is [`VERSION`].
pub const TXT_VERSION: &str = "v";
/// The version of the TXT record.
pub const VERSION: &str = "1";

/// Multicast DNS does not work on this machine.
#[derive(Debug, thiserror::Error)]
#[error("multicast DNS: {0}")]
pub struct DiscoveryError(#[from] mdns_sd::Error);

/// Asks the local networks where the device listens: the first answer within `patience`; `None` if there
/// is none.
///
/// # Errors
/// [`DiscoveryError`] when nothing can be asked at all.
pub async fn find(
    device: &DeviceId,
    patience: Duration,
) -> Result<Option<(DeviceAddress, NonZeroU16)>, DiscoveryError> {
    let daemon = Daemon::start()?;
    let answers = daemon.0.browse(SERVICE)?;
    let found = async {
        while let Ok(event) = answers.recv_async().await {
            if let ServiceEvent::ServiceResolved(service) = event
                && let Some(place) = place(&service, device)
            {
                return Some(place);
            }
        }
        None
    };
    Ok(tokio::time::timeout(patience, found).await.unwrap_or(None))
}

/// Where a service is, if it is this device's. What does not parse is not there.
fn place(service: &ResolvedService, device: &DeviceId) -> Option<(DeviceAddress, NonZeroU16)> {
    let said = |key| service.get_property_val_str(key);
    if said(TXT_VERSION) != Some(VERSION) || said(TXT_ID) != Some(device.as_str()) {
        return None;
    }
    let mut addresses: Vec<_> =
        service.get_addresses().iter().map(mdns_sd::ScopedIp::to_ip_addr).collect();
    // IPv4 first, and always the same one.
    addresses.sort();
    let address = addresses.into_iter().find_map(|ip| DeviceAddress::from_ip(ip).ok())?;
    Some((address, NonZeroU16::new(service.get_port())?))
}

/// A responder and asker in a thread of its own, which ends with this.
pub(crate) struct Daemon(pub(crate) ServiceDaemon);

impl Daemon {
    pub(crate) fn start() -> Result<Self, DiscoveryError> {
        Ok(Self(ServiceDaemon::new()?))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It says farewell to whoever has heard of its services.
        drop(self.0.shutdown());
    }
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Daemon")
    }
}
