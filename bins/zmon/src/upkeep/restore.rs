//! `zmon station restore`: a station's directory from a backup, whole or not at all.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::Serialize;
use tempfile::TempDir;
use zmon_cli::{Failure, Streams, files::cannot};
use zmon_domain::{audit::EventType, error::ErrorCode, hex, ids::StationId};
use zmon_persistence::{LaneEnd, OldRecord, PrivateDir, SealedReader, SetBack, StationUpkeep};
use zmon_wire::kind::True;

use super::{archive, keys::Keys, manifest::Manifest, passphrase, row, stored};
use crate::{
    args::upkeep::Passphrase,
    clock,
    draft::{folder, private_dir},
};

/// How the directory is called while it is being made.
const DRAFT: &str = ".restore-";

/// What was restored, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report<'a> {
    success: True,
    station_id: &'a str,
    directory: &'a Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    backup_made_at: Option<i64>,
    sessions_ended: u64,
    logins_ended: u64,
    credentials_ended: u64,
    certificates_aborted: u64,
    certificates_revoked: u64,
    certificates_accepted: u64,
    rows_lost: u64,
    /// Whether the old database told what had happened since.
    old_record_read: bool,
    crl_number_above: u64,
    config_version_above: u64,
    lane: &'a str,
}

/// Makes `dir` from the backup in `file`.
///
/// # Errors
/// `state_conflict` for a directory that exists, an old one of another station or one that runs, and a clock that is
/// behind; `authentication_failed` for a wrong passphrase; `storage_corrupt` for a damaged backup. Nothing is left
/// then.
pub(super) async fn run(
    file: &Path,
    dir: &Path,
    old: Option<&Path>,
    from: &Passphrase,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    if dir.symlink_metadata().is_ok() {
        return Err(exists(dir));
    }
    let opened = File::open(file).map_err(|error| {
        Failure::usage("BACKUP", "must be a readable file")
            .context(format!("{}: {error}", file.display()))
    })?;
    // It must not go on while another takes its place.
    let _stopped = old.map(PrivateDir::open).transpose().map_err(|error| {
        let failure = stored(error);
        if failure.code() == ErrorCode::StateConflict {
            return failure.next("Stop the old station first: two of one name must not run.");
        }
        failure
    })?;
    let passphrase = passphrase(from, false)?;
    let mut sealed = SealedReader::new(BufReader::new(opened), &passphrase).map_err(stored)?;
    for left in interrupted(dir) {
        streams.note(&format!(
            "{} is of an interrupted restore and has keys: remove it",
            left.display()
        ))?;
    }
    let draft = draft(dir)?;
    let manifest = archive::unpack(&mut sealed, draft.path())?;
    let done = settle(draft.path(), &manifest, old).await?;
    publish(draft, dir)?;
    let report = Report::new(&manifest.station_id, dir, manifest.made_at, &done);
    show(&report, "restored", streams)
}

/// Ends what the backup still has running, and says so in its log.
async fn settle(dir: &Path, manifest: &Manifest, old: Option<&Path>) -> Result<SetBack, Failure> {
    let keys = Keys::load(dir)?;
    let station = StationUpkeep::alone(dir, &keys.root, keys.signer.clone()).await;
    let station = station.map_err(stored)?;
    let ends = verify(&station, manifest).await?;
    let id = StationId::parse(&manifest.station_id)?;
    let old = match old {
        Some(old) => {
            let into = PrivateDir::open_shared(dir).map_err(stored)?;
            let (root, signer) = (&keys.root, keys.signer.clone());
            let record = OldRecord::open(old, &into, &id, &ends, root, signer).await;
            Some(record.map_err(|error| of_old(stored(error), old))?)
        }
        None => None,
    };
    let mut event = row(EventType::StationRestored);
    if let Some(made) = manifest.made_at {
        event = event.with("backupMadeAt", made);
    }
    for LaneEnd { lane, rows, hash } in &ends {
        event = event.with("backupEnds", format!("{lane} {rows} {}", hex::encode(hash)));
    }
    let now = clock::now();
    let (station, done) = station.set_back(&now, event, old.as_ref()).await.map_err(stored)?;
    drop(old);
    station.close().await.map_err(stored)?;
    Ok(done)
}

/// The log is the one that was backed up, and whole.
async fn verify(station: &StationUpkeep, manifest: &Manifest) -> Result<Vec<LaneEnd>, Failure> {
    let damaged = |rule: String| {
        Failure::new(ErrorCode::StorageCorrupt)
            .context(format!("the backup's {rule}"))
            .next("Take another copy of the backup, or an older one.")
    };
    if station.station().as_str() != manifest.station_id {
        return Err(damaged(format!("database is that of station {}", station.station())));
    }
    let found = station.audit_log().verify().await.map_err(stored)?;
    if let Some((lane, damage)) = found.damage() {
        return Err(damaged(format!("audit log {lane}, row {}: {}", damage.sequence, damage.rule)));
    }
    let ends = station.ends().await.map_err(stored)?;
    let mut stated = manifest.lane_ends()?;
    stated.sort_by(|one, other| one.lane.cmp(&other.lane));
    if ends != stated {
        return Err(damaged("audit log does not end where the manifest says".to_owned()));
    }
    Ok(ends)
}

/// What restores that were killed have left beside the directory.
fn interrupted(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder(dir)) else { return Vec::new() };
    let is_draft = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(DRAFT))
    };
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_draft).collect()
}

/// An empty directory (0700) beside the one that is to be, and gone again unless it is published.
fn draft(dir: &Path) -> Result<TempDir, Failure> {
    let folder = folder(dir);
    private_dir(DRAFT, folder).map_err(|error| {
        Failure::usage("DIR", "must be in a folder that exists and can be written to")
            .context(format!("{}: {error}", folder.display()))
    })
}

/// Gives the finished directory its name, durably; one that came meanwhile is not replaced.
fn publish(draft: TempDir, dir: &Path) -> Result<(), Failure> {
    let renamed = renameat_with(CWD, draft.path(), CWD, dir, RenameFlags::NOREPLACE);
    renamed.map_err(|errno| match errno {
        rustix::io::Errno::EXIST => exists(dir),
        errno => cannot("create", dir, &errno.into()),
    })?;
    // It has another name now, and nothing is to be removed.
    let _moved = draft.keep();
    let folder = folder(dir);
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| cannot("write", folder, &error))
}

fn exists(dir: &Path) -> Failure {
    Failure::new(ErrorCode::StateConflict)
        .context(format!("{} exists", dir.display()))
        .next("Name a directory that does not exist yet; a restore replaces none.")
}

/// A failure that is about the old directory.
fn of_old(failure: Failure, old: &Path) -> Failure {
    let cause = failure.cause().unwrap_or_default().to_owned();
    failure.context(format!("--old {}: {cause}", old.display())).next(
        "Name the directory of the same station, or leave --old out: then what was issued or revoked after \
         the backup is not known.",
    )
}

impl<'a> Report<'a> {
    pub(super) fn new(
        station_id: &'a str,
        directory: &'a Path,
        backup_made_at: Option<i64>,
        done: &'a SetBack,
    ) -> Self {
        Self {
            success: True,
            station_id,
            directory,
            backup_made_at,
            sessions_ended: done.sessions,
            logins_ended: done.logins,
            credentials_ended: done.credentials,
            certificates_aborted: done.aborted,
            certificates_revoked: done.revoked,
            certificates_accepted: done.accepted,
            rows_lost: done.lost_rows,
            old_record_read: done.is_complete,
            crl_number_above: done.crl_floor,
            config_version_above: done.config_floor,
            lane: &done.lane,
        }
    }
}

pub(super) fn show(
    report: &Report<'_>,
    done: &str,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    if streams.is_json() {
        return Ok(streams.json(report)?);
    }
    let Report { station_id, directory, .. } = report;
    streams.say(&format!("Station {station_id} is {done} in {}", directory.display()))?;
    for (name, count) in [
        ("sessions ended", report.sessions_ended),
        ("logins ended", report.logins_ended),
        ("credentials ended", report.credentials_ended),
        ("certificates aborted", report.certificates_aborted),
        ("certificates revoked", report.certificates_revoked),
        ("certificates accepted", report.certificates_accepted),
        ("rows known as lost", report.rows_lost),
    ] {
        streams.say(&format!("  {name:<22} {count}"))?;
    }
    streams.say(&format!("The audit log goes on as {}", report.lane))?;
    if !report.old_record_read {
        streams
            .say("What happened since is not known. Revoke again what was revoked meanwhile:")?;
        streams.say("  zmon certificate list --state current")?;
        streams.say("Monitors that were paired meanwhile have to be paired again.")?;
    }
    streams.say("Next: start it. Monitors report once that its log was set back.")?;
    Ok(streams.say(&format!("  mock-central-station run {}", directory.display()))?)
}
