//! How far a station's record had come, sealed in its directory beside the database (D16).
//!
//! A database that was set back (an old file copied into its place, a snapshot of a machine rolled back) is
//! whole by itself: nothing in it tells that it once held more. This file does. It is written after a
//! checkpoint is durable, so that it may lag behind the database and never runs ahead of it.

use core::fmt;
use std::sync::Arc;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zmon_crypto::{RootSecret, Secret32};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::StationId;

use crate::audit::{Head, hash_at, stated_heads};
use crate::error::{PersistenceError, Result};
use crate::fs::PrivateDir;
use crate::seal;
use crate::sql::{Connection, query};

/// Name of the file.
const FILE: &str = "station.high-water";
/// Longest file, in bytes: a checkpoint of some hundred lanes.
const FILE_MAX: usize = 65_536;
/// Version of what is sealed.
const VERSION: u8 = 1;

/// The highest number of a revocation list that was given out, or that none is given out below. Read with every
/// mark: it looks at the ends of two indexes, however long the tables are.
const CRL_NUMBER: &str = "SELECT coalesce(max(number), 0) FROM (SELECT max(number) AS number FROM crls \
     UNION ALL SELECT max(crl_floor) FROM set_backs) AS numbers";

/// The file of one station.
pub(crate) struct HighWater {
    dir: Arc<PrivateDir>,
    key: Secret32,
    station: StationId,
}

/// What the record of a station held at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Mark {
    v: u8,
    /// The checkpoint that was made then (compact JWS).
    checkpoint: String,
    /// The newest number of a revocation list.
    pub(crate) crl_number: u64,
}

/// In what a database is behind its mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Behind {
    /// A lane is shorter, or another row is in the place of its last one.
    Lane { lane: String, once: u64, is_other: bool },
    /// A newer revocation list was published.
    Crl { once: u64, now: u64 },
}

impl HighWater {
    pub(crate) fn new(dir: Arc<PrivateDir>, root: &RootSecret, station: &StationId) -> Self {
        Self { dir, key: root.high_water_key(station), station: station.clone() }
    }

    /// What was written last; `None` for a station that has never written one.
    pub(crate) fn read(&self) -> Result<Option<Mark>> {
        let sealed = match self.dir.read(FILE, FILE_MAX) {
            Ok(sealed) => sealed,
            Err(error) if error.code() == ErrorCode::NotInitialised => return Ok(None),
            Err(error) => return Err(error),
        };
        let plain = seal::open(&self.key, &self.aad(), &sealed, FILE)?;
        let mark: Mark = serde_json::from_slice(&plain)
            .map_err(|_| PersistenceError::corrupt(format!("{FILE}: not one of this program")))?;
        if mark.v != VERSION {
            let context = format!("{FILE}: version {}", mark.v);
            return Err(PersistenceError::newer(&context, i64::from(mark.v), i64::from(VERSION)));
        }
        Ok(Some(mark))
    }

    /// Writes it durably in place of the last one.
    ///
    /// # Errors
    /// `storage_unavailable` for one that would be too long to be read: the last one stays.
    pub(crate) fn write(&self, mark: &Mark, rng: &mut dyn CryptoRng) -> Result<()> {
        let plain = serde_json::to_vec(mark).map_err(|error| {
            let context = "the high-water mark cannot be written as JSON";
            PersistenceError::caused_by(ErrorCode::Internal, context, error)
        })?;
        let sealed = seal::seal(&self.key, &self.aad(), &plain, rng)?;
        if sealed.len() > FILE_MAX {
            // The older one still says something; nobody could read this one.
            let context = format!("{FILE}: {} bytes would be more than {FILE_MAX}", sealed.len());
            return Err(PersistenceError::new(ErrorCode::StorageUnavailable, context));
        }
        self.dir.replace_file(FILE, &sealed)
    }

    fn aad(&self) -> Vec<u8> {
        [FILE.as_bytes(), b"|", self.station.as_str().as_bytes()].concat()
    }
}

impl Mark {
    /// The mark of a database right after `checkpoint` was stored in it.
    pub(crate) async fn at(connection: &mut Connection<'_>, checkpoint: String) -> Result<Self> {
        let crl_number = crl_number(connection).await?;
        Ok(Self { v: VERSION, checkpoint, crl_number })
    }

    /// Where each lane ended.
    pub(crate) fn heads(&self) -> Result<Vec<Head>> {
        stated_heads(&self.checkpoint)
    }

    /// In what the database is behind this mark, if it is.
    pub(crate) async fn ahead_of(&self, connection: &mut Connection<'_>) -> Result<Option<Behind>> {
        for Head { lane, seq: once, hash } in self.heads()? {
            let found = hash_at(connection, &lane, once).await?;
            if found != Some(hash) {
                return Ok(Some(Behind::Lane { lane, once, is_other: found.is_some() }));
            }
        }
        let now = crl_number(connection).await?;
        let behind = now < self.crl_number;
        Ok(behind.then_some(Behind::Crl { once: self.crl_number, now }))
    }
}

/// The highest number of a revocation list that a database has given out.
pub(crate) async fn crl_number(connection: &mut Connection<'_>) -> Result<u64> {
    let number: Option<i64> = query(CRL_NUMBER)
        .fetch_value(connection)
        .await
        .map_err(|error| PersistenceError::database("crls", error))?;
    u64::try_from(number.unwrap_or(0)).map_err(|_| PersistenceError::corrupt("crls.number"))
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lane { lane, once, is_other: true } => {
                write!(f, "row {once} of the log {lane} is not the one that was there")
            }
            Self::Lane { lane, once, is_other: false } => {
                write!(f, "the log {lane} once had {once} rows and has fewer")
            }
            Self::Crl { once, now } => {
                write!(f, "revocation list {once} was published, and {now} is the newest here")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn what_could_not_be_read_again_is_not_written() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Arc::new(PrivateDir::create(&temp.path().join("station")).unwrap());
        let root = RootSecret::from_secret(Secret32::from_bytes([7; 32]));
        let file = HighWater::new(dir, &root, &StationId::parse("cs-1").unwrap());
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mark = |long: usize| Mark { v: VERSION, checkpoint: "c".repeat(long), crl_number: 1 };
        let empty = serde_json::to_vec(&mark(0)).unwrap();
        let sealed = seal::seal(&file.key, &file.aad(), &empty, &mut rng).unwrap();
        let longest = FILE_MAX - sealed.len();
        file.write(&mark(longest), &mut rng).unwrap();
        let refused = file.write(&mark(longest + 1), &mut rng).unwrap_err();
        assert_eq!(refused.code(), ErrorCode::StorageUnavailable);
        assert_eq!(file.read().unwrap(), Some(mark(longest)), "the last one stays");
    }
}
