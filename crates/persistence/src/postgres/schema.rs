//! What a station's database looks like in PostgreSQL.

use sqlx::migrate::Migrator;

/// The migrations; a number means the same tables as the number of the SQLite migrations.
pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("migrations/station-postgres");

/// SHA-256 of what the migrations make, in hex; a new migration brings a new one.
pub(super) const SHAPE: &str = "46dd828b05912f9384a6af74e450f8ebac0b338d231d77f9f700f2c2f0ec1c0b";

/// The newest migration this program knows.
pub(super) fn version() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}
