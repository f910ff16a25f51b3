//! One record, one transaction.

use sqlx::SqliteConnection;
use zmon_crypto::Secret32;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::SessionId;
use zmon_domain::limits;
use zmon_protocol::device::{DeviceWrite, Retirement, Slot};

use super::retirements;
use super::slot::{self, Name};
use super::state::{PlainState, Window};
use super::store::SqliteDeviceStore;
use crate::error::{PersistenceError, Result};

/// A slot of the record with the secret that was made for it before the transaction.
pub(super) type Staged<'a> = Option<(&'a Slot, Secret32)>;

/// Applies the writes of a record in order to the tables and to `state`.
pub(super) async fn apply(
    store: &SqliteDeviceStore,
    connection: &mut SqliteConnection,
    state: &mut PlainState,
    writes: &[DeviceWrite],
    staged: &Staged<'_>,
) -> Result<()> {
    for write in writes {
        match write {
            DeviceWrite::OpenWindow(id) => {
                state.window = Some(Window { id: *id.as_bytes(), claimed_by: None, tries: 0 });
            }
            DeviceWrite::ClaimWindow(id, session) => {
                claim(state, id.as_bytes(), session.as_bytes())?;
            }
            DeviceWrite::SpendTry(id) => spend_try(state, id.as_bytes())?,
            DeviceWrite::CloseWindow => state.window = None,
            DeviceWrite::StageB(slot) => stage(store, connection, state, slot, staged).await?,
            DeviceWrite::DropB => drop_slot(connection, state, Name::B).await?,
            DeviceWrite::MarkCommitSent(session) => {
                mark_sent(store, connection, state, *session, staged).await?;
            }
            DeviceWrite::Flip => flip(store, connection, state, staged).await?,
            DeviceWrite::Deprovision => {
                drop_slot(connection, state, Name::A).await?;
                drop_slot(connection, state, Name::B).await?;
                state.deprovisioned = true;
                state.settings = None;
            }
            DeviceWrite::QueueRetire(entry) => queue(store, state, entry)?,
            DeviceWrite::RetireDelivered(counter) => drop(state.retirements.remove(counter)),
            DeviceWrite::FactoryReset => {
                drop_slot(connection, state, Name::A).await?;
                drop_slot(connection, state, Name::B).await?;
                (state.window, state.settings) = (None, None);
                (state.deprovisioned, state.migrating, state.erasing) = (false, false, true);
            }
            DeviceWrite::NewIdentity => state.new_identity = true,
            DeviceWrite::EraseDone => state.erasing = false,
            DeviceWrite::Migrating(begun) => state.migrating = *begun,
            DeviceWrite::RememberSite(site, not_before) => {
                let latest = state.sites.entry(site.clone()).or_insert(*not_before);
                *latest = (*latest).max(*not_before);
            }
            DeviceWrite::RaiseFloor(floor) => state.floor = state.floor.max(Some(*floor)),
            DeviceWrite::RaiseCounter(counter) => {
                state.recovery_counter = state.recovery_counter.max(*counter);
            }
            other => {
                let context = format!("this store does not know the write {other:?}");
                return Err(PersistenceError::new(ErrorCode::Internal, context));
            }
        }
    }
    Ok(())
}

/// A statement waits; its counter must be new.
fn queue(store: &SqliteDeviceStore, state: &mut PlainState, entry: &Retirement) -> Result<()> {
    if entry.counter <= state.retire_counter {
        return Err(conflict("a statement must have a new counter"));
    }
    let mut rng = store.keys.rng().lock();
    let sealed = retirements::sealed(&store.device, &store.retire_key, entry, &mut *rng)?;
    state.retire_counter = entry.counter;
    state.retirements.insert(entry.counter, sealed);
    Ok(())
}

/// The slot a record stages, if any. A record that stages two is no record of ours.
pub(super) fn staged_slot(writes: &[DeviceWrite]) -> Result<Option<&Slot>> {
    let mut slots = writes
        .iter()
        .filter_map(|write| if let DeviceWrite::StageB(slot) = write { Some(slot) } else { None });
    let slot = slots.next();
    if slots.next().is_some() {
        return Err(conflict("a record stages one slot at most"));
    }
    Ok(slot)
}

/// `open → claimed(session)`, only from exactly this open window (D11).
fn claim(state: &mut PlainState, id: &[u8; 16], session: &[u8; 16]) -> Result<()> {
    match &mut state.window {
        Some(window) if window.id == *id && window.claimed_by.is_none_or(|by| by == *session) => {
            window.claimed_by = Some(*session);
            Ok(())
        }
        _ => Err(conflict("the window to claim is not open")),
    }
}

/// `tries + 1`, only in exactly this open window and while one is left (D2).
fn spend_try(state: &mut PlainState, id: &[u8; 16]) -> Result<()> {
    match &mut state.window {
        Some(window)
            if window.id == *id
                && window.claimed_by.is_none()
                && window.tries < limits::TYPED_TRIES.default =>
        {
            window.tries += 1;
            Ok(())
        }
        _ => Err(conflict("the window has no try left")),
    }
}

async fn stage(
    store: &SqliteDeviceStore,
    connection: &mut SqliteConnection,
    state: &mut PlainState,
    slot: &Slot,
    staged: &Staged<'_>,
) -> Result<()> {
    let Some((_, secret)) = staged else {
        return Err(PersistenceError::new(ErrorCode::Internal, "no secret was made for the slot"));
    };
    drop_slot(connection, state, Name::B).await?;
    let sealed = {
        let mut rng = store.keys.rng().lock();
        slot::sealed(&store.device, Name::B, slot, secret, &mut *rng)?
    };
    slot::store(connection, Name::B, slot.generation, sealed).await?;
    state.slot_b = Some(slot.generation);
    state.generation = state.generation.max(slot.generation);
    state.loose.remove(&slot.generation);
    Ok(())
}

async fn mark_sent(
    store: &SqliteDeviceStore,
    connection: &mut SqliteConnection,
    state: &mut PlainState,
    session: SessionId,
    staged: &Staged<'_>,
) -> Result<()> {
    // Opening it proves that what will be flipped to can be read, while everything can still be
    // dropped: after this point only the station's answer decides (D13).
    let (slot, _) = open_b(store, connection, state, staged).await?;
    if slot.session_id != session {
        return Err(conflict("slot B belongs to another session"));
    }
    state.commit_sent = true;
    Ok(())
}

async fn flip(
    store: &SqliteDeviceStore,
    connection: &mut SqliteConnection,
    state: &mut PlainState,
    staged: &Staged<'_>,
) -> Result<()> {
    let (slot, secret) = open_b(store, connection, state, staged).await?;
    let settings = slot.settings().map_err(|report| {
        PersistenceError::new(report.code(), "slot B: its settings cannot be read")
    })?;
    let sealed = {
        let mut rng = store.keys.rng().lock();
        slot::sealed(&store.device, Name::A, &slot, &secret, &mut *rng)?
    };
    drop_slot(connection, state, Name::A).await?;
    slot::delete(connection, Name::B).await?;
    slot::store(connection, Name::A, slot.generation, sealed).await?;
    state.slot_a = Some(slot.generation);
    state.slot_b = None;
    state.commit_sent = false;
    state.deprovisioned = false;
    state.settings = Some(settings);
    Ok(())
}

/// Removes a slot's row and notes that its secret has to go. An empty slot stays empty.
async fn drop_slot(
    connection: &mut SqliteConnection,
    state: &mut PlainState,
    name: Name,
) -> Result<()> {
    let generation = match name {
        Name::A => state.slot_a.take(),
        Name::B => {
            state.commit_sent = false;
            state.slot_b.take()
        }
    };
    if let Some(generation) = generation {
        slot::delete(connection, name).await?;
        state.loose.insert(generation);
    }
    Ok(())
}

async fn open_b(
    store: &SqliteDeviceStore,
    connection: &mut SqliteConnection,
    state: &PlainState,
    staged: &Staged<'_>,
) -> Result<(Slot, Secret32)> {
    let Some(generation) = state.slot_b else {
        return Err(conflict("slot B is empty"));
    };
    let secret = match staged {
        Some((slot, secret)) if slot.generation == generation => secret.clone(),
        _ => store.keys.read(generation).await?,
    };
    let slot = store.open_slot(connection, Name::B, generation, &secret).await?;
    Ok((slot, secret))
}

fn conflict(context: &str) -> PersistenceError {
    PersistenceError::new(ErrorCode::StateConflict, context)
}
