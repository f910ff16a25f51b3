//! The device's store.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::SqliteConnection;
use tokio::sync::watch;
use zmon_crypto::{Secret32, labels};
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::DeviceId;
use zmon_domain::limits;
use zmon_domain::role::Actor;
use zmon_domain::settings::DeviceSettings;
use zmon_domain::time::{ClockQuality, Now, Tick};
use zmon_protocol::device::{BootState, DeviceRecord, DeviceWrite, Slot};
use zmon_provisioning::ports::{
    AuditPage, AuditReport, AuditRow, DeviceStore, KeyStore, SettingsManager, SharedRng, StoreError,
};

use super::commit::{self, Staged};
use super::keys::Keys;
use super::retirements;
use super::slot::{self, Name};
use super::state::PlainState;
use crate::audit::{self, AuditLog};
use crate::error::{PersistenceError, Result};
use crate::fs::PrivateDir;
use crate::sql::{self, Connection};
use crate::sqlite::{Database, schema};

/// Slots, state, settings and audit log of one device in SQLite.
///
/// # Two places, one order
///
/// A slot lives in the database, the secret that opens it in the key store (D19); no transaction
/// spans both. Three rules make every crash end in wholly old or wholly new:
///
/// 1. *A secret is durable before the commit that needs it.* Its generation is noted as loose, in a
///    small transaction of its own, then the secret is made, then the slot is stored; the
///    transaction that stores the slot removes the note.
/// 2. *A secret is destroyed after the commit that drops its slot.* That transaction notes the
///    generation as loose; the note goes when the secret is gone.
/// 3. *At start every loose secret is destroyed*, before the slots are read.
/// 4. *No secret is destroyed that a stored slot needs, nor while it is not known what is stored*: after
///    a commit whose outcome is unknown, the next start reads the medium again and decides.
///
/// | the power fails after | at the next start |
/// |---|---|
/// | the note, or the new secret | old state; the secret is destroyed |
/// | the commit that stages B | B is there, whole |
/// | the commit that flips | the new A; the old secret is destroyed |
/// | the old secret is destroyed | the new A; the note is removed |
pub struct SqliteDeviceStore {
    database: Arc<Database>,
    pub(super) device: DeviceId,
    pub(super) keys: Keys,
    lane: String,
    state_key: Secret32,
    pub(super) retire_key: Secret32,
    settings: watch::Sender<Option<DeviceSettings>>,
    log: AuditLog,
    wants_new_identity: bool,
    /// Keeps the directory locked.
    _dir: Arc<PrivateDir>,
}

impl SqliteDeviceStore {
    /// Opens `device.db` in `dir`, making it if it is absent.
    ///
    /// The database is bound to the device id and to the root secret of `keys`: with another of
    /// either it is refused as damaged.
    ///
    /// # Errors
    /// `SchemaNewer` (the file is left unread), `StorageCorrupt`, `KeyFileModeTooWide`,
    /// `KeyFileIsSymlink`, `StorageUnavailable`.
    pub async fn open(
        dir: Arc<PrivateDir>,
        device: DeviceId,
        keys: Arc<dyn KeyStore>,
        rng: SharedRng,
    ) -> Result<Self> {
        let database =
            Arc::new(Database::open(&dir, crate::DEVICE_DATABASE, &schema::DEVICE, 1).await?);
        let keys = Keys::new(keys, rng);
        let state_key = keys.derive(labels::STATE)?;
        let retire_key = keys.derive(labels::RETIRE)?;
        let lane = lane(&device);
        let state = {
            let mut connection = database.write().await?;
            PlainState::read(&mut connection, &device, &state_key).await?
        };
        let log = AuditLog::new(
            sql::Database::Sqlite(Arc::clone(&database)),
            lane.clone(),
            Some(keys.identity()),
        );
        let wants_new_identity = state.new_identity && !state.erasing;
        let (settings, _) = watch::channel(state.settings);
        Ok(Self {
            database,
            device,
            keys,
            lane,
            state_key,
            retire_key,
            settings,
            log,
            wants_new_identity,
            _dir: dir,
        })
    }

    /// Whether a factory reset has asked for a new identity that [`crate::make_new_identity`] is to make
    /// now, before anything else is done with this device.
    #[must_use]
    pub fn wants_new_identity(&self) -> bool {
        self.wants_new_identity
    }

    /// The audit log, for verification against held checkpoints and for export.
    #[must_use]
    pub fn audit_log(&self) -> &AuditLog {
        &self.log
    }

    /// Signs and stores a checkpoint over the audit log and returns it.
    ///
    /// The store makes one by itself when a window opens, when a pairing ends and every
    /// [`limits::CHECKPOINT_ROWS`] rows; whoever has a timer makes one 60 s after a new row (D16).
    ///
    /// # Errors
    /// When the database or the key store cannot be used.
    pub async fn write_checkpoint(&self, now: &Now) -> Result<String, StoreError> {
        Ok(self.log.write_checkpoint(now, &self.keys).await?)
    }

    /// Opens the slot in `name`, which must be of `generation`.
    pub(super) async fn open_slot(
        &self,
        connection: &mut SqliteConnection,
        name: Name,
        generation: u64,
        secret: &Secret32,
    ) -> Result<Slot> {
        match slot::read(connection, name).await? {
            Some((stored, sealed)) if stored == generation => {
                slot::open(&self.device, name, generation, &sealed, secret)
            }
            _ => Err(PersistenceError::corrupt("a slot is not the one on record")),
        }
    }

    async fn load_state(&self) -> Result<BootState> {
        let mut connection = self.database.write().await?;
        // Before anything of the device runs: no clock has been asked yet.
        let unknown =
            Now { mono: Tick::ZERO, wall: None, quality: ClockQuality::None, millis: None };
        match self.sweep(&mut connection, &unknown).await {
            // A log that is full keeps no monitor from its patient; the notes stay, and with the next
            // sweep their rows come.
            Err(error) if error.code() == ErrorCode::AuditUnavailable => {
                tracing::warn!(error = %error.describe(), "destroyed, and not written down yet");
            }
            swept => swept?,
        }
        let state = PlainState::read(&mut connection, &self.device, &self.state_key).await?;
        let slot_a = self.load_slot(&mut connection, Name::A, state.slot_a).await?;
        let slot_b = self.load_slot(&mut connection, Name::B, state.slot_b).await?;
        let retirements = retirements::open(&self.device, &self.retire_key, &state.retirements)?;
        Ok(BootState {
            retirements,
            retire_counter: state.retire_counter,
            erasing: state.erasing,
            new_identity: state.new_identity,
            migrating: state.migrating,
            slot_a,
            slot_b: slot_b.map(|slot| (slot, state.commit_sent)),
            window_open: state.window.is_some(),
            deprovisioned: state.deprovisioned,
            floor: state.floor,
            site_not_before: state.sites.into_iter().collect(),
            generation: state.generation,
            recovery_counter: state.recovery_counter,
        })
    }

    async fn load_slot(
        &self,
        connection: &mut SqliteConnection,
        name: Name,
        generation: Option<u64>,
    ) -> Result<Option<Slot>> {
        let Some(generation) = generation else {
            return match slot::read(connection, name).await? {
                None => Ok(None),
                Some(_) => Err(PersistenceError::corrupt("a slot is not on record")),
            };
        };
        let secret = self.keys.read(generation).await?;
        self.open_slot(connection, name, generation, &secret).await.map(Some)
    }

    async fn commit_record(&self, now: &Now, record: &DeviceRecord) -> Result<()> {
        let mut connection = self.database.write().await?;
        let staged = match commit::staged_slot(&record.writes)? {
            Some(slot) => {
                self.note_loose(&mut connection, now, slot.generation).await?;
                Some((slot, self.keys.create(slot.generation).await?))
            }
            None => None,
        };
        let outcome = self.write_record(&mut connection, now, record, &staged).await;
        let loose = match &outcome {
            Ok(state) => {
                self.settings.send_if_modified(|current| {
                    let changed = *current != state.settings;
                    current.clone_from(&state.settings);
                    changed
                });
                !state.loose.is_empty()
            }
            Err(_) => staged.is_some() && !self.database.is_lost(),
        };
        let rows = match &outcome {
            Ok(_) => audit::rows_since_checkpoint(&mut Connection::Sqlite(&mut connection))
                .await
                .unwrap_or(0),
            Err(_) => 0,
        };
        if loose && let Err(error) = self.sweep(&mut connection, now).await {
            // The record stands or fell; what is left over is destroyed at the next chance.
            tracing::warn!(error = %error.describe(), "a slot secret could not be destroyed yet");
        }
        drop(connection);
        outcome?;
        self.checkpoint_if_due(now, record, rows).await;
        Ok(())
    }

    /// The transaction itself: audit rows first, then the writes, then the state.
    async fn write_record(
        &self,
        connection: &mut SqliteConnection,
        now: &Now,
        record: &DeviceRecord,
        staged: &Staged<'_>,
    ) -> Result<PlainState> {
        let mut transaction = self.database.begin(connection).await?;
        let before = PlainState::read(&mut transaction, &self.device, &self.state_key).await?;
        let device = Some(&self.device);
        let log = &mut Connection::Sqlite(&mut transaction);
        audit::append(log, &self.lane, device, now, &record.audit).await?;
        let mut after = before.clone();
        commit::apply(self, &mut transaction, &mut after, &record.writes, staged).await?;
        after.write(&mut transaction, &before, &self.device, &self.state_key).await?;
        self.database.finish(transaction).await?;
        Ok(after)
    }

    /// Notes, durably, that a secret of this generation may exist without a slot.
    async fn note_loose(
        &self,
        connection: &mut SqliteConnection,
        now: &Now,
        generation: u64,
    ) -> Result<()> {
        let unused = |state: &mut PlainState| {
            if generation <= state.generation {
                let context = "a staged slot must have a new generation";
                return Err(PersistenceError::new(ErrorCode::StateConflict, context));
            }
            state.loose.insert(generation);
            Ok(())
        };
        self.change(connection, now, &[], unused).await
    }

    /// Destroys every loose secret, then turns the notes into audit rows ([I §7.3]), then empties the
    /// write-ahead log of the pages that held their slots.
    async fn sweep(&self, connection: &mut SqliteConnection, now: &Now) -> Result<()> {
        let state = PlainState::read(connection, &self.device, &self.state_key).await?;
        if state.loose.is_empty() {
            return Ok(());
        }
        let needed = slot::generations(connection).await?;
        let mut destroyed = Vec::new();
        for generation in state.loose.difference(&needed) {
            self.keys.destroy(*generation).await?;
            if *generation > state.generation {
                // Made for a slot that was never stored: nothing is lost with it.
                continue;
            }
            let row = AuditEvent::new(EventType::KeyDestroyed, Actor::System).device(&self.device);
            destroyed.push(row.with("slotGeneration", generation));
        }
        let forget = |state: &mut PlainState| {
            state.loose.clear();
            Ok(())
        };
        self.change(connection, now, &destroyed, forget).await?;
        if !crate::sqlite::truncate_log(connection).await? {
            tracing::debug!("a reader holds the log; it is emptied later");
        }
        Ok(())
    }

    /// Changes nothing but the state, in a transaction of its own with its rows.
    async fn change(
        &self,
        connection: &mut SqliteConnection,
        now: &Now,
        rows: &[AuditEvent],
        change: impl FnOnce(&mut PlainState) -> Result<()> + Send,
    ) -> Result<()> {
        let mut transaction = self.database.begin(connection).await?;
        let before = PlainState::read(&mut transaction, &self.device, &self.state_key).await?;
        let log = &mut Connection::Sqlite(&mut transaction);
        audit::append(log, &self.lane, Some(&self.device), now, rows).await?;
        let mut after = before.clone();
        change(&mut after)?;
        after.write(&mut transaction, &before, &self.device, &self.state_key).await?;
        self.database.finish(transaction).await
    }

    /// A checkpoint failing fails nothing: the rows are durable, the next one speaks for them too.
    async fn checkpoint_if_due(&self, now: &Now, record: &DeviceRecord, rows: u64) {
        let marks = record
            .writes
            .iter()
            .any(|write| matches!(write, DeviceWrite::OpenWindow(_) | DeviceWrite::Flip));
        let due = marks || rows >= limits::CHECKPOINT_ROWS.default;
        if due && let Err(error) = self.write_checkpoint(now).await {
            tracing::warn!(%error, "no checkpoint could be made of the audit log");
        }
    }
}

/// The lane of the audit log that a device writes.
pub(super) fn lane(device: &DeviceId) -> String {
    format!("device:{device}")
}

#[async_trait]
impl DeviceStore for SqliteDeviceStore {
    async fn load(&self) -> Result<BootState, StoreError> {
        Ok(self.load_state().await?)
    }

    async fn commit(&self, now: &Now, record: &DeviceRecord) -> Result<(), StoreError> {
        if record.is_empty() {
            return Ok(());
        }
        Ok(self.commit_record(now, record).await?)
    }

    async fn events(&self, page: AuditPage) -> Result<Vec<AuditRow>, StoreError> {
        let rows = self.log.page(page.after, page.limit).await?;
        Ok(rows.iter().map(audit::StoredRow::to_device_row).collect::<Result<_>>()?)
    }

    async fn verify_audit(&self) -> Result<AuditReport, StoreError> {
        Ok(self.log.verify().await?.into())
    }

    async fn checkpoint(&self) -> Result<Option<String>, StoreError> {
        Ok(self.log.latest_checkpoint().await?)
    }
}

impl SettingsManager for SqliteDeviceStore {
    fn current(&self) -> Option<DeviceSettings> {
        self.settings.borrow().clone()
    }

    fn subscribe(&self) -> watch::Receiver<Option<DeviceSettings>> {
        self.settings.subscribe()
    }
}

impl fmt::Debug for SqliteDeviceStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteDeviceStore").field("device", &self.device).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
