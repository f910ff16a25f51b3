//! What is left of the station that a restored one takes the place of.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zmon_crypto::RootSecret;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::StationId;

use super::signer::AuditSigner;
use super::station::{LaneEnd, StationUpkeep};
use crate::error::{PersistenceError, Result};
use crate::fs::PrivateDir;
use crate::high_water::{HighWater, Mark};

/// Name of the copy.
const COPY: &str = ".old.db";

/// The record of the station before it was lost, as far as its old directory still has it: the database, or
/// only the high-water mark beside one that cannot be read.
pub struct OldRecord {
    /// A copy of the database, removed when this is dropped.
    pub(super) database: Option<OldDatabase>,
    pub(super) mark: Option<Mark>,
}

/// A copy of the old database in the directory that is being restored.
pub(super) struct OldDatabase {
    dir: Arc<PrivateDir>,
    pub(super) path: PathBuf,
    pub(super) ends: Vec<LaneEnd>,
}

impl OldRecord {
    /// Reads what an old directory has. `since` are the ends of the backup's log: the old log must go on from
    /// them.
    ///
    /// # Errors
    /// `StateConflict` for another station's directory, or a log that the backup is no part of;
    /// `NotInitialised` for a directory with neither; otherwise of the directory, and of the copy.
    pub async fn open(
        old: &Path,
        into: &PrivateDir,
        station: &StationId,
        since: &[LaneEnd],
        root: &RootSecret,
        signer: AuditSigner,
    ) -> Result<Self> {
        let dir = Arc::new(PrivateDir::open_shared(old)?);
        let mark = HighWater::new(Arc::clone(&dir), root, station).read()?;
        let database = match StationUpkeep::beside(old, root, signer).await {
            Ok(record) => Some(copied(&record, into, station, since).await?),
            // Why it was lost: what it says no longer counts, the mark beside it does.
            Err(error) if is_lost(error.code()) && mark.is_some() => {
                tracing::warn!(%error, "the old database");
                None
            }
            Err(error) => return Err(error),
        };
        Ok(Self { database, mark })
    }

    /// Whether there is a database, so that what happened in it is known.
    #[must_use]
    pub fn has_database(&self) -> bool {
        self.database.is_some()
    }

    /// How many rows the log had of which `ends` is all that is left; a lower bound where only the mark is known.
    ///
    /// # Errors
    /// For a mark that cannot be read.
    pub fn rows_after(&self, ends: &[LaneEnd]) -> Result<u64> {
        let lost = |lane: &str, rows: u64| {
            let kept = ends.iter().find(|end| end.lane == lane).map_or(0, |end| end.rows);
            rows.saturating_sub(kept)
        };
        if let Some(database) = &self.database {
            return Ok(database.ends.iter().map(|end| lost(&end.lane, end.rows)).sum());
        }
        let heads = self.mark.as_ref().map_or(Ok(Vec::new()), Mark::heads)?;
        Ok(heads.iter().map(|head| lost(&head.lane, head.seq)).sum())
    }
}

async fn copied(
    record: &StationUpkeep,
    into: &PrivateDir,
    station: &StationId,
    since: &[LaneEnd],
) -> Result<OldDatabase> {
    let other = |context: String| PersistenceError::new(ErrorCode::StateConflict, context);
    if record.station() != station {
        return Err(other(format!("it is the directory of station {}", record.station())));
    }
    for end in since {
        if !record.has(end).await? {
            let LaneEnd { lane, rows, .. } = end;
            return Err(other(format!(
                "its log {lane} does not go on from row {rows} of the backup"
            )));
        }
    }
    let ends = record.ends().await?;
    let dir = Arc::new(PrivateDir::open_shared(into.path())?);
    let copy = OldDatabase { path: dir.path().join(COPY), dir, ends };
    record.copy(into, COPY).await?;
    Ok(copy)
}

fn is_lost(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::StorageCorrupt | ErrorCode::StorageUnavailable | ErrorCode::NotInitialised
    )
}

impl Drop for OldDatabase {
    fn drop(&mut self) {
        if let Err(error) = self.dir.destroy_file(COPY) {
            tracing::warn!(%error, "the copy of the old database is left");
        }
    }
}
