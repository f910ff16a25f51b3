//! The log as an object: pages, verification, export, checkpoints.

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use sqlx::Connection;
use zmon_crypto::{Algorithms, IdentityPublic};
use zmon_domain::time::Now;

use super::checkpoint::CheckpointSigner;
use super::read::StoredRow;
use super::verify::{Attested, LaneSummary, Verification, attest};
use super::{checkpoint, export, read, verify};
use crate::error::{PersistenceError, Result};
use crate::fs::PrivateDir;
use crate::sqlite::{Database, schema};

/// The lane under which damaged checkpoints are reported.
const CHECKPOINTS: &str = "checkpoints";

/// The audit log of one database.
///
/// A store hands it out ([`crate::SqliteDeviceStore::audit_log`]); [`AuditLog::open_device`] and
/// [`AuditLog::open_station`] open one beside a running process, or from a copied directory with
/// nothing but the public key.
#[derive(Clone)]
pub struct AuditLog {
    database: Arc<Database>,
    lane: String,
    key: Option<IdentityPublic>,
}

impl AuditLog {
    pub(crate) fn new(database: Arc<Database>, lane: String, key: Option<IdentityPublic>) -> Self {
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
        let mut connection = self.database.read().await?;
        // One snapshot: rows added meanwhile are not half seen.
        let mut snapshot = connection.begin().await.map_err(unreadable)?;
        let algorithms = Algorithms::rustcrypto();
        let stored = checkpoint::all(&mut snapshot).await?;
        let mut attested = Attested::new();
        let mut damage = match checkpoint::chain(&stored, self.key.as_ref(), &algorithms) {
            Ok(heads) => {
                attest(&mut attested, &heads);
                None
            }
            Err(damage) => Some(damage),
        };
        let highest = verify::highest_id(&mut snapshot, "audit_checkpoints").await?;
        let next = (1..).nth(stored.len()).unwrap_or(u64::MAX);
        if i64::try_from(next).is_ok_and(|next| next <= highest) {
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
        let mut lanes = verify::walk(&mut snapshot, &self.lane, &attested).await?;
        snapshot.rollback().await.map_err(unreadable)?;
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

    /// Writes every row and every checkpoint as one JSON object per line; returns how many lines.
    ///
    /// A row's line is `{"hash":…,"lane":…,"prev":…,"record":"…","seq":…}`. `record` holds the
    /// exact bytes as text, so that hash = SHA-256("zp1 audit" ‖ lane ‖ u64 seq ‖ prev ‖
    /// u32 length ‖ record) can be recomputed by any tool. A checkpoint's is `{"checkpoint":"…"}`.
    ///
    /// # Errors
    /// When the database cannot be read or `out` cannot be written.
    pub async fn export(&self, out: &mut (dyn Write + Send)) -> Result<u64> {
        let mut connection = self.database.read().await?;
        export::lines(&mut connection, out).await
    }

    /// The newest signed checkpoint.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn latest_checkpoint(&self) -> Result<Option<String>> {
        let mut connection = self.database.read().await?;
        Ok(checkpoint::latest(&mut connection).await?.map(|stored| stored.jws))
    }

    /// How many rows no checkpoint speaks for yet.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn rows_since_checkpoint(&self) -> Result<u64> {
        let mut connection = self.database.read().await?;
        checkpoint::rows_since(&mut connection).await
    }

    /// Rows of this log's own lane after number `after`.
    pub(crate) async fn page(&self, after: u64, limit: u32) -> Result<Vec<StoredRow>> {
        let mut connection = self.database.read().await?;
        read::page(&mut connection, &self.lane, after, limit).await
    }

    /// Signs and stores a checkpoint over all heads.
    pub(crate) async fn write_checkpoint(
        &self,
        now: &Now,
        signer: &dyn CheckpointSigner,
    ) -> Result<String> {
        let mut connection = self.database.write().await?;
        let mut transaction = self.database.begin(&mut connection).await?;
        let (payload, rows) = checkpoint::payload(&mut transaction, now).await?;
        let jws = signer.sign(payload).await?;
        checkpoint::store(&mut transaction, now, rows, &jws).await?;
        self.database.finish(transaction).await?;
        Ok(jws)
    }

    async fn open(directory: &Path, name: &str, schema: &schema::Schema) -> Result<Self> {
        let dir = PrivateDir::open_shared(directory)?;
        let database = Arc::new(Database::open_read_only(&dir, name, schema).await?);
        let lane = {
            let mut connection = database.read().await?;
            read::first_lane(&mut connection).await?
        };
        Ok(Self { database, lane: lane.unwrap_or_else(|| name.to_owned()), key: None })
    }
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLog").field("lane", &self.lane).finish_non_exhaustive()
    }
}

fn unreadable(error: sqlx::Error) -> PersistenceError {
    PersistenceError::database("the audit log cannot be read", error)
}
