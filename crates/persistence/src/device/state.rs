//! What must survive a restart and is no secret: read whole, changed in memory, written whole.

use std::collections::{BTreeMap, BTreeSet};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use subtle::ConstantTimeEq;
use zmon_crypto::{Secret32, labels};
use zmon_domain::ids::{DeviceId, SiteId};
use zmon_domain::settings::DeviceSettings;
use zmon_domain::time::UnixTime;

use super::bytes::{put, put_option};
use super::{retirements, settings};
use crate::error::{PersistenceError, Result};

/// The provisioning window as a restart finds it (D11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) id: [u8; 16],
    pub(super) claimed_by: Option<[u8; 16]>,
    /// Runs of the typed code that were started in it (D2).
    pub(super) tries: u8,
}

/// Everything durable on the device that is neither sealed nor an audit row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct PlainState {
    pub(super) generation: u64,
    pub(super) slot_a: Option<u64>,
    pub(super) slot_b: Option<u64>,
    pub(super) commit_sent: bool,
    pub(super) window: Option<Window>,
    pub(super) deprovisioned: bool,
    pub(super) floor: Option<UnixTime>,
    pub(super) sites: BTreeMap<SiteId, UnixTime>,
    pub(super) settings: Option<DeviceSettings>,
    pub(super) loose: BTreeSet<u64>,
    pub(super) recovery_counter: u64,
    pub(super) retire_counter: u64,
    pub(super) retirements: retirements::Sealed,
    pub(super) erasing: bool,
    pub(super) migrating: bool,
    pub(super) new_identity: bool,
}

impl PlainState {
    /// Reads and authenticates the state. A database without a state row is new: it must be empty.
    pub(super) async fn read(
        connection: &mut SqliteConnection,
        device: &DeviceId,
        key: &Secret32,
    ) -> Result<Self> {
        let row = sqlx::query(
            "SELECT generation, slot_a, slot_b, commit_sent, window_id, window_session, \
             window_tries, deprovisioned, floor, retire_counter, erasing, migrating, \
             recovery_counter, new_identity, mac \
             FROM device_state WHERE id = 1",
        )
        .fetch_optional(&mut *connection)
        .await
        .map_err(unreadable)?;
        let Some(row) = row else {
            return new_database(connection).await;
        };
        let mut state = Self::from_row(&row)?;
        state.sites = read_sites(connection).await?;
        state.settings = settings::read(connection).await?;
        state.loose = read_loose(connection).await?;
        state.retirements = retirements::read(connection).await?;
        let mac: &[u8] = row.try_get("mac").map_err(unreadable)?;
        if !bool::from(state.mac(device, key)?.as_slice().ct_eq(mac)) {
            return Err(PersistenceError::corrupt("the device state is not what was written"));
        }
        Ok(state)
    }

    /// Writes what differs from `before`, and the new authenticator.
    pub(super) async fn write(
        &self,
        connection: &mut SqliteConnection,
        before: &Self,
        device: &DeviceId,
        key: &Secret32,
    ) -> Result<()> {
        if self.sites != before.sites {
            write_sites(connection, &self.sites).await?;
        }
        if self.settings != before.settings {
            settings::write(connection, self.settings.as_ref()).await?;
        }
        if self.loose != before.loose {
            write_loose(connection, &self.loose).await?;
        }
        retirements::write(connection, &before.retirements, &self.retirements).await?;
        let mac = self.mac(device, key)?;
        sqlx::query(
            "INSERT INTO device_state (id, generation, slot_a, slot_b, commit_sent, window_id, \
             window_session, deprovisioned, floor, retire_counter, erasing, migrating, mac, \
             window_tries, recovery_counter, new_identity) \
             VALUES (1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) \
             ON CONFLICT (id) DO UPDATE SET generation = excluded.generation, \
             slot_a = excluded.slot_a, slot_b = excluded.slot_b, \
             commit_sent = excluded.commit_sent, window_id = excluded.window_id, \
             window_session = excluded.window_session, deprovisioned = excluded.deprovisioned, \
             floor = excluded.floor, retire_counter = excluded.retire_counter, \
             erasing = excluded.erasing, migrating = excluded.migrating, mac = excluded.mac, \
             window_tries = excluded.window_tries, \
             recovery_counter = excluded.recovery_counter, \
             new_identity = excluded.new_identity",
        )
        .bind(stored(self.generation)?)
        .bind(self.slot_a.map(stored).transpose()?)
        .bind(self.slot_b.map(stored).transpose()?)
        .bind(self.commit_sent)
        .bind(self.window.as_ref().map(|window| window.id.to_vec()))
        .bind(self.window.as_ref().and_then(|window| window.claimed_by).map(|id| id.to_vec()))
        .bind(self.deprovisioned)
        .bind(self.floor.map(UnixTime::unix))
        .bind(stored(self.retire_counter)?)
        .bind(self.erasing)
        .bind(self.migrating)
        .bind(mac.as_slice())
        .bind(self.window.as_ref().map_or(0, |window| window.tries))
        .bind(stored(self.recovery_counter)?)
        .bind(self.new_identity)
        .execute(connection)
        .await
        .map_err(unwritable)?;
        Ok(())
    }

    fn from_row(row: &SqliteRow) -> Result<Self> {
        let generation = |name| -> Result<Option<u64>> {
            let number: Option<i64> = row.try_get(name).map_err(unreadable)?;
            number.map(read_generation).transpose()
        };
        let floor: Option<i64> = row.try_get("floor").map_err(unreadable)?;
        let window: Option<&[u8]> = row.try_get("window_id").map_err(unreadable)?;
        let claimed: Option<&[u8]> = row.try_get("window_session").map_err(unreadable)?;
        let claimed_by = claimed.map(read_id).transpose()?;
        let tries = row.try_get("window_tries").map_err(unreadable)?;
        Ok(Self {
            generation: generation("generation")?.unwrap_or(0),
            slot_a: generation("slot_a")?,
            slot_b: generation("slot_b")?,
            commit_sent: row.try_get("commit_sent").map_err(unreadable)?,
            window: window.map(read_id).transpose()?.map(|id| Window { id, claimed_by, tries }),
            deprovisioned: row.try_get("deprovisioned").map_err(unreadable)?,
            floor: floor.map(read_time).transpose()?,
            recovery_counter: generation("recovery_counter")?.unwrap_or(0),
            retire_counter: generation("retire_counter")?.unwrap_or(0),
            erasing: row.try_get("erasing").map_err(unreadable)?,
            migrating: row.try_get("migrating").map_err(unreadable)?,
            new_identity: row.try_get("new_identity").map_err(unreadable)?,
            ..Self::default()
        })
    }

    /// HMAC over every member in a fixed order: a flipped bit in any of the five tables shows.
    fn mac(&self, device: &DeviceId, key: &Secret32) -> Result<[u8; 32]> {
        let number = |n: u64| n.to_be_bytes();
        let mut out = Vec::new();
        put(&mut out, labels::STATE);
        put(&mut out, device.as_str().as_bytes());
        out.extend_from_slice(&number(self.generation));
        put_option(&mut out, self.slot_a.map(number).as_ref().map(<[u8; 8]>::as_slice));
        put_option(&mut out, self.slot_b.map(number).as_ref().map(<[u8; 8]>::as_slice));
        out.extend_from_slice(&[u8::from(self.commit_sent), u8::from(self.deprovisioned)]);
        let window = self.window.as_ref();
        put_option(&mut out, window.map(|window| window.id.as_slice()));
        let claimed = window.and_then(|window| window.claimed_by.as_ref());
        put_option(&mut out, claimed.map(<[u8; 16]>::as_slice));
        let floor = self.floor.map(|time| time.unix().to_be_bytes());
        put_option(&mut out, floor.as_ref().map(<[u8; 8]>::as_slice));
        out.extend_from_slice(&number(count(self.sites.len())));
        for (site, time) in &self.sites {
            put(&mut out, site.as_str().as_bytes());
            out.extend_from_slice(&time.unix().to_be_bytes());
        }
        put_option(&mut out, self.settings.as_ref().map(settings::bytes).as_deref());
        out.extend_from_slice(&number(count(self.loose.len())));
        for generation in &self.loose {
            out.extend_from_slice(&number(*generation));
        }
        // A state of before there were tries has none, and nothing here.
        if let Some(tries) = window.map(|window| window.tries).filter(|tries| *tries > 0) {
            put(&mut out, b"tries");
            out.push(tries);
        }
        // Younger than the rest: a state without one is authenticated as it was before there were any.
        if self.recovery_counter > 0 {
            put(&mut out, b"recovery counter");
            out.extend_from_slice(&number(self.recovery_counter));
        }
        self.put_end_of_life(&mut out);
        if self.new_identity {
            put(&mut out, b"new identity");
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(key.expose())
            .map_err(|_| PersistenceError::corrupt("the state key has the wrong length"))?;
        mac.update(&out);
        Ok(mac.finalize().into_bytes().into())
    }
}

impl PlainState {
    /// What an older schema does not have is covered once it says something: before that its
    /// authenticator is the one that was written then.
    fn put_end_of_life(&self, out: &mut Vec<u8>) {
        let silent = self.retire_counter == 0
            && self.retirements.is_empty()
            && !self.erasing
            && !self.migrating;
        if silent {
            return;
        }
        out.extend_from_slice(&self.retire_counter.to_be_bytes());
        out.extend_from_slice(&[u8::from(self.erasing), u8::from(self.migrating)]);
        out.extend_from_slice(&count(self.retirements.len()).to_be_bytes());
        for (counter, sealed) in &self.retirements {
            out.extend_from_slice(&counter.to_be_bytes());
            put(out, sealed);
        }
    }
}

/// No state row: nothing else may be there either, or the row was lost.
async fn new_database(connection: &mut SqliteConnection) -> Result<PlainState> {
    let rows: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM slots) + (SELECT count(*) FROM site_floors) \
         + (SELECT count(*) FROM settings) + (SELECT count(*) FROM loose_secrets) \
         + (SELECT count(*) FROM retire_queue) + (SELECT count(*) FROM security_audit_log)",
    )
    .fetch_one(connection)
    .await
    .map_err(unreadable)?;
    if rows != 0 {
        return Err(PersistenceError::corrupt("the device state is missing"));
    }
    Ok(PlainState::default())
}

async fn read_sites(connection: &mut SqliteConnection) -> Result<BTreeMap<SiteId, UnixTime>> {
    let rows: Vec<(String, i64)> = sqlx::query_as("SELECT site_id, not_before FROM site_floors")
        .fetch_all(connection)
        .await
        .map_err(unreadable)?;
    rows.into_iter()
        .map(|(site, time)| {
            let site = SiteId::parse(&site)
                .map_err(|error| PersistenceError::corrupt(format!("site_floors: {error}")))?;
            Ok((site, read_time(time)?))
        })
        .collect()
}

async fn write_sites(
    connection: &mut SqliteConnection,
    sites: &BTreeMap<SiteId, UnixTime>,
) -> Result<()> {
    sqlx::query("DELETE FROM site_floors").execute(&mut *connection).await.map_err(unwritable)?;
    for (site, time) in sites {
        sqlx::query("INSERT INTO site_floors (site_id, not_before) VALUES ($1, $2)")
            .bind(site.as_str())
            .bind(time.unix())
            .execute(&mut *connection)
            .await
            .map_err(unwritable)?;
    }
    Ok(())
}

async fn read_loose(connection: &mut SqliteConnection) -> Result<BTreeSet<u64>> {
    let rows: Vec<(i64,)> = sqlx::query_as("SELECT generation FROM loose_secrets")
        .fetch_all(connection)
        .await
        .map_err(unreadable)?;
    rows.into_iter().map(|(generation,)| read_generation(generation)).collect()
}

async fn write_loose(connection: &mut SqliteConnection, loose: &BTreeSet<u64>) -> Result<()> {
    sqlx::query("DELETE FROM loose_secrets").execute(&mut *connection).await.map_err(unwritable)?;
    for generation in loose {
        sqlx::query("INSERT INTO loose_secrets (generation) VALUES ($1)")
            .bind(stored(*generation)?)
            .execute(&mut *connection)
            .await
            .map_err(unwritable)?;
    }
    Ok(())
}

fn read_generation(number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|_| PersistenceError::corrupt("a generation is negative"))
}

fn read_time(seconds: i64) -> Result<UnixTime> {
    UnixTime::from_unix(seconds).ok_or_else(|| PersistenceError::corrupt("a time is out of range"))
}

fn read_id(bytes: &[u8]) -> Result<[u8; 16]> {
    bytes.try_into().map_err(|_| PersistenceError::corrupt("an id has the wrong length"))
}

fn stored(generation: u64) -> Result<i64> {
    i64::try_from(generation).map_err(|_| PersistenceError::corrupt("the generations have run out"))
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn unreadable(error: sqlx::Error) -> PersistenceError {
    PersistenceError::database("the device state cannot be read", error)
}

fn unwritable(error: sqlx::Error) -> PersistenceError {
    PersistenceError::database("the device state cannot be written", error)
}
