//! One way to ask either database.
//!
//! The statements are the same text for SQLite and PostgreSQL, and so are the types of their values;
//! what differs between the two is in `sqlite` and `postgres`.

mod connection;
mod database;
mod migrate;
mod query;
mod row;

pub(crate) use connection::Connection;
pub(crate) use database::{Change, Database, read};
pub(crate) use migrate::migrated;
pub(crate) use query::query;
pub(crate) use row::{Column, Row};
