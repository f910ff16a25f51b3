//! `device`: see [`zmon_device`].

use std::process::ExitCode;

use zmon_cli::{Streams, start};
use zmon_device::{Args, run};

fn main() -> ExitCode {
    start::current_thread(async |args: Args, streams: &mut Streams<'_>| run(args, streams).await)
}
