//! `mock-central-station`: see [`zmon_mock_central_station`].

use std::process::ExitCode;

use clap::Parser;
use zmon_cli::{Streams, start};
use zmon_mock_central_station::{Args, run};

fn main() -> ExitCode {
    let args = Args::parse();
    start::multi_thread(async |streams: &mut Streams<'_>| run(args, streams).await)
}
