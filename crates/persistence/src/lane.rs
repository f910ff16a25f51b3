//! The audit lanes of a station: who writes into which (D16).

#[cfg(feature = "postgres")]
use zmon_domain::ids::InstanceName;
use zmon_domain::ids::StationId;

use crate::error::{PersistenceError, Result};
use crate::sql::{Connection, query};

/// The lanes of stations begin like this.
const LANE: &str = "station:";
/// Between a station and the name of one of its processes.
const PROCESS: char = '/';
/// Before the tag of the last time that the database was set back. No id has this character.
const SET_BACK: char = '~';
/// The process whose lane has no name until the database is set back.
const MAIN: &str = "main";

/// The lane of a station's only process.
pub(crate) fn main(station: &StationId) -> String {
    format!("{LANE}{station}")
}

/// The lane of a process among several.
#[cfg(feature = "postgres")]
pub(crate) fn of(station: &StationId, instance: &InstanceName) -> String {
    match instance.as_str() {
        InstanceName::MAIN => main(station),
        name => format!("{}{PROCESS}{name}", main(station)),
    }
}

/// The lane in which a writer goes on. In a database that was set back it is a new one: the rows that are lost
/// had numbers that others remember, and no other row ever gets them.
pub(crate) async fn present(connection: &mut Connection<'_>, lane: String) -> Result<String> {
    let tag: Option<String> = query("SELECT tag FROM set_backs ORDER BY number DESC LIMIT 1")
        .fetch_value(connection)
        .await
        .map_err(|error| PersistenceError::database("set_backs", error))?;
    Ok(match tag {
        Some(tag) => tagged(&lane, &tag),
        None => lane,
    })
}

/// The lane of a writer after the database was set back under `tag`.
pub(crate) fn tagged(lane: &str, tag: &str) -> String {
    if lane.contains(PROCESS) {
        format!("{lane}{SET_BACK}{tag}")
    } else {
        format!("{lane}{PROCESS}{MAIN}{SET_BACK}{tag}")
    }
}

/// The station that writes into a lane.
///
/// # Errors
/// `StorageCorrupt` for a lane that is no station's.
pub(crate) fn owner(lane: &str) -> Result<StationId> {
    let of = lane.strip_prefix(LANE).map(|of| of.split_once(PROCESS).map_or(of, |(id, _)| id));
    let id = of.and_then(|id| StationId::parse(id).ok());
    id.ok_or_else(|| {
        let context = format!("the audit log begins with {lane}, which is no station's");
        PersistenceError::corrupt(context)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_names_its_station_before_and_after_a_set_back() {
        let station = StationId::parse("cs-1").unwrap();
        let lane = main(&station);
        assert_eq!(lane, "station:cs-1");
        let (first, second) = (tagged(&lane, "00ff"), tagged("station:cs-1/north", "00ff"));
        assert_eq!(first, "station:cs-1/main~00ff");
        assert_eq!(second, "station:cs-1/north~00ff");
        for of in [lane, first, second] {
            assert_eq!(owner(&of).unwrap(), station);
        }
        assert!(owner("device:ZM-001").is_err() && owner("station:~").is_err());
    }
}
