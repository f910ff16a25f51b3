//! `zmon`: see [`zmon`].

use std::process::ExitCode;

use zmon::{Args, run};
use zmon_cli::{Streams, start};

fn main() -> ExitCode {
    start::multi_thread(async |args: Args, streams: &mut Streams<'_>| run(args, streams).await)
}
