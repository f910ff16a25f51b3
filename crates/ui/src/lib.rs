//! View-model of the provisioning screens.
