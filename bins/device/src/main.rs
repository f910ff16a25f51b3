//! `device`: see [`zmon_device`].

use std::process::ExitCode;

use clap::Parser;
use zmon_cli::{Streams, start};
use zmon_device::{Args, run};

fn main() -> ExitCode {
    let args = Args::parse();
    start::current_thread(async |streams: &mut Streams<'_>| run(args, streams).await)
}
