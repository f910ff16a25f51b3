//! TLS listeners and clients of device and Central Station.
