//! The monitoring link: mTLS to the active configuration's server, one heartbeat per sync interval.
//!
//! The supervisor never waits for the audit log, the store or the driver: pairing may be refused
//! for want of an audit row, surveillance may not (D16).

mod backoff;
mod certificate;
mod status;
mod supervisor;

pub use backoff::Backoff;
pub(crate) use certificate::not_after;
pub use status::LinkStatus;
pub use supervisor::{LinkParts, LinkSupervisor};
