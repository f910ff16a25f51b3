//! A person says that they mean it.

use std::io::{self, IsTerminal};

use zmon_cli::{Failure, Streams};
use zmon_domain::{
    error::ErrorCode,
    ids::{DeviceId, SiteId, Thumbprint},
};
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

/// Shows the fingerprint of a certificate and asks whether it was compared.
///
/// # Errors
/// A usage failure where nobody can be asked; `cancelled` for any other answer.
pub(super) fn fingerprint(
    own: &Thumbprint,
    site: &SiteId,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("--fingerprint", "must be given where nobody can be asked"));
    }
    streams.note(&format!("fingerprint  {own}"))?;
    streams.note(&format!("site         {site}"))?;
    streams
        .note("Whoever has this authority's key configures the device from now on. Type yes if")?;
    streams.note("the station's administrator names the same fingerprint:")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    if answer.trim() == "yes" {
        return Ok(());
    }
    Err(Failure::new(ErrorCode::Cancelled).context("nobody said yes; nothing was changed"))
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
