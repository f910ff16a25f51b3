//! `zmon station accept`: a station goes on with a database that was set back.

use std::path::Path;

use zmon_cli::{Failure, Streams};
use zmon_domain::{audit::EventType, error::ErrorCode, ids::StationId};
use zmon_persistence::{PostgresUrl, StationUpkeep};
use zmon_wire::secret::SecretText;

use super::{
    keys::Keys,
    restore::{Report, show},
    row, stored,
};
use crate::clock;

/// Ends what the old database still has running, and lets the next start serve from it.
///
/// # Errors
/// `state_conflict` for a station that runs, or whose database was not set back; a usage failure for the wrong
/// identifier.
pub(super) async fn run(
    dir: &Path,
    confirm: &StationId,
    is_restored: bool,
    database: Option<&SecretText>,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let url = database.map(|url| PostgresUrl::parse(url.expose())).transpose();
    let url = url.map_err(|error| error.at("--database"))?;
    let keys = Keys::load(dir)?;
    let (root, signer) = (&keys.root, keys.signer.clone());
    let station = match &url {
        Some(url) => StationUpkeep::connect(dir, url, root, signer).await,
        None => StationUpkeep::alone(dir, root, signer).await,
    };
    let station = station.map_err(stored)?;
    if station.station() != confirm {
        return Err(Failure::usage("--confirm", "must be the identifier of this station"));
    }
    let behind = match station.behind().await.map_err(stored)? {
        Some(behind) => behind,
        None if is_restored => "restored by hand".to_owned(),
        None => {
            return Err(Failure::new(ErrorCode::StateConflict)
                .context("the database is not older than what the station had written")
                .next(
                    "There is nothing to accept: start the station. A database that was restored all the same: \
                     --restored.",
                ));
        }
    };
    let event = row(EventType::SetBackAccepted).with("behind", behind);
    let (station, done) = station.set_back(&clock::now(), event, None).await.map_err(stored)?;
    station.close().await.map_err(stored)?;
    show(&Report::new(confirm.as_str(), dir, None, &done), "let go on", streams)
}
