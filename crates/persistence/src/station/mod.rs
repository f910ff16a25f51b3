//! The station's database: registry, operators, sessions, certificates, revocation lists, audit log.
//!
//! Conditional writes decide inside the one transaction that also holds their audit rows; what must
//! never be true (two reservations of a device, two current certificates, two certificates of a
//! session, a token claimed twice, a revoked certificate coming back) is refused by the schema too.

mod accounts;
mod apply;
mod batches;
mod certificates;
mod decode;
mod enrolment;
mod held;
mod registry;
mod sessions;
mod store;
mod tries;

pub use store::SqlStationStore;
