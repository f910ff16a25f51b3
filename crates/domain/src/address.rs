//! Device addresses, server URLs and where a station may connect to ([W §3], [W §5], D18).

mod device;
mod network;
mod url;

pub use device::DeviceAddress;
pub use network::{AddressError, Network, NetworkPolicy};
pub use url::ServerUrl;
