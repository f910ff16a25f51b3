//! A person says that they mean it.

use std::io::{self, IsTerminal};

use zmon_cli::{Failure, Streams};
use zmon_domain::{error::ErrorCode, ids::DeviceId};
use zmon_wire::control::ConfirmationView;

use super::show;

/// Asks for the device's id, typed, before its configuration may be replaced.
///
/// # Errors
/// A usage failure where nobody can be asked; `cancelled` for any other answer.
pub(super) fn typed(device: &DeviceId, streams: &mut Streams<'_>) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("--yes", "must be given where nobody can be asked"));
    }
    streams.note(&format!("This replaces the configuration of {device}. Type its id to go on:"))?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    if answer.trim() == device.as_str() {
        return Ok(());
    }
    Err(Failure::new(ErrorCode::Cancelled).context("the id was not typed"))
}

/// Shows what the device knows of a station that waits, and asks whether the words are the station's;
/// with `yes` somebody has compared them already.
///
/// # Errors
/// A usage failure where nobody can be asked; `cancelled` for any other answer.
pub(super) fn compared(
    shown: &ConfirmationView,
    yes: bool,
    streams: &mut Streams<'_>,
) -> Result<String, Failure> {
    for line in show::confirmation(shown) {
        streams.note(&line)?;
    }
    if yes {
        return Ok(shown.words.clone());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("words", "must be given where nobody can be asked"));
    }
    streams.note("Type yes if the station shows the same four words:")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    if answer.trim() == "yes" {
        return Ok(shown.words.clone());
    }
    Err(Failure::new(ErrorCode::Cancelled).context("nobody said yes; the station still waits"))
}
