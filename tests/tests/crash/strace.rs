//! One injected misfortune: the N-th call of one kind does not happen, and the program dies there or is
//! told that it failed.

use core::fmt;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;
use tokio::time::{Duration, timeout};

use crate::flow::pause;

/// How long a tracer may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// What happens at the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misfortune {
    /// `kill -9` before it happens: what a power cut leaves of a process.
    Kill,
    /// It fails with this name of `errno`.
    Error(&'static str),
}

/// Where it happens: at the `when`-th call of `call`, counted from 1 for each thread from the moment the
/// tracer is attached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Injection {
    pub(crate) call: &'static str,
    pub(crate) what: Misfortune,
    pub(crate) when: u32,
}

impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, what, when } = self;
        match what {
            Misfortune::Kill => write!(f, "killed at {call} {when}"),
            Misfortune::Error(errno) => write!(f, "{errno} at {call} {when}"),
        }
    }
}

/// A tracer on a running program.
pub(crate) struct Tracer {
    child: Child,
    /// It names every thread that begins, and ends when nobody listens.
    _said: BufReader<ChildStderr>,
    seen: NamedTempFile,
}

impl Tracer {
    /// Attaches to a process and all its threads; returns once that is so.
    pub(crate) fn attach(pid: u32, injection: Injection) -> Self {
        let seen = NamedTempFile::new().expect("a file");
        let Injection { call, what, when } = injection;
        let what = match what {
            Misfortune::Kill => "signal=KILL".to_owned(),
            Misfortune::Error(errno) => format!("error={errno}"),
        };
        let mut child = Command::new("strace")
            .arg("-f")
            .arg("-e")
            .arg(format!("trace={call}"))
            .arg("-e")
            .arg(format!("inject={call}:{what}:when={when}"))
            .arg("-o")
            .arg(seen.path())
            .arg("-p")
            .arg(pid.to_string())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace starts");
        let mut line = String::new();
        let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
        said.read_line(&mut line).expect("strace says something");
        assert!(line.contains(" attached"), "strace: {line}");
        Self { child, _said: said, seen }
    }

    /// Lets the program go; whether the misfortune has happened.
    ///
    /// A tracer ends by itself with the last thread of its program. One that is told to stop while these
    /// threads are dying waits for them for ever: it is told only when the program `answers`.
    pub(crate) async fn detach(mut self, answers: bool) -> bool {
        let pid = Pid::from_child(&self.child);
        if answers {
            // It may have ended with the program all the same.
            let _ended = kill_process(pid, Signal::TERM);
        }
        let ended = async {
            while self.child.try_wait().expect("the system says").is_none() {
                pause().await;
            }
        };
        if timeout(PATIENCE, ended).await.is_err() {
            self.child.kill().expect("killed");
            self.child.wait().expect("gone");
        }
        let ended = self.child.wait().expect("gone");
        assert_ne!(ended.signal(), Some(Signal::PIPE.as_raw()), "the tracer has seen it all");
        let seen = std::fs::read_to_string(self.seen.path()).expect("what it has seen");
        seen.contains("(INJECTED)") || seen.contains("+++ killed by SIGKILL +++")
    }
}
