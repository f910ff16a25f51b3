//! The mock service ([I §4.2]): no network, no disk, and the clock it is given.

mod rng;
mod service;
mod state;

use core::time::Duration;

use zmon_domain::address::DeviceAddress;
use zmon_domain::code::CodeFormat;
use zmon_domain::error::{ErrorCode, FieldError};
use zmon_domain::ids::{DeviceId, DeviceSerial, FirmwareVersion};
use zmon_domain::limits;

use crate::ports::ManualSettings;

pub use service::MockProvisioningService;

/// What a [`MockProvisioningService`] pretends to be.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MockConfig {
    /// The device.
    pub device_id: DeviceId,
    /// Its serial number.
    pub serial: DeviceSerial,
    /// Its firmware.
    pub firmware: FirmwareVersion,
    /// The address in the QR code until another is announced.
    pub address: DeviceAddress,
    /// Form of the pairing code.
    pub code_format: CodeFormat,
    /// Length of the window.
    pub window: Duration,
    /// How long applying a configuration takes, on the mock's clock.
    pub delay: Duration,
    /// Whether a station that is not there provisions the device `delay` after each window opened.
    pub auto_provision: bool,
    /// What every configuration fails with, after `delay`; `None` lets them succeed.
    pub failure: Option<ErrorCode>,
    /// A manual configuration that it finds ([W §14]).
    pub manual: Option<ManualSettings>,
    /// Makes the codes: the same seed, the same codes.
    pub seed: u64,
    /// The clock's first second, Unix time.
    pub start: i64,
}

impl MockConfig {
    /// A device with these names and every default.
    ///
    /// # Errors
    ///
    /// A name that is not well formed.
    pub fn new(device_id: &str, serial: &str, ip_address: &str) -> Result<Self, FieldError> {
        Ok(Self {
            device_id: DeviceId::parse(device_id)?,
            serial: DeviceSerial::parse(serial)?,
            firmware: FirmwareVersion::parse("0.0.0-mock")?,
            address: DeviceAddress::parse(ip_address)?,
            code_format: CodeFormat::default(),
            window: limits::WINDOW.default,
            delay: limits::MOCK_DELAY.default,
            auto_provision: false,
            failure: None,
            manual: None,
            seed: 0,
            start: 1_732_544_400,
        })
    }
}
