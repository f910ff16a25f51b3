//! A run that goes on.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use crate::{Args, Entry, Ledger, LedgerError, PATH, Row, Sources, root};

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);

/// Seeds, one after the other, and what they have shown. One that is dropped by a panic has failed, and is written
/// down as that.
#[derive(Debug)]
pub struct Run {
    row: &'static Row,
    args: Args,
    first: u64,
    path: PathBuf,
    sources: Sources,
    commit: String,
    begun: Instant,
    told: Instant,
    seeds: u64,
    cases: u64,
    of: Option<u64>,
    failures: u64,
    ended: bool,
}

impl Run {
    /// Begins, and says with which seeds.
    ///
    /// # Errors
    /// A [`LedgerError`] when the ledger cannot be read, or has the first of these seeds already.
    pub(crate) fn begin(args: Args, row: &'static Row) -> Result<Self, LedgerError> {
        let path = args.ledger.clone().unwrap_or_else(|| root().join(PATH));
        let ledger = Ledger::read(&path)?;
        let first = args.seed.unwrap_or_else(|| ledger.next_seed(row));
        let sources = Sources::of(&root(), row)?;
        let begun = now();
        let (seeds, cases, of, failures) = (0, 0, None, 0);
        let told = begun;
        let commit = commit();
        let run = Self {
            row,
            args,
            first,
            path,
            sources,
            commit,
            begun,
            told,
            seeds,
            cases,
            of,
            failures,
            ended: false,
        };
        if !run.args.no_ledger {
            ledger.admit(&Entry { seeds: 1, ..run.entry() })?;
        }
        say(&format!("{}: --seed {first} --shard {}", row.name, run.args.shard));
        Ok(run)
    }

    /// The next seed, or none when the time or the seeds are over.
    #[expect(clippy::should_implement_trait, reason = "counting goes on between two seeds")]
    pub fn next(&mut self) -> Option<u64> {
        if self.told.elapsed() > PROGRESS {
            self.told = now();
            say(&self.line());
        }
        if self.over() {
            return None;
        }
        let seed = self.args.shard.seed(self.first, self.seeds);
        self.seeds += 1;
        Some(seed)
    }

    /// Whether no further seed is begun.
    fn over(&self) -> bool {
        self.seeds >= self.args.seeds || self.begun.elapsed() >= self.args.time
    }

    /// How long it goes on at most.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.args.time.saturating_sub(self.begun.elapsed())
    }

    /// So many cases more.
    pub fn count(&mut self, cases: u64) {
        self.cases += cases;
    }

    /// So many cases out of how many, where the row is a share.
    pub fn count_of(&mut self, cases: u64, of: u64) {
        self.count(cases);
        self.of = Some(self.of.unwrap_or(0) + of);
    }

    /// A case in which what must hold did not; what `seed` has shown is printed.
    pub fn fail(&mut self, seed: u64, what: &str) {
        self.failures += 1;
        say(&format!("FAILED at --seed {seed} --seeds 1: {what}"));
    }

    /// Ends: the sum is printed and goes into the ledger.
    ///
    /// The exit code is that of a failure when a case has failed, when there was none, or when the ledger
    /// does not take the line.
    #[must_use]
    pub fn end(mut self) -> ExitCode {
        self.ended = true;
        say(&self.line());
        if self.cases == 0 && self.failures == 0 {
            say("nothing was counted");
            return ExitCode::FAILURE;
        }
        if !self.args.no_ledger
            && let Err(error) = self.write()
        {
            say(&format!("not in the ledger: {error}"));
            return ExitCode::FAILURE;
        }
        if self.failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn write(&self) -> Result<(), LedgerError> {
        // Read again: others may have added lines meanwhile.
        Ledger::read(&self.path)?.append(&self.path, self.entry())
    }

    fn entry(&self) -> Entry {
        Entry {
            row: self.row.name.to_owned(),
            commit: self.commit.clone(),
            sources: self.sources.as_str().to_owned(),
            seed: self.first,
            shard: self.args.shard,
            seeds: self.seeds,
            cases: self.cases,
            of: self.of,
            failures: self.failures,
            seconds: self.begun.elapsed().as_secs(),
        }
    }

    fn line(&self) -> String {
        let Self { row, seeds, cases, failures, .. } = self;
        let seconds = self.begun.elapsed().as_secs();
        let of = self.of.map(|of| format!(" of {of}")).unwrap_or_default();
        format!(
            "{}: {cases}{of} cases of {seeds} seeds in {seconds} s, {failures} failures",
            row.name
        )
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.ended || !std::thread::panicking() {
            return;
        }
        self.failures += 1;
        say(&self.line());
        if !self.args.no_ledger
            && let Err(error) = self.write()
        {
            say(&format!("not in the ledger: {error}"));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a program runs is real time")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::print_stdout, reason = "a program that reports")]
fn say(line: &str) {
    println!("{line}");
}

/// The commit of the tree, with a `+` when something in it is not committed.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(root()).args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "HEAD"]) else { return "unknown".to_owned() };
    // The ledger itself grows with every run.
    let changes =
        git(&["status", "--porcelain", "--", ":!docs/reliability", ":!docs/RELIABILITY.md"]);
    let mark = if changes.is_some_and(|changes| changes.is_empty()) { "" } else { "+" };
    [&commit, mark].concat()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;

    use super::*;
    use crate::WARD;

    #[expect(clippy::unwrap_in_result, reason = "what is looked at is how the run begins")]
    fn run(path: &std::path::Path, arguments: &[&str]) -> Result<Run, LedgerError> {
        let path = path.to_str().unwrap();
        let given = ["run", "--ledger", path].into_iter().chain(arguments.iter().copied());
        Args::try_parse_from(given).unwrap().begin(&WARD)
    }

    #[test]
    fn runs_go_on_where_the_last_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.jsonl");
        fs::write(&path, "").unwrap();
        let mut first = run(&path, &["--seeds", "3", "--for", "1h"]).unwrap();
        let mut seen = Vec::new();
        while let Some(seed) = first.next() {
            seen.push(seed);
            first.count(2);
        }
        assert_eq!(seen, [1, 2, 3]);
        assert_eq!(first.end(), ExitCode::SUCCESS);

        let mut second = run(&path, &["--seeds", "1"]).unwrap();
        assert_eq!(second.next(), Some(4));
        second.count(1);
        second.fail(4, "a planted one");
        assert_eq!(second.end(), ExitCode::FAILURE);
        let ledger = Ledger::read(&path).unwrap();
        let entries: Vec<_> = ledger.of(&WARD).map(|entry| (entry.cases, entry.failures)).collect();
        assert_eq!(entries, [(6, 0), (1, 1)]);

        let again = run(&path, &["--seed", "2"]);
        assert!(matches!(again, Err(LedgerError::Again { from: 2, to: 2, next: 5 })), "{again:?}");
        let look = run(&path, &["--seed", "2", "--seeds", "1", "--no-ledger"]).unwrap();
        assert_eq!(look.end(), ExitCode::FAILURE, "nothing was counted");
        assert_eq!(Ledger::read(&path).unwrap().of(&WARD).count(), 2);
    }

    #[test]
    fn a_run_that_panics_has_failed_and_is_written_down() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.jsonl");
        fs::write(&path, "").unwrap();
        let inner = path.clone();
        let ended = std::panic::catch_unwind(move || {
            let mut run = run(&inner, &["--seeds", "3"]).unwrap();
            let _seed = run.next();
            panic!("a planted one");
        });
        assert!(ended.is_err());
        let ledger = Ledger::read(&path).unwrap();
        let entries: Vec<_> = ledger.of(&WARD).map(|entry| (entry.seeds, entry.failures)).collect();
        assert_eq!(entries, [(1, 1)]);
    }

    #[test]
    fn time_that_is_over_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.jsonl");
        fs::write(&path, "").unwrap();
        let mut over = run(&path, &["--for", "0s"]).unwrap();
        assert_eq!((over.next(), over.left()), (None, Duration::ZERO));
    }
}
