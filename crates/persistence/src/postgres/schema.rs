//! What a station's database looks like in PostgreSQL.

use sqlx::migrate::Migrator;

/// The migrations; a number means the same tables as the number of the SQLite migrations.
pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("migrations/station-postgres");

/// SHA-256 of what the migrations make, in hex; a new migration brings a new one.
pub(super) const SHAPE: &str = "25a66fc3e24136b7706d76f66c8729722133d482e6e7e27785596dbde63cf6af";

/// The newest migration this program knows.
pub(super) fn version() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}
