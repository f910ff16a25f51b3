//! Command line of Z Monitor provisioning.
