//! The log as an object: pages, verification, export, checkpoints.

use core::convert::Infallible;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use zmon_crypto::{Algorithms, IdentityPublic};
use zmon_domain::time::Now;

use super::checkpoint::CheckpointSigner;
use super::export::AuditExport;
use super::read::StoredRow;
use super::verify::{Attested, LaneSummary, Verification, attest};
use super::{checkpoint, export, read, verify};
use crate::error::Result;
use crate::fs::PrivateDir;
#[cfg(feature = "postgres")]
use crate::postgres::{self, PostgresUrl};
use crate::sql::{Change, Connection, Database, read};
use crate::sqlite::{self, schema};

/// The lane under which damaged checkpoints are reported.
const CHECKPOINTS: &str = "checkpoints";

/// The audit log of one database.
///
/// A store hands it out ([`crate::SqliteDeviceStore::audit_log`]); [`AuditLog::open_device`] and
/// [`AuditLog::open_station`] open one beside a running process, or from a copied directory with
/// nothing but the public key.
#[derive(Clone)]
pub struct AuditLog {
    database: Database,
    lane: String,
    key: Option<IdentityPublic>,
}

impl AuditLog {
    pub(crate) fn new(database: Database, lane: String, key: Option<IdentityPublic>) -> Self {
        Self { database, lane, key }
    }

    /// Opens the log in a device's directory for reading.
    ///
    /// # Errors
    /// As for every database: modes, links, damage, a newer schema.
    pub async fn open_device(directory: &Path) -> Result<Self> {
        Self::open(directory, crate::DEVICE_DATABASE, &schema::DEVICE).await
    }

    /// Opens the log in a station's directory for reading.
    ///
    /// # Errors
    /// As [`AuditLog::open_device`].
    pub async fn open_station(directory: &Path) -> Result<Self> {
        Self::open(directory, crate::STATION_DATABASE, &schema::STATION).await
    }

    /// Opens the log in a station's database of PostgreSQL for reading.
    ///
    /// # Errors
    /// `NotInitialised` for an empty database, else as [`crate::SqlStationStore::connect`].
    #[cfg(feature = "postgres")]
    pub async fn connect_station(url: &PostgresUrl) -> Result<Self> {
        let database = postgres::Database::open_read_only(url).await?;
        Self::over(Database::Postgres(Arc::new(database)), url.to_string()).await
    }

    /// The same log, whose checkpoints must be signed by `key`. Without a key only their content
    /// is compared.
    #[must_use]
    pub fn signed_by(self, key: IdentityPublic) -> Self {
        Self { key: Some(key), ..self }
    }

    /// Walks every lane from its first row: numbers, chain, canonical form, columns, and every
    /// checkpoint of this database.
    ///
    /// # Errors
    /// Only when the database cannot be read; damage is a finding, not an error.
    pub async fn verify(&self) -> Result<Verification> {
        self.verify_against(&[]).await
    }

    /// The same, and the checkpoints that the other side has kept: they show a tail that was cut
    /// together with the checkpoints beside it.
    ///
    /// # Errors
    /// As [`AuditLog::verify`].
    pub async fn verify_against(&self, held: &[String]) -> Result<Verification> {
        let mut reader = self.database.read().await?;
        // One snapshot: rows added meanwhile are not half seen.
        let mut snapshot = reader.snapshot().await?;
        let algorithms = Algorithms::rustcrypto();
        let stored = checkpoint::all(&mut snapshot.connection()).await?;
        let mut attested = Attested::new();
        let mut damage = match checkpoint::chain(&stored, self.key.as_ref(), &algorithms) {
            Ok(heads) => {
                attest(&mut attested, &heads);
                None
            }
            Err(damage) => Some(damage),
        };
        let once = verify::checkpoints_once(&mut snapshot.connection()).await?;
        let next = (1..).nth(stored.len()).unwrap_or(u64::MAX);
        if next <= once {
            let rule = "the checkpoint is missing: the table once had more";
            damage = damage.or(Some(verify::Damage { sequence: next, rule }));
        }
        for (number, jws) in (1..).zip(held) {
            // Byte for byte one of ours: it was checked, whichever key signed it.
            if damage.is_none() && stored.iter().any(|own| own.jws == *jws) {
                continue;
            }
            match checkpoint::heads(jws, self.key.as_ref(), &algorithms) {
                Ok(heads) => attest(&mut attested, &heads),
                Err(rule) => damage = damage.or(Some(verify::Damage { sequence: number, rule })),
            }
        }
        let mut lanes = verify::walk(&mut snapshot.connection(), &self.lane, &attested).await?;
        snapshot.end().await?;
        reader.give_back();
        if let Some(damage) = damage {
            let rows = damage.sequence.saturating_sub(1);
            let lane = CHECKPOINTS.to_owned();
            lanes.push(LaneSummary {
                lane,
                rows,
                head: [0; 32],
                attested: 0,
                damage: Some(damage),
            });
        }
        Ok(Verification { lanes, checkpoints: stored.len().saturating_add(held.len()) })
    }

    /// Hands every row and every checkpoint to `export`; returns how many.
    ///
    /// # Errors
    /// When the database cannot be read, and those of `export`.
    pub async fn export(&self, export: &mut dyn AuditExport) -> Result<u64> {
        let mut reader = self.database.read().await?;
        let written = export::run(&mut reader.connection(), export).await?;
        reader.give_back();
        Ok(written)
    }

    /// The newest signed checkpoint.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn latest_checkpoint(&self) -> Result<Option<String>> {
        let latest = read!(self.database, connection => checkpoint::latest(connection))?;
        Ok(latest.map(|stored| stored.jws))
    }

    /// How many rows no checkpoint speaks for yet.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn rows_since_checkpoint(&self) -> Result<u64> {
        read!(self.database, connection => checkpoint::rows_since(connection))
    }

    /// The lane of the oldest row.
    #[cfg(any(feature = "station", feature = "upkeep"))]
    pub(crate) async fn first_lane(&self) -> Result<Option<String>> {
        read!(self.database, connection => read::first_lane(connection))
    }

    /// Rows of this log's own lane after number `after`.
    pub(crate) async fn page(&self, after: u64, limit: u32) -> Result<Vec<StoredRow>> {
        read!(self.database, connection => read::page(connection, &self.lane, after, limit))
    }

    /// Rows of this log's own lane before number `before`, newest first; 0 = from the newest.
    #[cfg(feature = "station")]
    pub(crate) async fn newest(&self, before: u64, limit: u32) -> Result<Vec<StoredRow>> {
        read!(self.database, connection => read::newest(connection, &self.lane, before, limit))
    }

    /// Signs and stores a checkpoint over all heads.
    pub(crate) async fn write_checkpoint(
        &self,
        now: &Now,
        signer: &dyn CheckpointSigner,
    ) -> Result<String> {
        let Ok(jws) = self.database.write(&NewCheckpoint { now, signer }).await?;
        Ok(jws)
    }

    async fn open(directory: &Path, name: &str, schema: &schema::Schema) -> Result<Self> {
        let dir = PrivateDir::open_shared(directory)?;
        let database = sqlite::Database::open_read_only(&dir, name, schema).await?;
        Self::over(Database::Sqlite(Arc::new(database)), name.to_owned()).await
    }

    /// A log that is only read; its own lane is the first one's, or `otherwise`.
    async fn over(database: Database, otherwise: String) -> Result<Self> {
        let lane = read!(database, connection => read::first_lane(connection))?;
        Ok(Self { database, lane: lane.unwrap_or(otherwise), key: None })
    }
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLog").field("lane", &self.lane).finish_non_exhaustive()
    }
}

/// A checkpoint over all heads.
struct NewCheckpoint<'a> {
    now: &'a Now,
    signer: &'a dyn CheckpointSigner,
}

#[async_trait]
impl Change for NewCheckpoint<'_> {
    type Outcome = String;
    type Refusal = Infallible;

    async fn make(&self, connection: &mut Connection<'_>) -> Result<Result<String, Infallible>> {
        let (payload, rows) = checkpoint::payload(connection, self.now).await?;
        let jws = self.signer.sign(payload).await?;
        checkpoint::store(connection, self.now, rows, &jws).await?;
        Ok(Ok(jws))
    }
}
