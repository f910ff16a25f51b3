//! Statements that wait for their station (D21): sealed rows that outlive every wipe.

use std::collections::BTreeMap;

use rand_core::CryptoRng;
use sqlx::SqliteConnection;
use zmon_crypto::Secret32;
use zmon_domain::address::ServerUrl;
use zmon_domain::ids::{DeviceId, Thumbprint};
use zmon_protocol::device::Retirement;

use super::bytes::{put, put_option, take};
use crate::error::{PersistenceError, Result};
use crate::seal;

/// Format of the sealed value.
const VERSION: u8 = 1;

/// The sealed rows by counter, as the state's authenticator covers them.
pub(super) type Sealed = BTreeMap<u64, Vec<u8>>;

pub(super) async fn read(connection: &mut SqliteConnection) -> Result<Sealed> {
    let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as("SELECT counter, sealed FROM retire_queue")
        .fetch_all(connection)
        .await
        .map_err(|error| PersistenceError::database("the retire queue cannot be read", error))?;
    rows.into_iter()
        .map(|(counter, sealed)| {
            let counter = u64::try_from(counter)
                .map_err(|_| PersistenceError::corrupt("retire_queue: a negative counter"))?;
            Ok((counter, sealed))
        })
        .collect()
}

/// Writes what differs from `before`; `secure_delete` zeroes the pages of what goes.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    before: &Sealed,
    after: &Sealed,
) -> Result<()> {
    let fail = |error| PersistenceError::database("the retire queue cannot be written", error);
    for counter in before.keys().filter(|counter| !after.contains_key(counter)) {
        sqlx::query("DELETE FROM retire_queue WHERE counter = $1")
            .bind(stored(*counter)?)
            .execute(&mut *connection)
            .await
            .map_err(fail)?;
    }
    for (counter, sealed) in after.iter().filter(|(counter, _)| !before.contains_key(counter)) {
        sqlx::query("INSERT INTO retire_queue (counter, sealed) VALUES ($1, $2)")
            .bind(stored(*counter)?)
            .bind(sealed.as_slice())
            .execute(&mut *connection)
            .await
            .map_err(fail)?;
    }
    Ok(())
}

/// Seals a statement for its place in the queue.
pub(super) fn sealed(
    device: &DeviceId,
    key: &Secret32,
    entry: &Retirement,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<u8>> {
    let mut plain = vec![VERSION];
    put(&mut plain, entry.statement.as_bytes());
    put(&mut plain, entry.server_url.as_str().as_bytes());
    put_option(&mut plain, entry.server_pin.as_ref().map(|pin| pin.as_bytes().as_slice()));
    entry.ca.iter().for_each(|der| put(&mut plain, der));
    seal::seal(key, &aad(device, entry.counter), &plain, rng)
}

/// Opens the queue, oldest first.
pub(super) fn open(device: &DeviceId, key: &Secret32, rows: &Sealed) -> Result<Vec<Retirement>> {
    rows.iter()
        .map(|(counter, sealed)| {
            let what = format!("statement {counter}");
            let plain = seal::open(key, &aad(device, *counter), sealed, &what)?;
            decode(*counter, &plain).ok_or_else(|| {
                PersistenceError::corrupt(format!("{what}: not a statement of this version"))
            })
        })
        .collect()
}

fn decode(counter: u64, plain: &[u8]) -> Option<Retirement> {
    let (version, mut rest) = plain.split_first()?;
    if *version != VERSION {
        return None;
    }
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let statement = text(take(&mut rest)?)?;
    let server_url = ServerUrl::parse(&text(take(&mut rest)?)?).ok()?;
    let (has_pin, after) = rest.split_first()?;
    rest = after;
    let server_pin = match has_pin {
        0 => None,
        _ => Some(Thumbprint::from_bytes(take(&mut rest)?.try_into().ok()?)),
    };
    let mut ca = Vec::new();
    while !rest.is_empty() {
        ca.push(take(&mut rest)?.to_vec());
    }
    Some(Retirement { counter, statement, server_url, ca, server_pin })
}

fn aad(device: &DeviceId, counter: u64) -> Vec<u8> {
    format!("retire_queue|{}|{counter}", device.as_str()).into_bytes()
}

fn stored(counter: u64) -> Result<i64> {
    i64::try_from(counter).map_err(|_| PersistenceError::corrupt("the counters have run out"))
}
