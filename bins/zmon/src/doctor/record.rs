//! The database: its tables, its log, and whether it was set back.

use zmon_cli::Failure;
use zmon_domain::error::Side;
use zmon_persistence::{
    AuditExport, AuditLog, DEVICE_DATABASE, ExportedRow, PersistenceError, STATION_DATABASE,
    StationUpkeep, TablesState, tables_state,
};

use super::{
    finding::{Finding, Level},
    place::Place,
};
use crate::{audit, upkeep::Keys};

const TABLES: &str = "tables";
const LOG: &str = "audit log";
const HIGH_WATER: &str = "high water";

/// Everything about the record; and the time of the newest row of its log, in milliseconds.
pub(super) async fn look(place: &Place) -> (Vec<Finding>, Option<i64>) {
    let mut found = Vec::new();
    let mut is_older = false;
    if place.database().is_none() {
        let tables = tables(place).await;
        is_older = tables.level == Level::Warning;
        found.push(tables);
    }
    let newest = match open(place).await {
        Ok(log) => {
            found.push(verified(&log).await);
            newest(&log).await
        }
        Err(failure) => {
            found.push(Finding::failed(LOG, &failure));
            None
        }
    };
    if place.side == Side::Station && place.database().is_none() {
        found.push(if is_older {
            Finding::note(HIGH_WATER, "the tables are those of an older program")
        } else {
            high_water(place).await
        });
    }
    (found, newest)
}

/// The log, with the key that signs its checkpoints where that is there.
pub(crate) async fn open(place: &Place) -> Result<AuditLog, Failure> {
    let database = place.database().transpose()?;
    audit::open_log(&place.dir, database).await
}

async fn tables(place: &Place) -> Finding {
    let name = if place.side == Side::Station { STATION_DATABASE } else { DEVICE_DATABASE };
    match tables_state(&place.dir, name).await {
        Ok(state) => standing(&state, place.program()),
        Err(error) => Finding::failed(TABLES, &stored(error)),
    }
}

fn standing(state: &TablesState, program: &str) -> Finding {
    let TablesState { found, known } = *state;
    if found < known {
        let seen =
            format!("version {found}; {program} brings them to version {known} when it starts");
        return Finding::warning(TABLES, seen, "Make a backup, then start the new program once.");
    }
    Finding::ok(TABLES, format!("version {found}, the newest"))
}

async fn verified(log: &AuditLog) -> Finding {
    match log.verify().await {
        Ok(found) => match found.damage() {
            None => {
                let lanes: Vec<_> = found.lanes.iter().map(|lane| lane.lane.as_str()).collect();
                Finding::ok(LOG, format!("{} rows verify: {}", found.rows(), lanes.join(", ")))
            }
            Some((lane, damage)) => Finding::problem(
                LOG,
                format!("{lane}, row {}: {}", damage.sequence, damage.rule),
                "Keep a copy of the directory for analysis, and call whoever looks into incidents.",
            ),
        },
        Err(error) => Finding::failed(LOG, &stored(error)),
    }
}

async fn high_water(place: &Place) -> Finding {
    let keys = match Keys::load(&place.dir) {
        Ok(keys) => keys,
        Err(failure) => return Finding::failed(HIGH_WATER, &failure),
    };
    let station = StationUpkeep::beside(&place.dir, &keys.root, keys.signer.clone()).await;
    let behind = match station {
        Ok(station) => station.behind().await,
        Err(error) => Err(error),
    };
    match behind {
        Ok(None) => Finding::ok(HIGH_WATER, "the database has all that the station had written"),
        Ok(Some(behind)) => Finding::problem(
            HIGH_WATER,
            format!("the database was set back: {behind}"),
            format!(
                "Put the newer database back, or restore a backup; if it is lost: zmon station accept {}",
                place.dir.display()
            ),
        ),
        Err(error) => Finding::failed(HIGH_WATER, &stored(error)),
    }
}

/// The time of the last row that has one.
async fn newest(log: &AuditLog) -> Option<i64> {
    let mut last = Last(None);
    log.export(&mut last).await.ok()?;
    last.0
}

struct Last(Option<i64>);

impl AuditExport for Last {
    fn row(&mut self, row: &ExportedRow<'_>) -> Result<(), PersistenceError> {
        let time = row.parse()?.timestamp;
        self.0 = self.0.max(time);
        Ok(())
    }

    fn checkpoint(&mut self, _jws: &str) -> Result<(), PersistenceError> {
        Ok(())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used as `map_err(stored)`")]
fn stored(error: PersistenceError) -> Failure {
    Failure::new(error.code()).context(error.describe())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_tables_are_told_before_they_are_brought_up_to_date() {
        let of = |found| standing(&TablesState { found, known: 14 }, "mock-central-station");
        assert_eq!(of(14).level, Level::Ok);
        let older = of(13);
        assert_eq!(older.level, Level::Warning);
        assert!(
            older.seen.contains("version 13") && older.seen.contains("version 14"),
            "{older:?}"
        );
    }
}
