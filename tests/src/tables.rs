//! Tables of documents that name symbols and tests, and the sources in which they must exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::definitions::Definitions;
use crate::documents::root;

/// What a cell says of work that is not done yet.
pub const OPEN: &str = "open";

/// One row of a Markdown table.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its line in the document, from 1.
    pub line: usize,
    /// Its cells without the spaces around them.
    pub cells: Vec<String>,
}

impl Row {
    /// The text of a cell; empty if there is none.
    #[must_use]
    pub fn cell(&self, index: usize) -> &str {
        self.cells.get(index).map_or("", String::as_str)
    }

    /// The names in code style of a cell.
    pub fn names(&self, index: usize) -> impl Iterator<Item = &str> {
        self.cell(index).split('`').skip(1).step_by(2)
    }

    /// Whether a cell says `open`.
    #[must_use]
    pub fn is_open(&self, index: usize) -> bool {
        self.cell(index) == OPEN
    }
}

/// The rows of a document whose first cell begins like this.
#[must_use]
pub fn rows(text: &str, begins: impl Fn(&str) -> bool) -> Vec<Row> {
    text.lines()
        .enumerate()
        .filter_map(|(index, line)| {
            let inner = line.strip_prefix('|')?.strip_suffix('|')?;
            let cells: Vec<_> = inner.split('|').map(|cell| cell.trim().to_owned()).collect();
            let wanted = cells.first().is_some_and(|first| begins(first));
            wanted.then_some(Row { line: index + 1, cells })
        })
        .collect()
}

/// Every Rust and SQL file of the project.
#[derive(Debug)]
pub struct Sources(Vec<Source>);

#[derive(Debug)]
struct Source {
    path: PathBuf,
    text: String,
    /// It holds nothing but tests.
    test_file: bool,
}

impl Sources {
    /// Reads them.
    ///
    /// # Errors
    /// The first file or folder that cannot be read.
    pub fn read() -> io::Result<Self> {
        let mut all = Vec::new();
        for top in ["crates", "bins", "tests", "migrations"] {
            walk(&root().join(top), &mut all)?;
        }
        Ok(Self(all))
    }

    /// The names of all tests, with how often each occurs.
    #[must_use]
    pub fn tests(&self) -> BTreeMap<&str, usize> {
        let suites = self.0.iter().flat_map(|source| suites(&source.text)).collect();
        let mut found = BTreeMap::new();
        for name in self.0.iter().flat_map(|source| tests(&source.text, &suites)) {
            *found.entry(name).or_default() += 1;
        }
        found
    }

    /// What the files that are not only tests define.
    #[must_use]
    pub fn definitions(&self) -> Definitions {
        let mut found = Definitions::default();
        for source in self.0.iter().filter(|source| !source.test_file) {
            if source.path.extension().is_some_and(|ending| ending == "sql") {
                found.add_sql(&source.text);
            } else {
                found.add_rust(&source.path, &source.text);
            }
        }
        found
    }
}

/// Names of the macros that make tests from a list: they have `fn $name` under a test attribute.
fn suites(source: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut marked, mut macro_name) = (false, "");
    for line in source.lines() {
        let inner = line.trim_start();
        if let Some(name) = inner.strip_prefix("macro_rules! ") {
            macro_name = first_word(name);
        }
        if is_test_attribute(inner) {
            marked = true;
        } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| marked) {
            if first_word(rest).is_empty() {
                found.push(macro_name);
            }
            marked = false;
        }
    }
    found
}

/// Names of the functions under a test attribute, and those of the lines `name,` or `name: … => …` inside
/// an invocation of one of `suites`.
fn tests<'s>(source: &'s str, suites: &BTreeSet<&str>) -> Vec<&'s str> {
    let mut found = Vec::new();
    let mut marked = false;
    // How far left the invocation stands that is being read.
    let mut invoked: Option<usize> = None;
    for line in source.lines() {
        let inner = line.trim_start();
        let indent = line.len() - inner.len();
        if is_test_attribute(inner) {
            marked = true;
        } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| marked) {
            found.extend(Some(first_word(rest)).filter(|name| !name.is_empty()));
            marked = false;
        } else if let Some(left) = invoked {
            found.extend(listed_name(inner));
            invoked = Some(left).filter(|left| inner.is_empty() || indent > *left);
        } else if suites.iter().any(|suite| invokes(inner, suite)) {
            invoked = Some(indent);
        }
    }
    found
}

fn is_test_attribute(line: &str) -> bool {
    line.starts_with("#[test]") || line.starts_with("#[tokio::test")
}

/// Whether a line begins an invocation of a macro that goes on below.
fn invokes(line: &str, suite: &str) -> bool {
    let call = line.split_once("! {").map(|(path, rest)| (path, rest.contains('}')));
    call.is_some_and(|(path, ends)| path.rsplit("::").next() == Some(suite) && !ends)
}

fn listed_name(line: &str) -> Option<&str> {
    let line = line.trim();
    let name = first_word(line);
    let rest = line.strip_prefix(name)?;
    let listed = rest == "," || (rest.starts_with(": ") && rest.contains(" => "));
    let of_snake = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let snake = name.contains('_') && name.bytes().all(of_snake);
    (listed && snake).then_some(name)
}

fn first_word(text: &str) -> &str {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default()
}

fn walk(folder: &Path, into: &mut Vec<Source>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path: PathBuf = entry?.path();
        if path.is_dir() && !path.is_symlink() {
            walk(&path, into)?;
        } else if path.ends_with("src/tables.rs") || path.ends_with("src/definitions.rs") {
            // Its examples are no tests.
        } else if path.extension().is_some_and(|ending| ending == "rs" || ending == "sql") {
            let in_tests = path.components().any(|part| part.as_os_str() == "tests");
            let test_file = in_tests || path.ends_with("tests.rs");
            into.push(Source { text: fs::read_to_string(&path)?, path, test_file });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests_of_this {
    use super::*;

    const SOURCE: &str = "
#[test]
fn plain() {}
#[tokio::test(start_paused = true)]
async fn in_time() {}
fn helper() {}
macro_rules! suite {
    ($($check:ident,)+) => {
        $(
            #[test]
            fn $check() {}
        )+
    };
    (all) => {
        super::suite! { all:
            one_of_the_suite,
            notasuite,
        }
    };
}
suite! {
    one_more_of_it: \"a=b\" => Code, State;
    field_of_a_struct: 3,
}
call(
    an_argument,
    other::suite! { x },
    another_argument,
);
    ";

    #[test]
    fn tests_are_found_under_attributes_and_in_invocations_of_suites() {
        let suites: BTreeSet<&str> = suites(SOURCE).into_iter().collect();
        assert_eq!(suites.iter().collect::<Vec<_>>(), [&"suite"]);
        let found = ["plain", "in_time", "one_of_the_suite", "one_more_of_it"];
        assert_eq!(tests(SOURCE, &suites), found);
        let elsewhere =
            "fn helper() {}\nother! {\n    some_name,\n}\nsuite! {\n    of_64_one,\n}\n";
        assert_eq!(tests(elsewhere, &suites), ["of_64_one"]);
    }

    #[test]
    fn rows_are_read_cell_by_cell() {
        let text = "| W §1 | a | `b`, `c::d` |\n|---|---|---|\n| X | y | open |\n";
        let found = rows(text, |first| first.starts_with("W §"));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].names(2).collect::<Vec<_>>(), ["b", "c::d"]);
        assert!(!found[0].is_open(2) && found[0].cell(9).is_empty());
        assert!(rows(text, |first| first == "X")[0].is_open(2));
    }
}
