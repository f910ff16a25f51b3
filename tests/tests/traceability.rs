//! `docs/TRACEABILITY.md` and the tables of `docs/SECURITY.md` and `docs/REGULATORY.md` against the code:
//! no empty cell, no unknown test, no unknown symbol.
//!
//! A row is `| clause | kind | item | symbol | test |`. Rows of work not done yet say `open` in both of
//! the last cells; their number is printed.

#![expect(clippy::unwrap_used, reason = "a panic is the report of a failing test")]

use std::collections::BTreeSet;

use zmon_tests::documents;
use zmon_tests::tables::{self, Row, Sources};

/// Fewest rows the two documents give: fields, methods, states, events, errors and the rest.
const ROWS: usize = 269;
/// Where the cells of a row of `docs/TRACEABILITY.md` stand.
const SYMBOL: usize = 3;
const TEST: usize = 4;
/// Threats of `docs/SECURITY.md`, and its cells.
const THREATS: usize = 38;
const THREAT_TEST: usize = 3;
/// Rows of `docs/REGULATORY.md`, and where their evidence stands.
const EXPECTATIONS: usize = 14;
const EVIDENCE: usize = 3;

#[test]
fn every_row_is_whole() {
    let rows = items();
    assert!(rows.len() >= ROWS, "{} rows, the documents give at least {ROWS}", rows.len());
    for row in &rows {
        is_whole(row, 5);
        let same = row.is_open(SYMBOL) == row.is_open(TEST);
        assert!(same, "line {}: symbol and test are open together", row.line);
        for cell in [SYMBOL, TEST] {
            let named = row.is_open(cell) || row.names(cell).next().is_some();
            assert!(named, "line {}: no name in {}", row.line, row.cell(cell));
        }
    }
}

#[test]
fn no_item_is_listed_twice() {
    let mut seen = BTreeSet::new();
    for row in items() {
        let key = row.cells[..SYMBOL].join(" | ");
        assert!(seen.insert(key.clone()), "line {}: {key} is listed twice", row.line);
    }
}

#[test]
fn every_test_exists() {
    let sources = Sources::read().unwrap();
    let tests = sources.tests();
    let unknown = |row: &Row, cell: usize| -> Vec<String> {
        let names = row.names(cell).filter(|name| !tests.contains_key(name));
        names.map(|name| format!("line {}: {name}", row.line)).collect()
    };
    let items = items();
    let mut missing: Vec<_> = items.iter().flat_map(|row| unknown(row, TEST)).collect();
    missing.extend(threats().iter().flat_map(|row| unknown(row, THREAT_TEST)));
    missing.extend(expectations().iter().flat_map(|row| unknown(row, EVIDENCE)));
    assert!(missing.is_empty(), "no such test:\n{}", missing.join("\n"));
}

#[test]
fn every_symbol_exists() {
    let sources = Sources::read().unwrap();
    let defined = sources.definitions();
    let mut missing = Vec::new();
    for row in items() {
        let unknown = row.names(SYMBOL).filter(|symbol| !defined.has(symbol));
        missing.extend(unknown.map(|symbol| format!("line {}: {symbol}", row.line)));
    }
    assert!(missing.is_empty(), "nothing defines:\n{}", missing.join("\n"));
}

#[test]
fn every_threat_has_a_control_and_a_test() {
    let threats = threats();
    for (row, number) in threats.iter().zip(1..) {
        is_whole(row, 4);
        assert_eq!(row.cell(0), format!("T{number}"), "line {}", row.line);
        let named = row.is_open(THREAT_TEST) || row.names(THREAT_TEST).next().is_some();
        assert!(named, "line {}: no name in {}", row.line, row.cell(THREAT_TEST));
    }
    assert_eq!(threats.len(), THREATS);
}

/// What is not met says so in a cell of its own; what is met names a test.
#[test]
fn every_expectation_says_what_meets_it_and_what_is_missing() {
    let expectations = expectations();
    for (row, number) in expectations.iter().zip(1..) {
        is_whole(row, 5);
        assert_eq!(row.cell(0), format!("M{number}"), "line {}", row.line);
        assert!(row.names(EVIDENCE).next().is_some(), "line {}: no test", row.line);
    }
    assert_eq!(expectations.len(), EXPECTATIONS);
}

#[test]
fn open_rows_are_counted() {
    let (rows, threats) = (items(), threats());
    let open = rows.iter().filter(|row| row.is_open(TEST)).count();
    let open_threats = threats.iter().filter(|row| row.is_open(THREAT_TEST)).count();
    println!("traceability: {} rows, {open} open", rows.len());
    println!("security: {} threats, {open_threats} open", threats.len());
    let intro = documents::read("docs/TRACEABILITY.md").unwrap();
    let said = format!("{} rows, {open} open", rows.len());
    assert!(intro.contains(&said), "docs/TRACEABILITY.md must say \"{said}\"");
}

fn is_whole(row: &Row, cells: usize) {
    assert_eq!(row.cells.len(), cells, "line {}: {cells} cells", row.line);
    assert!(row.cells.iter().all(|cell| !cell.is_empty()), "line {}: an empty cell", row.line);
}

fn items() -> Vec<Row> {
    let text = documents::read("docs/TRACEABILITY.md").unwrap();
    tables::rows(&text, |first| first.starts_with("W §") || first.starts_with("I §"))
}

fn threats() -> Vec<Row> {
    numbered("docs/SECURITY.md", 'T')
}

fn expectations() -> Vec<Row> {
    numbered("docs/REGULATORY.md", 'M')
}

/// The rows that begin with this letter and a number.
fn numbered(document: &str, letter: char) -> Vec<Row> {
    let text = documents::read(document).unwrap();
    let is_number = |first: &str| {
        first.strip_prefix(letter).is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
    };
    tables::rows(&text, |first| first.len() > 1 && is_number(first))
}
