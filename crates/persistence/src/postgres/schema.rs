//! What a station's database looks like in PostgreSQL.

use sqlx::migrate::Migrator;

/// The migrations; a number means the same tables as the number of the SQLite migrations.
pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("migrations/station-postgres");

/// SHA-256 of what the migrations make, in hex; a new migration brings a new one.
pub(super) const SHAPE: &str = "d50d5127fc01c29bf00daf63504532500c1902f92016699995d2d6ad61021c2a";

/// The newest migration this program knows.
pub(super) fn version() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}
