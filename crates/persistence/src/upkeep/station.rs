//! A station's database in the hands of a tool.

use core::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use zmon_crypto::RootSecret;
use zmon_domain::audit::AuditEvent;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::StationId;
use zmon_domain::time::Now;

use super::signer::AuditSigner;
use crate::audit::{self, AuditLog, hash_at};
use crate::error::{PersistenceError, Result};
use crate::fs::PrivateDir;
use crate::high_water::{HighWater, Mark};
use crate::lane;
#[cfg(feature = "postgres")]
use crate::postgres::{self, PostgresUrl};
use crate::sql::{Change, Connection, Database, read};
use crate::sqlite::{self, schema};

/// A station's database, opened by a tool that knows the station's keys.
pub struct StationUpkeep {
    pub(super) database: Database,
    pub(super) lane: String,
    pub(super) signer: AuditSigner,
    pub(super) high_water: HighWater,
    station: StationId,
    log: AuditLog,
    dir: Arc<PrivateDir>,
}

/// Number and hash of the last row of a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneEnd {
    /// The writer.
    pub lane: String,
    /// How many rows it has.
    pub rows: u64,
    /// The hash of the last one.
    pub hash: [u8; 32],
}

impl StationUpkeep {
    /// Opens `station.db` beside the process that serves from it, or without one. Nothing is migrated.
    ///
    /// # Errors
    /// As for every database: modes, links, damage; `StateConflict` for the tables of an older program.
    pub async fn beside(dir: &Path, root: &RootSecret, signer: AuditSigner) -> Result<Self> {
        let dir = PrivateDir::open_shared(dir)?;
        let name = crate::STATION_DATABASE;
        let database = sqlite::Database::open_beside(&dir, name, &schema::STATION).await?;
        Self::over(Database::Sqlite(Arc::new(database)), Arc::new(dir), root, signer).await
    }

    /// Opens `station.db` of a station that does not run, and brings its tables up to date.
    ///
    /// # Errors
    /// As [`StationUpkeep::beside`]; `StateConflict` while a process serves from it.
    pub async fn alone(dir: &Path, root: &RootSecret, signer: AuditSigner) -> Result<Self> {
        let dir = Arc::new(PrivateDir::open(dir)?);
        let name = crate::STATION_DATABASE;
        if !dir.contains(name)? {
            let context = format!("{}: is missing", dir.path().join(name).display());
            return Err(PersistenceError::new(ErrorCode::NotInitialised, context));
        }
        let database = sqlite::Database::open(&dir, name, &schema::STATION, 1).await?;
        Self::over(Database::Sqlite(Arc::new(database)), dir, root, signer).await
    }

    /// Connects to the database of a station that does not run, beside its keys in `dir`.
    ///
    /// # Errors
    /// As [`crate::PrivateDir::open`], and of the database.
    #[cfg(feature = "postgres")]
    pub async fn connect(
        dir: &Path,
        url: &PostgresUrl,
        root: &RootSecret,
        signer: AuditSigner,
    ) -> Result<Self> {
        let dir = Arc::new(PrivateDir::open(dir)?);
        let first = AuditLog::connect_station(url).await?.first_lane().await?;
        let station = lane::owner(&first.ok_or_else(empty)?)?;
        let database = postgres::Database::open(url, &lane::main(&station), 1).await?;
        Self::over(Database::Postgres(Arc::new(database)), dir, root, signer).await
    }

    async fn over(
        database: Database,
        dir: Arc<PrivateDir>,
        root: &RootSecret,
        signer: AuditSigner,
    ) -> Result<Self> {
        let log = AuditLog::new(database.clone(), String::new(), None);
        let station = lane::owner(&log.first_lane().await?.ok_or_else(empty)?)?;
        let lane = lane::main(&station);
        let lane = read!(database, connection => lane::present(connection, lane.clone()))?;
        let log =
            AuditLog::new(database.clone(), lane.clone(), Some(signer.key().public().clone()));
        let high_water = HighWater::new(Arc::clone(&dir), root, &station);
        Ok(Self { database, lane, signer, high_water, station, log, dir })
    }

    /// Whose database it is.
    #[must_use]
    pub fn station(&self) -> &StationId {
        &self.station
    }

    /// The audit log, for verification.
    #[must_use]
    pub fn audit_log(&self) -> &AuditLog {
        &self.log
    }

    /// Where every lane ends.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn ends(&self) -> Result<Vec<LaneEnd>> {
        let heads = read!(self.database, connection => audit::ends(connection))?;
        let end = |head: audit::Head| LaneEnd { lane: head.lane, rows: head.seq, hash: head.hash };
        Ok(heads.into_iter().map(end).collect())
    }

    /// Whether the log has exactly this row.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn has(&self, end: &LaneEnd) -> Result<bool> {
        let found = read!(self.database, connection => hash_at(connection, &end.lane, end.rows))?;
        Ok(found == Some(end.hash))
    }

    /// Adds a row to the station's log.
    ///
    /// # Errors
    /// `AuditUnavailable`: then nothing may be done.
    pub async fn append(&self, now: &Now, event: AuditEvent) -> Result<()> {
        let Ok(()) = self.database.write(&OneRow { lane: &self.lane, now, event }).await?;
        Ok(())
    }

    /// Signs and stores a checkpoint over all lanes.
    ///
    /// # Errors
    /// When the database or the key cannot be used.
    pub async fn checkpoint(&self, now: &Now) -> Result<String> {
        self.log.write_checkpoint(now, &self.signer).await
    }

    /// Writes what the database holds at one moment into a new file of `into`.
    ///
    /// # Errors
    /// When a side cannot be used; `StateConflict` for a database of PostgreSQL, which has tools of its own.
    pub async fn copy(&self, into: &PrivateDir, name: &str) -> Result<()> {
        let database = self.sqlite()?;
        into.ensure_file(name)?;
        database.copy_to(&into.path().join(name)).await
    }

    /// In what the database is behind the station's high-water mark, if it is; the words are for people.
    ///
    /// # Errors
    /// When the file or the database cannot be read.
    pub async fn behind(&self) -> Result<Option<String>> {
        let Some(mark) = self.high_water.read()? else { return Ok(None) };
        let behind = read!(self.database, connection => mark.ahead_of(connection))?;
        Ok(behind.map(|behind| behind.to_string()))
    }

    /// Ends every connection, so that nothing but the database itself is left of it.
    ///
    /// # Errors
    /// When the last pages cannot be written.
    pub async fn close(self) -> Result<()> {
        let Self { database, log, dir, .. } = self;
        drop(log);
        if let Database::Sqlite(database) = database
            && let Some(database) = Arc::into_inner(database)
        {
            database.close().await?;
        }
        drop(dir);
        Ok(())
    }

    /// Makes the high-water mark that of the database as it is now, in which `checkpoint` is the newest.
    pub(super) async fn mark(&self, checkpoint: &str) -> Result<()> {
        let mark = read!(self.database, connection =>
            Mark::at(connection, checkpoint.to_owned()))?;
        self.signer.draw(|rng| self.high_water.write(&mark, rng))
    }

    pub(super) fn sqlite(&self) -> Result<&sqlite::Database> {
        match &self.database {
            Database::Sqlite(database) => Ok(database),
            #[cfg(feature = "postgres")]
            Database::Postgres(_) => {
                let context = "the database is PostgreSQL's, which has tools of its own";
                Err(PersistenceError::new(ErrorCode::StateConflict, context))
            }
        }
    }
}

fn empty() -> PersistenceError {
    PersistenceError::new(ErrorCode::NotInitialised, "the database holds no station")
}

/// One row in a transaction of its own.
struct OneRow<'a> {
    lane: &'a str,
    now: &'a Now,
    event: AuditEvent,
}

#[async_trait]
impl Change for OneRow<'_> {
    type Outcome = ();
    type Refusal = Infallible;

    async fn make(&self, connection: &mut Connection<'_>) -> Result<Result<(), Infallible>> {
        let events = core::slice::from_ref(&self.event);
        audit::append(connection, self.lane, None, self.now, events).await.map(Ok)
    }
}
