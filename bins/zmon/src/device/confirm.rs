//! A person says that they mean it.

use std::io::{self, IsTerminal};

use zmon_cli::{Failure, Streams};
use zmon_domain::{error::ErrorCode, ids::DeviceId};

/// Asks for the device's id, typed, before its configuration may be replaced.
///
/// # Errors
/// A usage failure where nobody can be asked; `cancelled` for any other answer.
pub(super) fn typed(device: &DeviceId, streams: &mut Streams<'_>) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("yes", "must be given where nobody can be asked"));
    }
    streams.note(&format!("This replaces the configuration of {device}. Type its id to go on:"))?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    if answer.trim() == device.as_str() {
        return Ok(());
    }
    Err(Failure::new(ErrorCode::Cancelled).context("the id was not typed"))
}
