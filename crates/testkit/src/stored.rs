//! What a device's directory holds while nobody runs there.

use std::path::PathBuf;
use std::sync::Arc;

use zmon_domain::ids::DeviceId;
use zmon_persistence::{AuditLog, FileKeyStore, PersistenceError, PrivateDir, SqliteDeviceStore};
use zmon_protocol::device::BootState;
use zmon_provisioning::ports::{DeviceStore, KeyStore};

use crate::power::aside;
use crate::seed::Seed;

/// What a start would find.
#[derive(Debug)]
#[non_exhaustive]
pub struct Stored {
    /// Slots and everything else that a start begins with.
    pub boot: BootState,
    /// Rows of the audit log, which verifies.
    pub rows: u64,
}

impl Stored {
    /// Opens a device's directory as a start does, and verifies its log.
    ///
    /// # Errors
    /// What is not whole: key files, database, log or slots.
    pub async fn read(directory: PathBuf, id: DeviceId, seed: Seed) -> Result<Self, String> {
        let told = |error: PersistenceError| error.describe().to_string();
        aside(async move || {
            let dir = Arc::new(PrivateDir::open(&directory).map_err(told)?);
            let keys = FileKeyStore::open(Arc::clone(&dir)).map_err(told)?;
            let keys: Arc<dyn KeyStore> = Arc::new(keys);
            let store = SqliteDeviceStore::open(dir, id, keys, seed.shared_rng()).await;
            let store = store.map_err(told)?;
            let log: &AuditLog = store.audit_log();
            let verified = log.verify().await.map_err(told)?;
            if let Some((lane, damage)) = verified.damage() {
                return Err(format!("the audit log, {lane}: {damage:?}"));
            }
            let boot = store.load().await.map_err(|error| format!("{error:?}"))?;
            Ok(Self { boot, rows: verified.rows() })
        })
        .await
    }
}
