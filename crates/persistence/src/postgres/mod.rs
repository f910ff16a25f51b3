//! PostgreSQL (15 and later): one connection that writes, a few that read, no timers but time-outs.

mod attempt;
mod check;
mod connect;
mod database;
mod error;
mod schema;
mod slot;
mod url;

pub(crate) use connect::answered;
pub(crate) use database::{Database, SNAPSHOT};
pub(crate) use error::is_corrupt;
pub(crate) use slot::Lease;
pub use url::PostgresUrl;
