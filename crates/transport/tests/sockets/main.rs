//! Transport over real sockets on 127.0.0.1: one test binary, one module per endpoint.

mod mutual;
mod pki;
mod server;
mod support;
