//! Storage of Z Monitor provisioning: SQLite stores, sealing at rest, key files, the audit log.
//!
//! Adapters of the ports of `zmon-provisioning` and `zmon-station`. They decide nothing about a
//! pairing; what they promise is that a record is stored whole or not at all, that it is durable
//! when they say so, and that damage is found instead of served.
//!
//! | adapter | port | where |
//! |---|---|---|
//! | [`SqliteDeviceStore`] | `DeviceStore`, `SettingsManager` | `device.db` |
//! | [`FileKeyStore`] | `KeyStore` | `root.key`, `identity.key`, `slots/` |
//! | [`FileAuthenticator`] | `Authenticator` | `operators.json`, `operators.tries.json` |
//! | [`SqliteStationStore`] | `StationStore` | `station.db` |
//!
//! Everything lives in one [`PrivateDir`]: 0700, files 0600, no links, one process at a time. It is
//! opened once and shared:
//!
//! ```no_run
//! # use std::{path::Path, sync::Arc};
//! # use zmon_domain::ids::DeviceId;
//! # use zmon_persistence::{FileAuthenticator, FileKeyStore, PrivateDir, SqliteDeviceStore};
//! # use zmon_provisioning::ports::{KeyStore, SharedRng};
//! # async fn open(rng: SharedRng) -> Result<(), zmon_persistence::PersistenceError> {
//! let dir = Arc::new(PrivateDir::open(Path::new("/var/lib/zmon"))?);
//! let keys: Arc<dyn KeyStore> = Arc::new(FileKeyStore::open(Arc::clone(&dir))?);
//! let operators = FileAuthenticator::open(Arc::clone(&dir), keys.as_ref(), rng.clone())?;
//! let device = DeviceId::parse("ZM-001").unwrap();
//! let store = SqliteDeviceStore::open(dir, device, keys, rng).await?;
//! # Ok(()) }
//! ```

mod audit;
mod authenticator;
mod device;
mod error;
mod fs;
mod hex;
mod keystore;
mod seal;
mod sqlite;
mod station;

pub use audit::{AuditLog, Damage, LaneSummary, Verification};
pub use authenticator::{FileAuthenticator, HashCost, OperatorEntry};
pub use device::SqliteDeviceStore;
pub use error::PersistenceError;
pub use fs::PrivateDir;
pub use keystore::FileKeyStore;
pub use station::SqliteStationStore;

/// Name of the device's database in its directory.
pub const DEVICE_DATABASE: &str = "device.db";

/// Name of the station's database in its directory.
pub const STATION_DATABASE: &str = "station.db";
