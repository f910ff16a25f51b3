//! What every `main` does around its `run`: the command line, no core dumps, a runtime and the real
//! streams.

use std::{
    env,
    ffi::OsString,
    io::{stderr, stdout},
    process::ExitCode,
};

use clap::Parser;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tokio::runtime::Builder;
use zmon_domain::error::ErrorCode;

use crate::{ExitClass, Failure, Streams, arguments, streams::stdout_is_terminal};

/// Runs `command` on a runtime of the calling thread alone: small footprint, the device.
pub fn current_thread<A, F>(command: F) -> ExitCode
where
    A: Parser,
    F: for<'a, 'b> AsyncFnOnce(A, &'a mut Streams<'b>) -> ExitClass,
{
    start(env::args_os().collect(), Builder::new_current_thread(), command)
}

/// Runs `command` on a runtime with a thread per core: the station and its tools.
pub fn multi_thread<A, F>(command: F) -> ExitCode
where
    A: Parser,
    F: for<'a, 'b> AsyncFnOnce(A, &'a mut Streams<'b>) -> ExitClass,
{
    start(env::args_os().collect(), Builder::new_multi_thread(), command)
}

fn start<A, F>(args: Vec<OsString>, mut builder: Builder, command: F) -> ExitCode
where
    A: Parser,
    F: for<'a, 'b> AsyncFnOnce(A, &'a mut Streams<'b>) -> ExitClass,
{
    let (mut out, mut err) = (stdout(), stderr());
    let mut streams = Streams::new(&mut out, &mut err, stdout_is_terminal());
    let args = match arguments::parse(args, &mut streams) {
        Ok(args) => args,
        Err(class) => return class.into(),
    };
    let started = no_core_dumps().and_then(|()| Ok(builder.enable_all().build()?));
    match started {
        Ok(runtime) => runtime.block_on(command(args, &mut streams)).into(),
        Err(failure) => failure.show(&mut streams).into(),
    }
}

/// Keeps the memory of this process, with keys and PINs in it, out of core files and away from
/// debuggers of the same user (T35). Programs it starts inherit the limit.
fn no_core_dumps() -> Result<(), Failure> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none)
        .and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable))
        .map_err(|errno| {
            Failure::new(ErrorCode::Internal)
                .context(format!("core dumps cannot be switched off: {errno}"))
        })
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    #[derive(Parser)]
    struct NoArgs {}

    #[test]
    fn a_process_that_started_leaves_no_core() {
        let command = async |_: NoArgs, _: &mut Streams<'_>| {
            assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
            let limit = getrlimit(Resource::Core);
            assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
            ExitClass::Ok
        };
        let code = start(vec![OsString::from("program")], Builder::new_current_thread(), command);
        assert_eq!(code, ExitCode::SUCCESS);
    }
}
