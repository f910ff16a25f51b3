//! IProvisioningService, its ports and the driver that executes the device machine.
