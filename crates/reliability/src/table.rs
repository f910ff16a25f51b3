//! The table that is made of the ledger.

use core::fmt::Write;
use std::path::Path;

use crate::{Entry, Ledger, LedgerError, ROWS, Row, Sources, Target};

/// The table as Markdown, and below it each row's command.
///
/// # Errors
/// [`LedgerError::Io`] when a source of a row cannot be read.
pub fn markdown(ledger: &Ledger, root: &Path) -> Result<String, LedgerError> {
    let mut text = "| row | what | reached / target | failures | last run at | code since |\n\
                    |---|---|---|---|---|---|\n"
        .to_owned();
    for row in ROWS {
        let now = Sources::of(root, row)?;
        let (reached, failures) = (reached(ledger, row), failures(ledger, row));
        let last = ledger.of(row).next_back();
        let at = last.map_or("never", |entry| entry.commit.get(..9).unwrap_or(&entry.commit));
        let since = match last {
            None => "-",
            Some(entry) if entry.sources == now.as_str() => "the same",
            Some(_) => "**changed: stale**",
        };
        let Row { name, what, .. } = row;
        line(&mut text, &format!("| {name} | {what} | {reached} | {failures} | {at} | {since} |"));
    }
    text.push_str("\n| row | in every case | in the gate | next shard |\n|---|---|---|---|\n");
    for row in ROWS {
        let Row { name, holds, gate, command, .. } = row;
        let next = ledger.next_seed(row);
        line(
            &mut text,
            &format!("| {name} | {holds} | {gate} | `{command} --for 20m --seed {next}` |"),
        );
    }
    Ok(text)
}

fn line(text: &mut String, line: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{line}");
}

/// Cases of all runs, or of the newest where the row is a share; never rounded up.
fn reached(ledger: &Ledger, row: &Row) -> String {
    match row.target {
        Target::Cases(target) => {
            let cases: u64 = ledger.of(row).map(|entry| entry.cases).sum();
            format!("{} / {}", grouped(cases), grouped(target))
        }
        Target::Percent(target) => {
            let newest = ledger.of(row).next_back();
            let share = newest.and_then(|Entry { cases, of, .. }| {
                let tenths = cases.checked_mul(1_000)?.checked_div((*of)?)?;
                Some(format!("{}.{} %", tenths / 10, tenths % 10))
            });
            format!("{} / {target} %", share.unwrap_or_else(|| "0".to_owned()))
        }
    }
}

/// Failures since the code last changed between two runs: what failed before is listed with its test.
fn failures(ledger: &Ledger, row: &Row) -> u64 {
    let newest = ledger.of(row).next_back().map(|entry| entry.sources.as_str());
    let same = ledger.of(row).filter(|entry| Some(entry.sources.as_str()) == newest);
    same.map(|entry| entry.failures).sum()
}

/// A number with a comma between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MUTANTS, WARD, root};

    fn line(row: &str, sources: &str, seed: u64, cases: u64, failures: u64) -> String {
        format!(
            r#"{{"row":"{row}","commit":"0123456789abcdef","sources":"{sources}","seed":{seed},"shard":"1/1","seeds":1,"cases":{cases},"of":1000,"failures":{failures},"seconds":1}}"#
        )
    }

    #[test]
    fn cases_are_summed_and_nothing_is_rounded_up() {
        let lines = [
            line("ward", "old", 1, 1_000, 2),
            line("ward", "new", 2, 234_567, 0),
            line("mutants", "new", 1, 949, 0),
            line("mutants", "new", 2, 1, 0),
            line("mutants", "new", 3, 0, 0).replace("\"cases\":0", "\"cases\":949"),
        ];
        let ledger = Ledger::parse(&lines.join("\n")).unwrap();
        assert_eq!(reached(&ledger, &WARD), "235,567 / 1,000,000");
        assert_eq!(failures(&ledger, &WARD), 0, "mended: the code is other code");
        assert_eq!(reached(&ledger, &MUTANTS), "94.9 % / 95 %");
        let table = markdown(&ledger, &root()).unwrap();
        assert!(table.contains("| 235,567 / 1,000,000 | 0 | 012345678 | **changed: stale** |"));
        assert!(table.contains("--example ward -- --for 20m --seed 3` |"));
        assert!(table.contains("| 0 / 10,000 | 0 | never | - |"));
    }

    #[test]
    fn a_failure_of_the_newest_code_stays_until_the_code_changes() {
        let lines = [line("ward", "a", 1, 1, 1), line("ward", "a", 2, 1, 0)].join("\n");
        assert_eq!(failures(&Ledger::parse(&lines).unwrap(), &WARD), 1);
    }
}
