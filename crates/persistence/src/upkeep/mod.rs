//! What tools do to a station's database: a row beside the process that serves, a copy of one moment, and
//! taking it back to an earlier state without giving anything out twice.

mod old;
mod sealed;
mod set_back;
mod signer;
mod station;
mod tables;

pub use old::OldRecord;
pub use sealed::{SealedReader, SealedWriter};
pub use set_back::SetBack;
pub use signer::AuditSigner;
pub use station::{LaneEnd, StationUpkeep};
pub use tables::{TablesState, tables_state};
