//! `mock-central-station`: see [`zmon_mock_central_station`].

use std::process::ExitCode;

use zmon_cli::{Streams, start};
use zmon_mock_central_station::{Args, run};

fn main() -> ExitCode {
    start::multi_thread(async |args: Args, streams: &mut Streams<'_>| run(args, streams).await)
}
