//! The append-only, hash-chained audit log (D16) and what reads it.

mod append;
pub(crate) mod checkpoint;
mod export;
mod log;
mod ports;
mod read;
mod record;
mod verify;

pub(crate) use append::append;
pub(crate) use checkpoint::CheckpointSigner;
#[cfg(feature = "upkeep")]
pub(crate) use checkpoint::ends;
#[cfg(feature = "device")]
pub(crate) use checkpoint::rows_since as rows_since_checkpoint;
#[cfg(any(feature = "station", feature = "upkeep"))]
pub(crate) use checkpoint::{Head, stated_heads};
pub use export::{AuditExport, ExportedRow, JsonLines, export_failed};
pub use log::AuditLog;
pub(crate) use read::StoredRow;
#[cfg(any(feature = "station", feature = "upkeep"))]
pub(crate) use read::hash_at;
pub use record::AuditRecord;
pub use verify::{Damage, LaneSummary, Verification};
