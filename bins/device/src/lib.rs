//! Bedside monitor: the device side of Z Monitor provisioning.
