//! `zmon`: see [`zmon`].

use std::process::ExitCode;

use clap::Parser;
use zmon::{Args, run};
use zmon_cli::{Streams, start};

fn main() -> ExitCode {
    let args = Args::parse();
    start::multi_thread(async |streams: &mut Streams<'_>| run(args, streams).await)
}
