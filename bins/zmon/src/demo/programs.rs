//! The sibling programs as child processes: started, awaited, stopped, never left behind.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};
use zeroize::Zeroizing;
use zmon_cli::Failure;
use zmon_domain::error::ErrorCode;

/// How long a program may take to stop after SIGTERM before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// The folder of the programs, and how long each step may take.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    folder: PathBuf,
    patience: Duration,
}

impl Programs {
    /// The programs in `folder`, or beside the running one.
    pub(super) fn find(folder: Option<&Path>, patience: Duration) -> Result<Self, Failure> {
        let folder = match folder {
            Some(folder) => folder.to_owned(),
            None => std::env::current_exe()
                .ok()
                .and_then(|program| program.parent().map(Path::to_owned))
                .unwrap_or_default(),
        };
        for name in ["device", "mock-central-station"] {
            let program = folder.join(name);
            if !program.is_file() {
                return Err(Failure::new(ErrorCode::NotInitialised)
                    .context(format!("{} is not there", program.display()))
                    .next("Build it first: cargo build --bins"));
            }
        }
        Ok(Self { folder, patience })
    }

    /// How long each step may take.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// Runs a short command to its end; `input` goes to its standard input.
    pub(super) async fn run<I, S>(
        &self,
        name: &str,
        args: I,
        input: &[u8],
    ) -> Result<Zeroizing<String>, Failure>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut child = self
            .command(name)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| lost(name, &error.to_string()))?;
        let finished = async {
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(input).await?;
            }
            child.wait_with_output().await
        };
        let output = timeout(self.patience, finished)
            .await
            .map_err(|_| late(name))?
            .map_err(|error| lost(name, &error.to_string()))?;
        let out = Zeroizing::new(output.stdout);
        let out = Zeroizing::new(String::from_utf8_lossy(&out).into_owned());
        if !output.status.success() {
            let err = String::from_utf8_lossy(&output.stderr);
            return Err(lost(name, &format!("{}\n{}{err}", output.status, *out)));
        }
        Ok(out)
    }

    /// Starts a serving program and reads its ready line; its log goes to `log`.
    pub(super) async fn serve<T, I, S>(
        &self,
        name: &'static str,
        args: I,
        log: &Path,
    ) -> Result<(Service, T), Failure>
    where
        T: DeserializeOwned,
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let file = std::fs::File::create(log).map_err(|error| lost(name, &error.to_string()))?;
        let mut child = self
            .command(name)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .map_err(|error| lost(name, &error.to_string()))?;
        let lines = child.stdout.take().map(|stdout| BufReader::new(stdout).lines());
        let mut service = Service { name, child, lines };
        let line = match timeout(self.patience, service.next_line()).await {
            Ok(Some(line)) => line,
            Ok(None) => return Err(service.failed("it ended before it was ready").await),
            Err(_) => return Err(service.failed("it did not become ready in time").await),
        };
        match serde_json::from_str(&line) {
            Ok(ready) => Ok((service, ready)),
            Err(error) => Err(service.failed(&format!("its ready line: {error}")).await),
        }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.folder.join(name));
        // The demo must not depend on settings that a person has in the environment.
        command.env_clear().kill_on_drop(true);
        command
    }
}

/// A serving program; killed if it is dropped without [`Service::stop`].
#[derive(Debug)]
pub(super) struct Service {
    name: &'static str,
    child: Child,
    lines: Option<Lines<BufReader<ChildStdout>>>,
}

impl Service {
    async fn next_line(&mut self) -> Option<String> {
        self.lines.as_mut()?.next_line().await.ok().flatten()
    }

    /// Asks the program to stop with SIGTERM and waits for its clean end.
    pub(super) async fn stop(mut self) -> Result<(), Failure> {
        match self.terminate().await {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(self.failed(&format!("it ended with {status}")).await),
            None => Err(self.failed("it did not stop after SIGTERM").await),
        }
    }

    async fn terminate(&mut self) -> Option<ExitStatus> {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended by itself: then there is nobody to signal, and `wait` says how.
            let _gone = kill_process(pid, Signal::TERM);
        }
        timeout(STOP_PATIENCE, self.child.wait()).await.ok()?.ok()
    }

    async fn failed(mut self, what: &str) -> Failure {
        let _ended = self.child.kill().await;
        lost(self.name, what)
    }
}

fn lost(name: &str, what: &str) -> Failure {
    Failure::new(ErrorCode::Internal).context(format!("{name}: {}", what.trim_end()))
}

fn late(name: &str) -> Failure {
    Failure::new(ErrorCode::Timeout).context(format!("{name} took too long"))
}
