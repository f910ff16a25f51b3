//! SQLite: opened with checks, one writer, a few readers.

mod check;
mod connect;
mod database;
pub(crate) mod schema;

pub(crate) use database::Database;
#[cfg(feature = "device")]
pub(crate) use database::truncate_log;
