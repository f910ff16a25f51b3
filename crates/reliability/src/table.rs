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

/// Cases of all runs, or the share of those of the newest code; never rounded up.
fn reached(ledger: &Ledger, row: &Row) -> String {
    match row.target {
        Target::Cases(target) => {
            let cases: u64 = ledger.of(row).map(|entry| entry.cases).sum();
            format!("{} / {}", grouped(cases), grouped(target))
        }
        Target::Percent(target) => {
            let runs = || newest(ledger, row);
            let cases: u64 = runs().map(|entry| entry.cases).sum();
            let of: u64 = runs().filter_map(|entry| entry.of).sum();
            let seeds: u64 = runs().map(|entry| entry.seeds).sum();
            let tenths = cases.saturating_mul(1_000).checked_div(of).unwrap_or(0);
            let share = format!("{}.{} %", tenths / 10, tenths % 10);
            format!("{share} / {target} % ({cases} of {of}, in {seeds} shares)")
        }
    }
}

/// Failures since the code last changed between two runs: what failed before is listed with its test.
fn failures(ledger: &Ledger, row: &Row) -> u64 {
    newest(ledger, row).map(|entry| entry.failures).sum()
}

/// The runs of the code that the last one has seen.
fn newest<'a>(ledger: &'a Ledger, row: &Row) -> impl Iterator<Item = &'a Entry> {
    let sources = ledger.of(row).next_back().map(|entry| entry.sources.as_str());
    ledger.of(row).filter(move |entry| Some(entry.sources.as_str()) == sources)
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
            line("mutants", "old", 1, 1_000, 0),
            line("mutants", "new", 2, 949, 0),
            line("mutants", "new", 3, 950, 0),
        ];
        let ledger = Ledger::parse(&lines.join("\n")).unwrap();
        assert_eq!(reached(&ledger, &WARD), "235,567 / 1,000,000");
        assert_eq!(failures(&ledger, &WARD), 0, "mended: the code is other code");
        assert_eq!(reached(&ledger, &MUTANTS), "94.9 % / 95 % (1899 of 2000, in 2 shares)");
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
