//! How far the tables of a database have come.

use std::path::Path;

use crate::error::Result;
use crate::fs::PrivateDir;
use crate::sqlite::{self, schema};

/// The newest migration that a database has, and the newest that this program knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TablesState {
    /// Of the database.
    pub found: i64,
    /// Of this program.
    pub known: i64,
}

/// Looks at the tables in a device's or a station's directory, beside whoever works on them; `name` is
/// [`crate::STATION_DATABASE`] or [`crate::DEVICE_DATABASE`].
///
/// # Errors
/// As for every database: modes, links, damage, a newer schema.
pub async fn tables_state(dir: &Path, name: &str) -> Result<TablesState> {
    let schema = if name == crate::STATION_DATABASE { &schema::STATION } else { &schema::DEVICE };
    let dir = PrivateDir::open_shared(dir)?;
    let database = sqlite::Database::open_read_only(&dir, name, schema).await?;
    Ok(TablesState { found: database.version().await?, known: schema.version() })
}
