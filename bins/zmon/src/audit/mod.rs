//! `zmon audit …`: logs of a device or a station, read from its directory, running or not.

mod csv;
mod dicom;
mod export;
mod facts;
#[cfg(test)]
mod samples;
mod syslog;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use zmon_cli::{Failure, Streams, failure::FailureDocument};
use zmon_crypto::{IdentityKey, SecretBytes, SoftIdentity};
use zmon_domain::{
    error::{ErrorCode, Side},
    hex,
};
use zmon_persistence::{
    AuditLog, DEVICE_DATABASE, FileKeyStore, PersistenceError, PostgresUrl, PrivateDir, Protection,
    STATION_DATABASE, Verification, read_file,
};
use zmon_provisioning::ports::KeyStore;
use zmon_wire::kind::True;

use crate::args::Audit;

/// Where a station keeps the key that signs its checkpoints.
const STATION_AUDIT_KEY: &str = "keys/audit.key";
/// Longest key file, in bytes.
const KEY_MAX: usize = 16_384;
/// Longest line of a file with held checkpoints, in bytes: twice the longest message.
const LINE_MAX: u64 = 131_072;

/// What `audit verify` found, for programs; of a damaged log with the members of a failure.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    success: Option<True>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    failure: Option<FailureDocument<'a>>,
    rows: u64,
    checkpoints: usize,
    lanes: Vec<Lane>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Lane {
    lane: String,
    rows: u64,
    head: String,
    /// The last row that a checkpoint speaks for.
    attested_row: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    damaged_row: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'static str>,
}

/// Carries out a command about an audit log.
///
/// # Errors
/// `not_initialised` without a log, `storage_corrupt` for a damaged one.
pub(crate) async fn run(command: Audit, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let (Audit::Verify { dir, database, .. } | Audit::Export { dir, database, .. }) = &command;
    let database = database.as_ref().map(|url| PostgresUrl::parse(url.expose())).transpose();
    let database = database.map_err(|error| error.at("--database"))?;
    let place = Place { dir, database };
    let side = place.side();
    carry_out(&command, &place, streams).await.map_err(|failure| failure.on(side))
}

/// Where a log is: in a directory, or in a database of PostgreSQL beside a station's keys.
struct Place<'a> {
    dir: &'a Path,
    database: Option<PostgresUrl>,
}

impl Place<'_> {
    /// Whose log it is.
    fn side(&self) -> Side {
        let is_station = self.database.is_some() || self.dir.join(STATION_DATABASE).exists();
        if is_station { Side::Station } else { Side::Device }
    }
}

async fn carry_out(
    command: &Audit,
    place: &Place<'_>,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    match command {
        Audit::Verify { held, .. } => {
            let held = held.as_deref().map_or(Ok(Vec::new()), checkpoints)?;
            let found = open(place).await?.verify_against(&held).await.map_err(stored)?;
            let damaged = found.damage().map(|(lane, damage)| {
                let row = damage.sequence;
                Failure::new(ErrorCode::StorageCorrupt)
                    .context(format!("audit log {lane}, row {row}: {}", damage.rule))
                    .on(place.side())
            });
            show(&found, damaged.as_ref(), streams)?;
            match damaged {
                None => Ok(()),
                Some(failure) if streams.is_json() => Err(failure.shown()),
                Some(failure) => Err(failure),
            }
        }
        Audit::Export { output, format, .. } => {
            export::run(&open(place).await?, *format, output.as_deref(), streams).await
        }
    }
}

/// Checks every hash, number, column and checkpoint of the log in `dir`.
///
/// # Errors
/// When there is no log or it cannot be read; damage is a finding.
pub(crate) async fn verify(dir: &Path) -> Result<Verification, Failure> {
    open(&Place { dir, database: None }).await?.verify().await.map_err(stored)
}

/// A line of an export, as far as it matters here.
#[derive(Deserialize)]
struct Line {
    checkpoint: Option<String>,
}

/// The checkpoints in the file of `--held`: of an earlier export, or one a line.
fn checkpoints(path: &Path) -> Result<Vec<String>, Failure> {
    let wrong = |rule| Failure::usage("--held", rule).context(path.display().to_string());
    let unreadable = |error: io::Error| {
        Failure::usage("--held", "must be a readable text file")
            .context(format!("{}: {error}", path.display()))
    };
    let mut lines = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut found = Vec::new();
    let mut line = String::new();
    while lines.by_ref().take(LINE_MAX).read_line(&mut line).map_err(unreadable)? > 0 {
        let text = line.trim();
        if text.starts_with('{') {
            let line: Line = serde_json::from_str(text)
                .map_err(|_| wrong("must be an export of an audit log, or checkpoints"))?;
            found.extend(line.checkpoint);
        } else if !text.is_empty() {
            found.push(text.to_owned());
        }
        line.clear();
    }
    if found.is_empty() { Err(wrong("must hold at least one checkpoint")) } else { Ok(found) }
}

/// Opens the log in `dir`, or in a station's `database`, with the key that signs it where that is there.
///
/// # Errors
/// When there is no log or it cannot be read.
pub(crate) async fn open_log(
    dir: &Path,
    database: Option<PostgresUrl>,
) -> Result<AuditLog, Failure> {
    open(&Place { dir, database }).await
}

async fn open(place: &Place<'_>) -> Result<AuditLog, Failure> {
    let Place { dir, database } = place;
    if let Some(url) = database {
        let log = AuditLog::connect_station(url).await.map_err(stored)?;
        return by_station(log, dir);
    }
    if dir.join(DEVICE_DATABASE).exists() {
        let log = AuditLog::open_device(dir).await.map_err(stored)?;
        // Without the key (a copied database) the chain is checked, and no signature.
        let private = PrivateDir::open_shared(dir).map_err(stored)?;
        return Ok(match FileKeyStore::open(Arc::new(private)) {
            Ok(keys) => log.signed_by(keys.identity().public().clone()),
            Err(error) if error.code() == ErrorCode::NotInitialised => log,
            Err(error) => return Err(stored(error)),
        });
    }
    if dir.join(STATION_DATABASE).exists() {
        return by_station(AuditLog::open_station(dir).await.map_err(stored)?, dir);
    }
    Err(Failure::new(ErrorCode::NotInitialised)
        .context(format!("{} holds no device.db and no station.db", dir.display()))
        .next("Name the directory of a device or of a station, or a station's --database."))
}

/// The log of a station whose keys, if they are there, lie in `dir`.
fn by_station(log: AuditLog, dir: &Path) -> Result<AuditLog, Failure> {
    let key = dir.join(STATION_AUDIT_KEY);
    if !key.exists() {
        return Ok(log);
    }
    let pkcs8 =
        SecretBytes::copy_from(&read_file(&key, KEY_MAX, Protection::Private).map_err(stored)?);
    let signer = SoftIdentity::from_pkcs8(pkcs8.expose()).map_err(|error| {
        Failure::new(error.code()).context(format!("{}: {error}", key.display()))
    })?;
    Ok(log.signed_by(signer.public().clone()))
}

fn show(
    found: &Verification,
    damaged: Option<&Failure>,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let lanes = found.lanes.iter().map(|lane| Lane {
        lane: lane.lane.clone(),
        rows: lane.rows,
        head: hex::encode(&lane.head),
        attested_row: lane.attested,
        damaged_row: lane.damage.as_ref().map(|damage| damage.sequence),
        rule: lane.damage.as_ref().map(|damage| damage.rule),
    });
    let report = Report {
        success: damaged.is_none().then_some(True),
        failure: damaged.map(Failure::to_document),
        rows: found.rows(),
        checkpoints: found.checkpoints,
        lanes: lanes.collect(),
    };
    if streams.is_json() {
        return Ok(streams.json(&report)?);
    }
    for lane in &report.lanes {
        let word = if lane.damaged_row.is_none() { "intact" } else { "DAMAGED" };
        streams.say(&format!("{}: {word}, {} rows", lane.lane, lane.rows))?;
        streams.say(&format!("  head {}", lane.head))?;
        if lane.damaged_row.is_none() && lane.attested_row < lane.rows {
            let row = lane.attested_row;
            streams.say(&format!("  no checkpoint speaks for what came after row {row}"))?;
        }
    }
    Ok(streams.say(&format!("checkpoints: {}", report.checkpoints))?)
}

/// A failed database or key file, with its path.
#[expect(clippy::needless_pass_by_value, reason = "used as `map_err(stored)`")]
fn stored(error: PersistenceError) -> Failure {
    Failure::new(error.code()).context(error.describe())
}
