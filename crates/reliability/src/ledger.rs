//! The file of all runs.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::{Entry, ROWS, Row};

/// Where it lies, under the project's root.
pub const PATH: &str = "docs/reliability/ledger.jsonl";

/// Why a run cannot begin or be written down.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// A file of the project cannot be read or written.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// A line that is no entry, or of no row.
    #[error("{PATH}, line {0}: {1}")]
    Line(usize, String),
    /// These seeds were run before: counted twice, a figure would say more than was seen.
    #[error("seeds {from} to {to} were run before; `--seed {next}` is the first that was not")]
    Again {
        /// First seed of what was asked for or run.
        from: u64,
        /// The last.
        to: u64,
        /// A first seed that nobody has run.
        next: u64,
    },
}

/// All runs, oldest first.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Vec<Entry>,
}

impl Ledger {
    /// Reads a ledger.
    ///
    /// # Errors
    /// [`LedgerError::Io`], and [`LedgerError::Line`] with the first line that is no entry or meets an earlier one.
    pub fn read(path: &Path) -> Result<Self, LedgerError> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text),
            Err(error) => Err(LedgerError::Io(path.to_owned(), error)),
        }
    }

    /// A ledger from its text.
    ///
    /// # Errors
    /// [`LedgerError::Line`].
    pub fn parse(text: &str) -> Result<Self, LedgerError> {
        let mut ledger = Self::default();
        for (number, line) in text.lines().enumerate() {
            let wrong = |what: String| LedgerError::Line(number + 1, what);
            let entry: Entry =
                serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
            if !ROWS.iter().any(|row| row.name == entry.row) {
                return Err(wrong(format!("no row is called {}", entry.row)));
            }
            ledger.admit(&entry).map_err(|error| wrong(error.to_string()))?;
            ledger.entries.push(entry);
        }
        Ok(ledger)
    }

    /// Adds a line to the file at `path`, which this was read from.
    ///
    /// # Errors
    /// [`LedgerError::Again`]; [`LedgerError::Io`].
    pub fn append(&mut self, path: &Path, entry: Entry) -> Result<(), LedgerError> {
        self.admit(&entry)?;
        let io = |error| LedgerError::Io(path.to_owned(), error);
        let mut line = serde_json::to_string(&entry).map_err(|error| io(error.into()))?;
        line.push('\n');
        let mut file = OpenOptions::new().append(true).open(path).map_err(io)?;
        file.write_all(line.as_bytes()).map_err(io)?;
        file.sync_all().map_err(io)?;
        self.entries.push(entry);
        Ok(())
    }

    /// Whether an entry may be added: no seed of it was run before.
    ///
    /// # Errors
    /// [`LedgerError::Again`].
    pub fn admit(&self, entry: &Entry) -> Result<(), LedgerError> {
        if !self.entries.iter().any(|earlier| earlier.meets(entry)) {
            return Ok(());
        }
        let row = ROWS.iter().find(|row| row.name == entry.row);
        let next = row.map_or(entry.next_seed(), |row| self.next_seed(row));
        let to = entry.next_seed().saturating_sub(1);
        Err(LedgerError::Again { from: entry.seed, to, next })
    }

    /// The runs of a row, oldest first.
    pub fn of(&self, row: &Row) -> impl DoubleEndedIterator<Item = &Entry> {
        let name = row.name;
        self.entries.iter().filter(move |entry| entry.row == name)
    }

    /// The first seed from which on nobody has run any.
    #[must_use]
    pub fn next_seed(&self, row: &Row) -> u64 {
        self.of(row).map(Entry::next_seed).max().unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WARD;

    const LINE: &str = r#"{"row":"ward","commit":"c","sources":"s","seed":1,"shard":"1/1","seeds":9,"cases":9,"failures":0,"seconds":1}"#;

    #[test]
    fn seeds_are_counted_once() {
        let twice = format!("{LINE}\n{LINE}\n");
        let error = Ledger::parse(&twice).unwrap_err();
        assert!(matches!(error, LedgerError::Line(2, _)), "{error}");
        assert!(error.to_string().contains("`--seed 10` is the first"), "{error}");
    }

    #[test]
    fn a_line_of_no_row_or_with_another_member_is_named() {
        for (line, rule) in [
            (LINE.replace("ward", "wart"), "no row is called wart"),
            (LINE.replace("seconds", "hours"), "unknown field `hours`"),
            (LINE.replace("1/1", "2/1"), "from 1 to N"),
            (String::new(), "EOF"),
        ] {
            let error =
                Ledger::parse(&format!("{}\n{line}\n", LINE.replace("\"seed\":1", "\"seed\":90")));
            let error = error.unwrap_err();
            assert!(matches!(error, LedgerError::Line(2, _)), "{error}");
            assert!(error.to_string().contains(rule), "{error}");
        }
    }

    #[test]
    fn what_is_appended_is_read_back_and_moves_the_next_seed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.jsonl");
        fs::write(&path, "").unwrap();
        let mut ledger = Ledger::read(&path).unwrap();
        assert_eq!(ledger.next_seed(&WARD), 1);
        let entry: Entry = serde_json::from_str(LINE).unwrap();
        ledger.append(&path, entry.clone()).unwrap();
        assert!(matches!(ledger.append(&path, entry), Err(LedgerError::Again { next: 10, .. })));
        let read = Ledger::read(&path).unwrap();
        assert_eq!(read.of(&WARD).count(), 1);
        assert_eq!(read.next_seed(&WARD), 10);
    }

    #[test]
    fn a_ledger_that_is_not_there_is_no_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let error = Ledger::read(&dir.path().join("none")).unwrap_err();
        assert!(matches!(error, LedgerError::Io(..)), "{error}");
    }
}
