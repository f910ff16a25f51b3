//! What a station's database looks like in PostgreSQL.

use sqlx::migrate::Migrator;

/// The migrations; a number means the same tables as the number of the SQLite migrations.
pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("migrations/station-postgres");

/// SHA-256 of what the migrations make, in hex; a new migration brings a new one.
pub(super) const SHAPE: &str = "818b7ec183c3f0860c12281387a114d642a2f69dbee635b8508527168969d6e9";

/// The newest migration this program knows.
pub(super) fn version() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}
