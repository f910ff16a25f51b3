//! What a database of ours looks like: its migrations and its application id.

use sqlx::migrate::Migrator;

/// The migrations of one kind of database, and the number that names the kind.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) migrations: Migrator,
    /// `PRAGMA application_id`: a station's file is not a device's.
    pub(crate) application_id: u32,
    /// SHA-256 of what the migrations make, in hex; a new migration brings a new one.
    pub(crate) shape: &'static str,
}

/// The device's database.
pub(crate) static DEVICE: Schema = Schema {
    migrations: sqlx::migrate!("migrations/device"),
    application_id: 0x5A4D_4456,
    shape: "e3d74bb04589d895cb0b005b2846a27117de33d43765ba1ec85238f8d169ad0b",
};

/// The Central Station's database.
pub(crate) static STATION: Schema = Schema {
    migrations: sqlx::migrate!("migrations/station"),
    application_id: 0x5A4D_4353,
    shape: "69cbfa9a80121bfa702e7d837003bd5a30cb24013f6985cfd5a01267fbb29b12",
};

impl Schema {
    /// The newest migration this program knows; every migration sets `user_version` to its number.
    pub(crate) fn version(&self) -> i64 {
        self.migrations.iter().map(|migration| migration.version).max().unwrap_or(0)
    }
}
