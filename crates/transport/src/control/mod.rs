//! The device's local control socket: the screens' use-cases for tools on the same machine.
//!
//! One JSON object a line, each way, over a Unix socket of mode 0600 ([`zmon_wire::control`]). What
//! needs an operator asks for the PIN in the request and gets its proof from the same
//! authenticator as the screen; nothing else opens a window.

mod client;
#[cfg(feature = "device")]
mod handler;
mod line;
#[cfg(feature = "device")]
mod server;
#[cfg(feature = "device")]
mod socket;
#[cfg(feature = "device")]
mod view;

pub use client::{ControlClient, ControlError, ControlEvents};
#[cfg(feature = "device")]
pub use handler::{AnchorDesk, ControlHandler, ControlParts, CourierDesk, LocalAccounts};
#[cfg(feature = "device")]
pub use server::ControlServer;
#[cfg(feature = "device")]
pub use socket::SocketError;
#[cfg(feature = "device")]
pub use view::event as event_view;
