//! Where a station keeps its memory: SQLite in its directory, or a database of PostgreSQL.

use std::sync::Arc;

use zmon_cli::Failure;
use zmon_domain::error::ErrorCode;
use zmon_persistence::{PostgresUrl, PrivateDir, SqlStationStore};

use crate::{settings::Settings, stored};

/// Opens the memory of a station that `init` has made.
///
/// # Errors
/// What the database says; `not_initialised` or `state_conflict` for one of PostgreSQL that holds no
/// station or another one: two would end each other's sessions.
pub(crate) async fn open(
    dir: Arc<PrivateDir>,
    settings: &Settings,
) -> Result<SqlStationStore, Failure> {
    let id = &settings.station_id;
    let Some(url) = &settings.database else {
        return SqlStationStore::open(dir, id).await.map_err(stored);
    };
    let store = connect(url, settings).await?;
    match store.owner().await.map_err(stored)? {
        Some(owner) if owner == *id => Ok(store),
        Some(owner) => Err(Failure::new(ErrorCode::StateConflict)
            .context(format!("{url} is the database of station {owner}"))
            .next("Name this station's own database with --database.")),
        None => Err(Failure::new(ErrorCode::NotInitialised)
            .context(format!("{url} holds no station"))
            .next("Run: mock-central-station init DIR --database URL")),
    }
}

/// Prepares a database of PostgreSQL for a new station, before anything else of the station is made.
///
/// # Errors
/// What the database says; `state_conflict` for one that holds a station.
pub(crate) async fn prepare(
    url: &PostgresUrl,
    settings: &Settings,
) -> Result<SqlStationStore, Failure> {
    let store = connect(url, settings).await?;
    match store.owner().await.map_err(stored)? {
        None => Ok(store),
        Some(owner) => Err(Failure::new(ErrorCode::StateConflict)
            .context(format!("{url} is the database of station {owner}"))
            .next("Name an empty database with --database.")),
    }
}

async fn connect(url: &PostgresUrl, settings: &Settings) -> Result<SqlStationStore, Failure> {
    SqlStationStore::connect(url, &settings.station_id, &settings.instance).await.map_err(|error| {
        let failure = stored(error);
        if failure.code() == ErrorCode::StateConflict {
            return failure
                .next("Stop the other process, or give this one a name with --instance.");
        }
        failure
    })
}
