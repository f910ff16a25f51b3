//! A slot's row: one sealed value (D19).

use std::collections::BTreeSet;

use rand_core::CryptoRng;
use sqlx::{Row, SqliteConnection};
use zeroize::Zeroizing;
use zmon_crypto::{Secret32, SecretBytes};
use zmon_domain::ids::{DeviceId, Serial, SessionId};
use zmon_protocol::device::Slot;

use super::bytes::{put, take};
use crate::error::{PersistenceError, Result};
use crate::seal;

/// Format of the sealed value.
const VERSION: u8 = 1;

/// Which of D13's two slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    A,
    B,
}

impl Name {
    const fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
        }
    }
}

/// Stores a slot's sealed value.
pub(super) async fn store(
    connection: &mut SqliteConnection,
    name: Name,
    generation: u64,
    sealed: Vec<u8>,
) -> Result<()> {
    sqlx::query("INSERT INTO slots (slot, generation, sealed) VALUES ($1, $2, $3)")
        .bind(name.as_str())
        .bind(stored(generation)?)
        .bind(sealed)
        .execute(connection)
        .await
        .map_err(|error| PersistenceError::database("a slot cannot be stored", error))?;
    Ok(())
}

/// Seals a slot under the secret of its generation, for exactly one place.
pub(super) fn sealed(
    device: &DeviceId,
    name: Name,
    slot: &Slot,
    secret: &Secret32,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<u8>> {
    seal::seal(secret, &aad(device, name, slot.generation), &encode(slot), rng)
}

/// Removes a slot's row; `secure_delete` zeroes its pages.
pub(super) async fn delete(connection: &mut SqliteConnection, name: Name) -> Result<()> {
    sqlx::query("DELETE FROM slots WHERE slot = $1")
        .bind(name.as_str())
        .execute(connection)
        .await
        .map_err(|error| PersistenceError::database("a slot cannot be removed", error))?;
    Ok(())
}

/// Generation and sealed value of a slot, if it is filled.
pub(super) async fn read(
    connection: &mut SqliteConnection,
    name: Name,
) -> Result<Option<(u64, Vec<u8>)>> {
    let fail = |error| PersistenceError::database("a slot cannot be read", error);
    let row = sqlx::query("SELECT generation, sealed FROM slots WHERE slot = $1")
        .bind(name.as_str())
        .fetch_optional(connection)
        .await
        .map_err(fail)?;
    let Some(row) = row else { return Ok(None) };
    let generation: i64 = row.try_get("generation").map_err(fail)?;
    Ok(Some((known(generation)?, row.try_get("sealed").map_err(fail)?)))
}

/// The generations of the stored slots: their secrets are needed.
pub(super) async fn generations(connection: &mut SqliteConnection) -> Result<BTreeSet<u64>> {
    let rows: Vec<(i64,)> = sqlx::query_as("SELECT generation FROM slots")
        .fetch_all(connection)
        .await
        .map_err(|error| PersistenceError::database("the slots cannot be read", error))?;
    rows.into_iter().map(|(generation,)| known(generation)).collect()
}

/// Opens a sealed value; it must be the one that was sealed for exactly this place.
pub(super) fn open(
    device: &DeviceId,
    name: Name,
    generation: u64,
    sealed: &[u8],
    secret: &Secret32,
) -> Result<Slot> {
    let what = format!("slot {}", name.as_str());
    let plain = seal::open(secret, &aad(device, name, generation), sealed, &what)?;
    decode(generation, &plain)
        .ok_or_else(|| PersistenceError::corrupt(format!("{what}: not a slot of this version")))
}

fn aad(device: &DeviceId, name: Name, generation: u64) -> Vec<u8> {
    format!("slots|{}|{}|{generation}", device.as_str(), name.as_str()).into_bytes()
}

fn encode(slot: &Slot) -> Zeroizing<Vec<u8>> {
    let key = slot.client_key.expose();
    // Exact capacity: a growing buffer would leave copies of the key behind.
    let size = 1 + 5 * 4 + 16 + slot.configuration.len() + key.len() + 32 + 20;
    let mut out = Zeroizing::new(Vec::with_capacity(size));
    out.push(VERSION);
    put(&mut out, slot.session_id.as_bytes());
    put(&mut out, slot.configuration.expose());
    put(&mut out, key);
    put(&mut out, &slot.configuration_hash);
    put(&mut out, slot.serial.as_bytes());
    out
}

fn decode(generation: u64, plain: &[u8]) -> Option<Slot> {
    let (version, mut rest) = plain.split_first()?;
    if *version != VERSION {
        return None;
    }
    let session_id = SessionId::from_bytes(take(&mut rest)?.try_into().ok()?);
    let configuration = SecretBytes::copy_from(take(&mut rest)?);
    let client_key = SecretBytes::copy_from(take(&mut rest)?);
    let configuration_hash = take(&mut rest)?.try_into().ok()?;
    let serial = Serial::from_bytes(take(&mut rest)?).ok()?;
    if !rest.is_empty() {
        return None;
    }
    Some(Slot { generation, session_id, configuration, client_key, configuration_hash, serial })
}

fn known(generation: i64) -> Result<u64> {
    u64::try_from(generation)
        .map_err(|_| PersistenceError::corrupt("a slot has a negative generation"))
}

fn stored(generation: u64) -> Result<i64> {
    i64::try_from(generation).map_err(|_| PersistenceError::corrupt("the generations have run out"))
}
