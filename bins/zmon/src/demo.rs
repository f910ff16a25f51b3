//! `zmon demo`: one whole pairing with the programs as they ship, on loopback addresses.
//!
//! Nothing is simulated: two processes with their own directories, databases and keys, a PIN, a QR
//! code read back from its image, HTTPS, mTLS. Everything is removed at the end.

mod programs;
mod story;
mod timeline;

use std::path::Path;

use tempfile::TempDir;
use zmon_cli::{Failure, Streams, stop::StopSignal, wrap::tail};
use zmon_domain::error::ErrorCode;

use crate::args::Demo;

use programs::Programs;
use timeline::Timeline;

/// Lines of each program's log that a failure shows.
const LOG_LINES: usize = 30;

/// Runs the demonstration.
///
/// # Errors
/// Whatever step failed, after the logs of both programs have been shown.
pub(crate) async fn run(args: &Demo, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let patience = core::time::Duration::from_secs(args.patience);
    let programs = Programs::find(args.programs.as_deref(), patience)?;
    let home = tempfile::Builder::new().prefix("zmon-demo-").tempdir().map_err(unavailable)?;
    let mut stop = StopSignal::listen()?;
    let mut timeline = Timeline::new(streams);
    let told = tokio::select! {
        told = story::tell(args, &programs, home.path(), &mut timeline) => told,
        // The children are killed when the story is dropped; the directory goes with it.
        signal = stop.recv() => Err(Failure::new(ErrorCode::Cancelled).context(signal)),
    };
    if told.is_err() {
        show_logs(home.path(), streams)?;
    }
    remove(home)?;
    told
}

fn remove(home: TempDir) -> Result<(), Failure> {
    home.close().map_err(unavailable)
}

fn show_logs(home: &Path, streams: &mut Streams<'_>) -> Result<(), Failure> {
    for name in [story::STATION_LOG, story::DEVICE_LOG] {
        if let Ok(text) = std::fs::read_to_string(home.join(name)) {
            streams.note(&format!("-- {name}\n{}", tail(&text, LOG_LINES)))?;
        }
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "used as `map_err(unavailable)`")]
fn unavailable(error: std::io::Error) -> Failure {
    Failure::new(ErrorCode::StorageUnavailable).context(error.to_string())
}
