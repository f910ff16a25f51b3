//! `zmon station backup`: one sealed file, made while the station runs.

use std::{fs::File, io::BufWriter, path::Path};

use serde::Serialize;
use toml::Table;
use zmon_cli::{Failure, Streams, files};
use zmon_domain::{audit::EventType, error::ErrorCode};
use zmon_persistence::{
    AuditLog, PrivateDir, Protection, STATION_DATABASE, SealedWriter, StationUpkeep, read_file,
};
use zmon_wire::kind::True;

use super::{
    archive::{self, Kept},
    keys::Keys,
    manifest::{End, Entry, Manifest, VERSION},
    passphrase, row, stored,
};
use crate::{
    args::upkeep::Passphrase,
    clock,
    draft::{Draft, private_dir},
    entropy::generator,
};

/// The settings of a station, as far as they matter here.
const SETTINGS: &str = "station.toml";
/// Longest settings file, in bytes.
const SETTINGS_MAX: usize = 65_536;
/// What was backed up, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    success: True,
    station_id: &'a str,
    output: &'a Path,
    /// Files besides the database.
    files: usize,
    /// Rows of the audit log.
    rows: u64,
    database_bytes: u64,
}

/// Writes the backup of the station in `dir` to a new file.
///
/// # Errors
/// A usage failure for a file that exists or a short passphrase; `audit_unavailable` when the row cannot be
/// written; `state_conflict` for a database of PostgreSQL.
pub(super) async fn run(
    dir: &Path,
    output: &Path,
    from: &Passphrase,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    must_be_sqlite(dir)?;
    let draft = Draft::begin("--output", output)?;
    let passphrase = passphrase(from, true)?;
    let keys = Keys::load(dir)?;
    let kept = archive::collect(dir)?;
    let station = StationUpkeep::beside(dir, &keys.root, keys.signer.clone()).await;
    let station = station.map_err(stored)?;
    if let Some(behind) = station.behind().await.map_err(stored)? {
        return Err(Failure::new(ErrorCode::StationSetBack).context(behind));
    }
    let event = || row(EventType::StationBackedUp).with("output", output.display());
    // The row is in the backup, too, and a checkpoint speaks for both.
    station.append(&clock::now(), event()).await.map_err(stored)?;
    station.checkpoint(&clock::now()).await.map_err(stored)?;
    let (manifest, database_bytes) =
        match write(dir, draft, &passphrase, &keys, &station, &kept).await {
            Ok(written) => written,
            Err(failure) => {
                let mut failed = event();
                (failed.success, failed.error) = (false, Some(failure.code()));
                station.append(&clock::now(), failed).await.map_err(stored)?;
                return Err(failure);
            }
        };
    let report = Report {
        success: True,
        station_id: &manifest.station_id,
        output,
        files: kept.len(),
        rows: manifest.lane_ends()?.iter().map(|end| end.rows).sum(),
        database_bytes,
    };
    station.close().await.map_err(stored)?;
    show(&report, streams)
}

async fn write(
    dir: &Path,
    mut draft: Draft,
    passphrase: &str,
    keys: &Keys,
    station: &StationUpkeep,
    kept: &[Kept],
) -> Result<(Manifest, u64), Failure> {
    // Beside the database: where that has room, and nobody else may look.
    let folder =
        private_dir(".backup-", dir).map_err(|error| files::cannot("create", dir, &error))?;
    let copies = PrivateDir::open(folder.path()).map_err(stored)?;
    station.copy(&copies, STATION_DATABASE).await.map_err(stored)?;
    let path = folder.path().join(STATION_DATABASE);
    let mut database = File::open(&path).map_err(|error| files::cannot("read", &path, &error))?;
    let bytes = database.metadata().map_err(|error| files::cannot("read", &path, &error))?.len();
    let ends = ends_of_copy(folder.path(), keys).await?;
    let mut files: Vec<_> = kept.iter().map(|kept| kept.entry.clone()).collect();
    files.push(Entry { name: STATION_DATABASE.to_owned(), mode: 0o600, bytes });
    let manifest = Manifest {
        v: VERSION,
        station_id: station.station().to_string(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        made_at: clock::now().millis,
        ends,
        files,
    };
    let mut sealed = SealedWriter::new(BufWriter::new(&mut draft), passphrase, &mut *generator())
        .map_err(stored)?;
    archive::write(&mut sealed, &manifest, kept, &mut database)
        .map_err(|error| files::cannot("write", Path::new("the backup"), &error))?;
    drop(sealed.finish().map_err(stored)?);
    draft.keep()?;
    Ok((manifest, bytes))
}

/// Verifies the log in the copy and says where its lanes end: rows may have come since the last checkpoint.
async fn ends_of_copy(folder: &Path, keys: &Keys) -> Result<Vec<End>, Failure> {
    let log = AuditLog::open_station(folder).await.map_err(stored)?.signed_by(keys.public());
    let found = log.verify().await.map_err(stored)?;
    if let Some((lane, damage)) = found.damage() {
        let row = damage.sequence;
        return Err(Failure::new(ErrorCode::StorageCorrupt)
            .context(format!("audit log {lane}, row {row}: {}", damage.rule)));
    }
    Ok(found.lanes.iter().map(End::from).collect())
}

/// PostgreSQL has tools of its own, which see one moment of it; a copy by this program would be a worse one.
pub(super) fn must_be_sqlite(dir: &Path) -> Result<(), Failure> {
    let path = dir.join(SETTINGS);
    let settings = read_file(&path, SETTINGS_MAX, Protection::Private).map_err(stored)?;
    let settings = core::str::from_utf8(&settings).ok().and_then(|text| text.parse::<Table>().ok());
    let settings = settings.ok_or_else(|| {
        Failure::usage("station.toml", "must be TOML").context(path.display().to_string())
    })?;
    if settings.contains_key("database") {
        return Err(Failure::new(ErrorCode::StateConflict)
            .context(format!("{} keeps its memory in PostgreSQL", dir.display()))
            .next(
                "Back the database up with pg_dump, and copy the directory with its keys: see Backup in \
                 docs/guide-operations.md.",
            ));
    }
    Ok(())
}

fn show(report: &Report<'_>, streams: &mut Streams<'_>) -> Result<(), Failure> {
    if streams.is_json() {
        return Ok(streams.json(report)?);
    }
    let Report { station_id, output, files, rows, database_bytes, .. } = report;
    streams.say(&format!("Station {station_id} is backed up in {}", output.display()))?;
    streams
        .say(&format!("  database      {database_bytes} bytes, {rows} rows of the audit log"))?;
    streams.say(&format!("  files         {files}, with every key of the directory"))?;
    streams.say("Keep it apart from its passphrase. Try it now and then:")?;
    Ok(streams.say(&format!("  zmon station restore {} NEW_DIR", output.display()))?)
}
