//! A new identity after a factory reset (D21): keys lie in files, what they protect in the database,
//! and no transaction spans both.
//!
//! 1. The new keys are written beside the old ones.
//! 2. One transaction seals the retire queue and authenticates the state under the new root, adds the
//!    rows, and signs a checkpoint with the new key, which vouches for all before it.
//! 3. The new files take the place of the old ones.
//!
//! A start after a power cut finds out how far it was: the state's authenticator is by the old root or
//! by the new one.

use std::sync::Arc;

use sqlx::SqliteConnection;
use zmon_crypto::jws::{self, Typ};
use zmon_crypto::labels;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::ids::DeviceId;
use zmon_domain::role::Actor;
use zmon_domain::time::Now;
use zmon_provisioning::ports::{KeyStore, SharedRng};

use super::retirements;
use super::state::PlainState;
use super::store::lane;
use crate::audit::{self, checkpoint};
use crate::error::{PersistenceError, Result};
use crate::fs::PrivateDir;
use crate::keystore::FileKeyStore;
use crate::sql::Connection;
use crate::sqlite::{Database, schema};

/// Makes the new identity that a factory reset has asked for, or finishes making it, while neither key
/// store nor database is open; it says whether there was something to do. Due when
/// [`FileKeyStore::has_staged`], and when [`crate::SqliteDeviceStore::wants_new_identity`].
///
/// # Errors
/// As [`FileKeyStore::open`] and [`crate::SqliteDeviceStore::open`].
pub async fn make_new_identity(
    dir: &Arc<PrivateDir>,
    device: &DeviceId,
    rng: &SharedRng,
    now: &Now,
) -> Result<bool> {
    let staged = FileKeyStore::staged(dir)?;
    if staged.is_none() && !dir.contains(crate::DEVICE_DATABASE)? {
        return Ok(false);
    }
    let database = Database::open(dir, crate::DEVICE_DATABASE, &schema::DEVICE, 1).await?;
    let mut connection = database.write().await?;
    let new = match staged {
        Some(new) if read(&mut connection, device, &new).await.is_ok() => {
            drop(connection);
            FileKeyStore::install_staged(dir)?;
            return Ok(true);
        }
        staged => staged,
    };
    let old = FileKeyStore::open(Arc::clone(dir))?;
    let before = read(&mut connection, device, &old).await?;
    if !before.new_identity || before.erasing {
        return Ok(false);
    }
    let new = match new {
        Some(new) => new,
        None => {
            let suite = old.identity().public().suite();
            FileKeyStore::stage(Arc::clone(dir), suite, &mut *rng.lock())?
        }
    };
    let mut transaction = database.begin(&mut connection).await?;
    change(&mut transaction, device, &before, [&old, &new], rng, now).await?;
    database.finish(transaction).await?;
    drop(connection);
    FileKeyStore::install_staged(dir)?;
    Ok(true)
}

async fn read(
    connection: &mut SqliteConnection,
    device: &DeviceId,
    keys: &FileKeyStore,
) -> Result<PlainState> {
    PlainState::read(connection, device, &keys.derive(labels::STATE)?).await
}

async fn change(
    connection: &mut SqliteConnection,
    device: &DeviceId,
    before: &PlainState,
    [old, new]: [&FileKeyStore; 2],
    rng: &SharedRng,
    now: &Now,
) -> Result<()> {
    let row = |event, keys: &FileKeyStore| {
        AuditEvent::new(event, Actor::System)
            .device(device)
            .with("identityKey", keys.identity().public().thumbprint())
    };
    let rows = [row(EventType::KeyDestroyed, old), row(EventType::KeyCreated, new)];
    let log = &mut Connection::Sqlite(connection);
    audit::append(log, &lane(device), Some(device), now, &rows).await?;

    let (from, to) = (old.derive(labels::RETIRE)?, new.derive(labels::RETIRE)?);
    let mut sealed = retirements::Sealed::new();
    for entry in retirements::open(device, &from, &before.retirements)? {
        let again = retirements::sealed(device, &to, &entry, &mut *rng.lock())?;
        sealed.insert(entry.counter, again);
    }
    let none = retirements::Sealed::new();
    retirements::write(connection, &before.retirements, &none).await?;
    retirements::write(connection, &none, &sealed).await?;
    let after = PlainState { new_identity: false, retirements: sealed, ..before.clone() };
    after.write(connection, before, device, &new.derive(labels::STATE)?).await?;

    let log = &mut Connection::Sqlite(connection);
    let (payload, count) = checkpoint::payload(log, now).await?;
    let signed = jws::sign(Typ::Checkpoint, None, &payload, new.identity(), &mut *rng.lock());
    let signed = signed.map_err(|error| {
        PersistenceError::caused_by(error.code(), "a checkpoint cannot be signed", error)
    })?;
    checkpoint::store(log, now, count, &signed).await
}
