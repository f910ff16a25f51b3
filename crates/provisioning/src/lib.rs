//! `IProvisioningService`, its ports and the driver that executes the device machine.

pub mod clock;
pub mod ports;
mod rng;
