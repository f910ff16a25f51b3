//! The connections of one station.
//!
//! Not a pool: the connection that writes holds the lock of the station's audit lane, and a pool's
//! maintenance lives in the runtime's time, which a test may have paused.

use core::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use zmon_crypto::sha256;
use zmon_domain::error::ErrorCode;

use super::attempt::{Attempt, attempt, unknown, was_kept};
use super::connect::{self, answered};
use super::error::{is_collision, is_locked};
use super::slot::{Lease, Slot};
use super::url::PostgresUrl;
use super::{check, schema};
use crate::error::{PersistenceError, Result};
use crate::sql::{Change, migrated};

/// Begins what is to see one moment and change nothing.
pub(crate) const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// How often a change is made again because another station was faster. Each time one of them gets
/// through, so that this many in a row says that something else is wrong.
const COLLISIONS: usize = 24;

/// An open database.
pub(crate) struct Database {
    place: String,
    /// How to connect for writing, and the lane that is locked then; `None` in one opened for reading.
    writing: Option<(PgConnectOptions, String)>,
    reading: PgConnectOptions,
    writer: Slot,
    readers: Vec<Slot>,
    next: AtomicUsize,
}

impl Database {
    /// Connects, checks and migrates; takes the lock of `lane` for the connection that writes.
    pub(crate) async fn open(url: &PostgresUrl, lane: &str, readers: usize) -> Result<Self> {
        let database = Self::new(url, Some(lane.to_owned()), readers);
        let place = &database.place;
        let mut probe = connect::connect(&database.reading, place).await?;
        check::recorded(&mut probe, place).await?;
        drop(probe);
        let mut writer = database.connect_writer().await?;
        // Bringing tables up to date takes as long as it takes.
        session(&mut writer, "SET statement_timeout = 0", place).await?;
        migrated(schema::MIGRATIONS.run(&mut writer).await, place, schema::version())?;
        session(&mut writer, "RESET statement_timeout", place).await?;
        check::shape(&mut writer, place).await?;
        database.writer.fill(writer).await;
        Ok(database)
    }

    /// Connects to a database that has a station's tables, for reading beside whoever writes.
    pub(crate) async fn open_read_only(url: &PostgresUrl) -> Result<Self> {
        let database = Self::new(url, None, 1);
        let mut lease = database.read().await?;
        if !check::recorded(lease.connection(), &database.place).await? {
            let context = format!("{}: no station has written here", database.place);
            return Err(PersistenceError::new(ErrorCode::NotInitialised, context));
        }
        lease.give_back();
        Ok(database)
    }

    fn new(url: &PostgresUrl, lane: Option<String>, readers: usize) -> Self {
        Self {
            place: url.to_string(),
            writing: lane.map(|lane| (connect::writing(url), lane)),
            reading: connect::reading(url),
            writer: Slot::default(),
            readers: (0..readers).map(|_| Slot::default()).collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// A connection for reading.
    pub(crate) async fn read(&self) -> Result<Lease<'_>> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let index = turn.checked_rem(self.readers.len()).unwrap_or(0);
        let Some(reader) = self.readers.get(index) else {
            let context = "a database is opened with a connection for reading";
            return Err(PersistenceError::new(ErrorCode::Internal, context));
        };
        reader.lend(connect::connect(&self.reading, &self.place)).await
    }

    /// Makes a change in a transaction of its own, again if another station was faster or the connection
    /// had been cut while it lay idle.
    ///
    /// A connection that goes away over the commit leaves the question whether it was made; the server
    /// remembers, and is asked over the next connection.
    pub(crate) async fn write<C: Change>(
        &self,
        change: &C,
    ) -> Result<core::result::Result<C::Outcome, C::Refusal>> {
        let mut lease = self.writer.lend(self.connect_writer()).await?;
        let mut collisions = 0;
        loop {
            match attempt(&mut lease.connection, change).await {
                Attempt::Kept(outcome) => {
                    lease.give_back();
                    return Ok(Ok(outcome));
                }
                Attempt::Refused(refusal) => {
                    lease.give_back();
                    return Ok(Err(refusal));
                }
                Attempt::Failed(error) if is_collision(&error) && collisions < COLLISIONS => {
                    collisions += 1;
                }
                Attempt::Failed(error) if lease.was_cut(&error) => {
                    lease = lease.renew(self.connect_writer()).await?;
                }
                Attempt::Failed(error) => return Err(error),
                Attempt::Unheard { transaction, outcome, error } => {
                    let is_second = lease.is_new;
                    lease = lease.renew(self.connect_writer()).await.map_err(unknown)?;
                    if was_kept(&mut lease.connection, &transaction).await.map_err(unknown)? {
                        lease.give_back();
                        return Ok(Ok(outcome));
                    }
                    if is_second {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// A connection that holds the station's lane for as long as it lives. Nobody else can have it, so
    /// that no second process can fork the chain.
    async fn connect_writer(&self) -> Result<PgConnection> {
        let Some((options, lane)) = &self.writing else {
            let context = "the database is open for reading only";
            return Err(PersistenceError::new(ErrorCode::StorageUnavailable, context));
        };
        let place = &self.place;
        let mut connection = connect::connect(options, place).await?;
        let lock =
            sqlx::query("SELECT pg_advisory_lock($1)").bind(lock_of(lane)).execute(&mut connection);
        answered(lock).await.map_err(|error| {
            if is_locked(&error) {
                let context = format!("{place}: another process writes as {lane}");
                return PersistenceError::new(ErrorCode::StateConflict, context);
            }
            PersistenceError::database(format!("{place}: {lane} cannot be locked"), error)
        })?;
        Ok(connection)
    }
}

/// The number of the advisory lock that stands for a lane.
fn lock_of(lane: &str) -> i64 {
    let hash = sha256(format!("zmon lane {lane}").as_bytes());
    hash.first_chunk::<8>().map_or(0, |bytes| i64::from_be_bytes(*bytes))
}

async fn session(connection: &mut PgConnection, setting: &'static str, place: &str) -> Result<()> {
    let set = answered(sqlx::query(setting).execute(connection)).await;
    set.map(drop)
        .map_err(|error| PersistenceError::database(format!("{place}: {setting} failed"), error))
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("place", &self.place).finish_non_exhaustive()
    }
}
