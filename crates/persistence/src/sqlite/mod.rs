//! SQLite: opened with checks, one writer, a few readers.

mod check;
mod connect;
mod database;
pub(crate) mod schema;

pub(crate) use database::{Database, truncate_log};
