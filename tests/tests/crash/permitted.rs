//! Whether this machine has a tracer.

use std::process::Command;

/// Whether this machine has a tracer that may attach; why not, if not.
pub(crate) fn permitted() -> Result<(), String> {
    let tried = Command::new("strace").args(["-e", "trace=none", "true"]).output();
    match tried {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
