//! The station's store.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;
use zmon_crypto::jws::{self, Typ};
use zmon_crypto::{IdentityKey, RootSecret};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{
    BatchId, BedId, DeviceId, DeviceSerial, InstanceName, OperatorId, Serial, SessionId, StationId,
    Thumbprint, TokenId, WindowId,
};
use zmon_domain::limits;
use zmon_domain::time::{Now, UnixTime};
use zmon_protocol::station::{CertificateState, TypedTries};
use zmon_station::ports::{
    AuditPage, AuditReport, AuditRow, BatchItemRow, BatchListing, BatchRow, BatchStore,
    CertificateListing, CertificateRow, CrlRow, DeviceRow, Entropy, LoginRow, OperatorRow, Page,
    Refusal, RevocationRow, SessionRow, SessionStanding, SessionState, StationRecord, StationStore,
    StationWrite, StoreError,
};

use super::apply::{Stop, apply};
use super::held::{self, Sealer};
use super::{batches, certificates, registry, sessions, tries};
use crate::audit::{self, AuditLog, CheckpointSigner, StoredRow};
use crate::error::{PersistenceError, Result};
use crate::fs::PrivateDir;
use crate::high_water::{HighWater, Mark};
use crate::lane;
#[cfg(feature = "postgres")]
use crate::postgres::{self, PostgresUrl};
use crate::sql::{self, Change, Connection, Database};
use crate::sqlite::{self, schema};

/// Connections that read beside the writer: every mTLS request reads one certificate row.
const READERS: usize = 4;

/// Registry, sessions, certificates and audit log of one station, in SQLite or in PostgreSQL.
///
/// Every record is decided as if nobody else wrote: SQLite has one writer, PostgreSQL runs it
/// `SERIALIZABLE` and again when it collided with another station's.
pub struct SqlStationStore {
    database: Database,
    lane: String,
    log: AuditLog,
    signer: Option<Signer>,
    sealer: Option<Sealer>,
    /// How far the record had come, and one writer at a time for it.
    high_water: Option<Mutex<HighWater>>,
    /// Keeps the directory of an SQLite file locked.
    _dir: Option<Arc<PrivateDir>>,
}

/// The station's audit key and where its randomness comes from.
struct Signer {
    key: Arc<dyn IdentityKey>,
    entropy: Arc<dyn Entropy>,
}

impl SqlStationStore {
    /// Opens `station.db` in `dir`, making it if it is absent. Without
    /// [`SqlStationStore::with_checkpoints`] its audit log is chained and not signed.
    ///
    /// # Errors
    /// `SchemaNewer` (the file is left unread), `StorageCorrupt`, `KeyFileModeTooWide`,
    /// `KeyFileIsSymlink`, `StorageUnavailable`.
    pub async fn open(dir: Arc<PrivateDir>, station: &StationId) -> Result<Self> {
        let name = crate::STATION_DATABASE;
        let database = sqlite::Database::open(&dir, name, &schema::STATION, READERS).await?;
        let database = Database::Sqlite(Arc::new(database));
        Ok(Self { _dir: Some(dir), ..Self::over(database, lane::main(station)).await? })
    }

    /// Connects to a database of PostgreSQL, making the tables if it is empty. Several processes may write
    /// for a station, each under a name and into an audit lane of its own.
    ///
    /// # Errors
    /// `StorageUnavailable` when it cannot be reached, `StateConflict` while another process writes under
    /// this name, `SchemaNewer` (nothing of it is read), `StorageCorrupt` for the database of another
    /// program or one whose guards are gone.
    #[cfg(feature = "postgres")]
    pub async fn connect(
        url: &PostgresUrl,
        station: &StationId,
        instance: &InstanceName,
    ) -> Result<Self> {
        let lane = lane::of(station, instance);
        let database = postgres::Database::open(url, &lane, READERS).await?;
        Self::over(Database::Postgres(Arc::new(database)), lane).await
    }

    async fn over(database: Database, lane: String) -> Result<Self> {
        let lane = sql::read!(database, connection => lane::present(connection, lane.clone()))?;
        let log = AuditLog::new(database.clone(), lane.clone(), None);
        let (signer, sealer, high_water) = (None, None, None);
        Ok(Self { database, lane, log, signer, sealer, high_water, _dir: None })
    }

    /// The station whose log this is: the one that wrote its first row. `None` for an empty log.
    ///
    /// # Errors
    /// When the database cannot be read, or its first row is no station's.
    pub async fn owner(&self) -> Result<Option<StationId>> {
        self.log.first_lane().await?.as_deref().map(lane::owner).transpose()
    }

    /// The same store, signing checkpoints of its audit log with the station's audit key.
    #[must_use]
    pub fn with_checkpoints(self, key: Arc<dyn IdentityKey>, entropy: Arc<dyn Entropy>) -> Self {
        let log = self.log.signed_by(key.public().clone());
        Self { log, signer: Some(Signer { key, entropy }), ..self }
    }

    /// The same store, keeping running sessions sealed under the station's root secret. Without it no session
    /// can be opened.
    #[must_use]
    pub fn with_sessions(self, root: RootSecret, entropy: Arc<dyn Entropy>) -> Self {
        Self { sealer: Some(Sealer { root, entropy }), ..self }
    }

    /// The same store, remembering in `dir` how far its record has come, so that a start notices a database that
    /// was set back. The store must have [its root secret](Self::with_sessions).
    ///
    /// # Errors
    /// `StationSetBack` when the database is behind what is remembered; `StorageCorrupt` for a file that this
    /// station has not sealed.
    pub async fn with_high_water(self, dir: Arc<PrivateDir>, station: &StationId) -> Result<Self> {
        let sealer = self.sealer.as_ref().ok_or_else(held::no_secret)?;
        let high_water = HighWater::new(dir, &sealer.root, station);
        if let Some(mark) = high_water.read()? {
            let behind = sql::read!(self.database, connection => mark.ahead_of(connection))?;
            if let Some(behind) = behind {
                return Err(PersistenceError::new(ErrorCode::StationSetBack, behind.to_string()));
            }
        }
        Ok(Self { high_water: Some(Mutex::new(high_water)), ..self })
    }

    /// The audit log, for verification against held checkpoints and for export.
    #[must_use]
    pub fn audit_log(&self) -> &AuditLog {
        &self.log
    }

    /// Signs and stores a checkpoint over the audit log; `None` without a key.
    ///
    /// The store makes one by itself after each commit of a certificate and every
    /// [`limits::CHECKPOINT_ROWS`] rows; whoever has a timer makes one 60 s after a new row (D16).
    ///
    /// # Errors
    /// When the database or the key cannot be used.
    pub async fn write_checkpoint(&self, now: &Now) -> Result<Option<String>, StoreError> {
        match &self.signer {
            Some(signer) => {
                let checkpoint = self.log.write_checkpoint(now, signer).await?;
                if let Err(error) = self.raise_high_water(&checkpoint).await {
                    tracing::warn!(%error, "the high-water mark is not up to date");
                }
                Ok(Some(checkpoint))
            }
            None => Ok(None),
        }
    }

    /// After the checkpoint is durable: what is remembered may lag behind the database, and never runs ahead.
    async fn raise_high_water(&self, checkpoint: &str) -> Result<()> {
        let (Some(high_water), Some(sealer)) = (&self.high_water, &self.sealer) else {
            return Ok(());
        };
        let high_water = high_water.lock().await;
        let mark = sql::read!(self.database, connection =>
            Mark::at(connection, checkpoint.to_owned()))?;
        high_water.write(&mark, &mut *sealer.entropy.generator())
    }

    async fn commit_record(
        &self,
        now: &Now,
        record: &StationRecord,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let whole = Whole { lane: &self.lane, sealer: self.sealer.as_ref(), now, record };
        let committed = self.database.write(&whole).await?;
        if committed.is_ok() {
            self.checkpoint_if_due(now, record).await;
        }
        Ok(committed)
    }

    /// A checkpoint failing fails nothing: the rows are durable, the next one speaks for them too.
    async fn checkpoint_if_due(&self, now: &Now, record: &StationRecord) {
        if self.signer.is_none() || record.audit.is_empty() {
            return;
        }
        let committed = record.writes.iter().any(|write| {
            matches!(write, StationWrite::Certificate { to: CertificateState::Current, .. })
        });
        let due = committed
            || match self.log.rows_since_checkpoint().await {
                Ok(rows) => rows >= limits::CHECKPOINT_ROWS.default,
                Err(_) => false,
            };
        if due && let Err(error) = self.write_checkpoint(now).await {
            tracing::warn!(%error, "no checkpoint could be made of the audit log");
        }
    }
}

/// A record, all of it or nothing: audit rows first.
struct Whole<'a> {
    lane: &'a str,
    sealer: Option<&'a Sealer>,
    now: &'a Now,
    record: &'a StationRecord,
}

#[async_trait]
impl Change for Whole<'_> {
    type Outcome = ();
    type Refusal = Refusal;

    async fn make(&self, connection: &mut Connection<'_>) -> Result<Result<(), Refusal>> {
        audit::append(connection, self.lane, None, self.now, &self.record.audit).await?;
        for write in &self.record.writes {
            match apply(connection, self.sealer, write).await {
                Ok(()) => {}
                Err(Stop::Refused(refusal)) => return Ok(Err(refusal)),
                Err(Stop::Failed(error)) => return Err(error),
            }
        }
        Ok(Ok(()))
    }
}

#[async_trait]
impl CheckpointSigner for Signer {
    async fn sign(&self, payload: Vec<u8>) -> Result<String> {
        let mut rng = self.entropy.generator();
        jws::sign(Typ::Checkpoint, None, &payload, self.key.as_ref(), &mut *rng).map_err(|error| {
            PersistenceError::caused_by(error.code(), "a checkpoint cannot be signed", error)
        })
    }
}

/// Runs a read on one of the reading connections.
macro_rules! read {
    ($self:ident, $read:path $(, $argument:expr)*) => {
        Ok(sql::read!($self.database, connection => $read(connection $(, $argument)*))?)
    };
}

#[async_trait]
impl StationStore for SqlStationStore {
    fn is_shared(&self) -> bool {
        match self.database {
            Database::Sqlite(_) => false,
            #[cfg(feature = "postgres")]
            Database::Postgres(_) => true,
        }
    }

    async fn commit(
        &self,
        now: &Now,
        record: &StationRecord,
    ) -> Result<Result<(), Refusal>, StoreError> {
        if record.is_empty() {
            return Ok(Ok(()));
        }
        self.commit_record(now, record).await
    }

    async fn device(&self, id: &DeviceId) -> Result<Option<DeviceRow>, StoreError> {
        read!(self, registry::device, id)
    }

    async fn device_by_serial(
        &self,
        serial: &DeviceSerial,
    ) -> Result<Option<DeviceRow>, StoreError> {
        read!(self, registry::device_by_serial, serial)
    }

    async fn device_by_identity(
        &self,
        identity: &Thumbprint,
    ) -> Result<Option<DeviceRow>, StoreError> {
        read!(self, registry::device_by_identity, identity)
    }

    async fn devices_at_bed(&self, bed: &BedId) -> Result<Vec<DeviceRow>, StoreError> {
        read!(self, registry::devices_at_bed, bed)
    }

    async fn devices(&self, page: Page) -> Result<Vec<DeviceRow>, StoreError> {
        read!(self, registry::devices, page)
    }

    async fn peer_checkpoint(&self, id: &DeviceId) -> Result<Option<String>, StoreError> {
        read!(self, registry::peer_checkpoint, id)
    }

    async fn recovery_counter(&self, id: &DeviceId) -> Result<u64, StoreError> {
        read!(self, registry::recovery_counter, id)
    }

    async fn operator(&self, id: &OperatorId) -> Result<Option<OperatorRow>, StoreError> {
        read!(self, registry::operator, id)
    }

    async fn operators(&self) -> Result<Vec<OperatorRow>, StoreError> {
        read!(self, registry::operators)
    }

    async fn login(&self, token_hash: &[u8; 32]) -> Result<Option<LoginRow>, StoreError> {
        read!(self, registry::login, token_hash)
    }

    async fn session(&self, id: &SessionId) -> Result<Option<SessionRow>, StoreError> {
        read!(self, sessions::session, id)
    }

    async fn sessions_of(&self, owner: &InstanceName) -> Result<Vec<SessionStanding>, StoreError> {
        read!(self, sessions::of_owner, owner)
    }

    async fn session_state(&self, id: &SessionId) -> Result<Option<SessionState>, StoreError> {
        let sealed = sql::read!(self.database, connection => held::sealed(connection, id))?;
        let Some(sealed) = sealed else { return Ok(None) };
        let sealer = self.sealer.as_ref().ok_or_else(held::no_secret)?;
        Ok(Some(sealer.open(id, &sealed)?))
    }

    async fn claimed_by(&self, token: &TokenId) -> Result<Option<SessionId>, StoreError> {
        read!(self, sessions::claimed_by, token)
    }

    async fn reservation(&self, device: &DeviceId) -> Result<Option<SessionRow>, StoreError> {
        read!(self, sessions::reservation, device)
    }

    async fn typed_tries(
        &self,
        operator: &OperatorId,
        window: &WindowId,
        at: UnixTime,
    ) -> Result<TypedTries, StoreError> {
        read!(self, tries::counted, operator, window, at)
    }

    async fn paired_since(&self, at: UnixTime) -> Result<u64, StoreError> {
        read!(self, sessions::paired_since, at)
    }

    async fn open_sessions(&self) -> Result<Vec<SessionRow>, StoreError> {
        read!(self, sessions::open_sessions)
    }

    async fn certificate(&self, serial: &Serial) -> Result<Option<CertificateRow>, StoreError> {
        read!(self, certificates::by_serial, serial)
    }

    async fn certificate_of_session(
        &self,
        session: &SessionId,
    ) -> Result<Option<CertificateRow>, StoreError> {
        read!(self, certificates::by_session, session)
    }

    async fn certificates_of_device(
        &self,
        device: &DeviceId,
        state: CertificateState,
    ) -> Result<Vec<CertificateRow>, StoreError> {
        read!(self, certificates::of_device, device, state)
    }

    async fn certificates(
        &self,
        state: CertificateState,
        page: Page,
    ) -> Result<Vec<CertificateListing>, StoreError> {
        read!(self, certificates::in_state, state, page)
    }

    async fn count_certificates(&self, state: CertificateState) -> Result<u64, StoreError> {
        read!(self, certificates::count, state)
    }

    async fn config_version(&self, device: &DeviceId) -> Result<u64, StoreError> {
        read!(self, certificates::config_version, device)
    }

    async fn pending_since(&self, issued_at: UnixTime) -> Result<Vec<CertificateRow>, StoreError> {
        read!(self, certificates::pending_since, issued_at)
    }

    async fn revocations(&self, at: UnixTime) -> Result<Vec<RevocationRow>, StoreError> {
        read!(self, certificates::revocations, at)
    }

    async fn crl_number(&self) -> Result<u64, StoreError> {
        read!(self, certificates::crl_number)
    }

    async fn latest_crl(&self) -> Result<Option<CrlRow>, StoreError> {
        read!(self, certificates::latest_crl)
    }

    async fn audit(&self, page: AuditPage) -> Result<Vec<AuditRow>, StoreError> {
        let rows = self.log.page(page.after, page.limit).await?;
        Ok(rows.iter().map(StoredRow::to_station_row).collect::<Result<_>>()?)
    }

    async fn newest_audit(&self, before: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let rows = self.log.newest(before, limit).await?;
        Ok(rows.iter().map(StoredRow::to_station_row).collect::<Result<_>>()?)
    }

    async fn verify_audit(&self) -> Result<AuditReport, StoreError> {
        Ok(self.log.verify().await?.into())
    }

    async fn checkpoint(&self) -> Result<Option<String>, StoreError> {
        Ok(self.log.latest_checkpoint().await?)
    }
}

#[async_trait]
impl BatchStore for SqlStationStore {
    async fn batch(&self, id: &BatchId) -> Result<Option<BatchRow>, StoreError> {
        read!(self, batches::batch, id)
    }

    async fn batches(&self, page: Page) -> Result<Vec<BatchListing>, StoreError> {
        read!(self, batches::list, page)
    }

    async fn count_batches(&self) -> Result<u64, StoreError> {
        read!(self, batches::count)
    }

    async fn batch_items(&self, id: &BatchId) -> Result<Vec<BatchItemRow>, StoreError> {
        read!(self, batches::items, id)
    }

    async fn batch_items_of(
        &self,
        device: Option<&DeviceId>,
        serial: Option<&DeviceSerial>,
    ) -> Result<Vec<BatchItemRow>, StoreError> {
        read!(self, batches::items_of, device, serial)
    }

    async fn running_batch_items(&self) -> Result<Vec<BatchItemRow>, StoreError> {
        read!(self, batches::running)
    }
}

impl fmt::Debug for SqlStationStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStationStore").field("lane", &self.lane).finish_non_exhaustive()
    }
}
