//! Versioned JSON messages and QR content of Z Monitor provisioning.
