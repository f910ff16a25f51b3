//! Storage of Z Monitor provisioning: stores in SQLite and PostgreSQL, sealing at rest, key files, the
//! audit log.
//!
//! Adapters of the ports of `zmon-provisioning` and `zmon-station`. They decide nothing about a
//! pairing; what they promise is that a record is stored whole or not at all, that it is durable
//! when they say so, and that damage is found instead of served.
//!
//! | adapter | port | where |
//! |---|---|---|
//! | [`SqliteDeviceStore`] | `DeviceStore`, `SettingsManager` | `device.db` |
//! | [`FileKeyStore`] | `KeyStore` | `root.key`, `identity.key`, `slots/` |
//! | [`FileAuthenticator`] | `Authenticator`, `LocalOperators` | `operators.json`, `operators.tries.json` |
//! | [`ClinicalFolder`] | `ClinicalData` | `clinical/` |
//! | [`ManualFolder`] | `ManualConfiguration` | a folder of its own |
//! | [`SqlStationStore`] | `StationStore` | `station.db`, or a database of PostgreSQL |
//!
//! The feature `device` is the first five, `station` the last, `postgres` its second database; the audit
//! log is in both. `upkeep` is what tools do to a station's database: [`StationUpkeep`].
//!
//! Everything lives in one [`PrivateDir`]: 0700, files 0600, no links, one process at a time. It is
//! opened once and shared:
//!
//! ```no_run
//! # #[cfg(feature = "device")] {
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
//! # }
//! ```
#![cfg_attr(
    not(feature = "device"),
    expect(
        dead_code,
        reason = "files and errors are shared; the station's side uses a part of them"
    )
)]

mod audit;
#[cfg(feature = "device")]
mod authenticator;
#[cfg(feature = "device")]
mod clinical;
#[cfg(feature = "device")]
mod device;
mod error;
mod fs;
mod hex;
#[cfg(any(feature = "station", feature = "upkeep"))]
mod high_water;
#[cfg(feature = "device")]
mod keystore;
#[cfg(any(feature = "station", feature = "upkeep"))]
mod lane;
#[cfg(feature = "device")]
mod manual;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "device", feature = "station", feature = "upkeep"))]
mod seal;
mod sql;
mod sqlite;
#[cfg(feature = "station")]
mod station;
#[cfg(feature = "upkeep")]
mod upkeep;

pub use audit::{
    AuditExport, AuditLog, AuditRecord, Damage, ExportedRow, JsonLines, LaneSummary, Verification,
    export_failed,
};
#[cfg(feature = "device")]
pub use authenticator::{FileAuthenticator, HashCost, OperatorEntry};
#[cfg(feature = "device")]
pub use clinical::{CLINICAL_FOLDER, ClinicalFolder};
#[cfg(feature = "device")]
pub use device::{SqliteDeviceStore, make_new_identity};
pub use error::PersistenceError;
pub use fs::{PrivateDir, Protection, read_file};
#[cfg(feature = "device")]
pub use keystore::FileKeyStore;
#[cfg(feature = "device")]
pub use manual::ManualFolder;
#[cfg(feature = "postgres")]
pub use postgres::PostgresUrl;
#[cfg(feature = "station")]
pub use station::SqlStationStore;
#[cfg(feature = "upkeep")]
pub use upkeep::{
    AuditSigner, LaneEnd, OldRecord, SealedReader, SealedWriter, SetBack, StationUpkeep,
    TablesState, tables_state,
};

/// Name of the device's database in its directory.
pub const DEVICE_DATABASE: &str = "device.db";

/// Name of the station's database in its directory.
pub const STATION_DATABASE: &str = "station.db";
