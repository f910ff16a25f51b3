//! What a station's database looks like in PostgreSQL.

use sqlx::migrate::Migrator;

/// The migrations; a number means the same tables as the number of the SQLite migrations.
pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("migrations/station-postgres");

/// SHA-256 of what the migrations make, in hex; a new migration brings a new one.
pub(super) const SHAPE: &str = "37b0e6ceb3d6103e30c7440675ff130f4198d6a692e6df59b49aafb5d3255af7";

/// The newest migration this program knows.
pub(super) fn version() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}
