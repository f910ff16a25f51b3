//! What the three binaries share, so that they behave alike: exit codes by class, failures as
//! people and programs read them, command lines and streams that tests can look into, logs on standard error,
//! secrets asked for without echo, settings files, and the wait for a stop signal.
//!
//! No provisioning logic lives here; the crate sees only value types, messages, and how `persistence`
//! reads a file that may have been planted.

pub mod arguments;
pub mod exit;
pub mod failure;
pub mod files;
pub mod flag;
pub mod logging;
pub mod secret;
pub mod settings;
pub mod start;
pub mod stop;
pub mod streams;
pub mod wrap;

pub use exit::ExitClass;
pub use failure::Failure;
pub use streams::Streams;
