//! `zmon station …`: a station's directory as its owner works on it, on its own machine.

mod accept;
mod archive;
mod backup;
mod keys;
mod manifest;
mod restore;

use zeroize::Zeroizing;
use zmon_cli::{
    Failure, Streams,
    secret::{self, Source},
};
use zmon_domain::{
    audit::{AuditEvent, EventType},
    error::{ErrorCode, Side},
    limits,
    role::Actor,
};
use zmon_persistence::PersistenceError;

use crate::args::upkeep::{Passphrase, StationCommand};

pub(crate) use keys::Keys;

/// The flag that names the file of a passphrase.
const PASSPHRASE_FILE: &str = "--passphrase-file";

/// Carries out a command about a station's directory.
///
/// # Errors
/// What the directory, the backup, the passphrase or the disk say.
pub(crate) async fn run(command: StationCommand, streams: &mut Streams<'_>) -> Result<(), Failure> {
    match command {
        StationCommand::Backup { dir, output, passphrase } => {
            backup::run(&dir, &output, &passphrase, streams).await
        }
        StationCommand::Restore { backup, dir, old, passphrase } => {
            restore::run(&backup, &dir, old.as_deref(), &passphrase, streams).await
        }
        StationCommand::Accept { dir, confirm, restored, database } => {
            accept::run(&dir, &confirm, restored, database.as_ref(), streams).await
        }
    }
    .map_err(|failure| failure.on(Side::Station))
}

/// Asks for a passphrase, or reads it; a new one twice, and not a short one.
fn passphrase(from: &Passphrase, is_new: bool) -> Result<Zeroizing<String>, Failure> {
    let source = Source::choose(PASSPHRASE_FILE, from.passphrase_file.as_deref())?;
    if !is_new {
        return secret::read(source, "Passphrase of the backup");
    }
    let passphrase = secret::read_new(source, "New passphrase of the backup")?;
    if passphrase.chars().count() < limits::PASSWORD_MIN.default {
        return Err(Failure::usage(PASSPHRASE_FILE, "must have at least 12 characters"));
    }
    Ok(passphrase)
}

/// A row about what the owner of the files did, and as which user of the machine.
fn row(event: EventType) -> AuditEvent {
    AuditEvent::new(event, Actor::Local).with("uid", rustix::process::geteuid().as_raw())
}

/// A failed file or database, with its path.
#[expect(clippy::needless_pass_by_value, reason = "used as `map_err(stored)`")]
fn stored(error: PersistenceError) -> Failure {
    let failure = Failure::new(error.code()).context(error.describe());
    if error.code() == ErrorCode::AuthenticationFailed {
        return failure.next("Give the passphrase with which this backup was made.");
    }
    failure
}
