//! Tables in Markdown.

use core::fmt::{self, Write};
use core::time::Duration;

use crate::sample::Cost;

/// When the floors were measured, and on what.
pub const FLOORS: &str = "measured 2026-11-23 on 2 vCPU";

/// One measured thing and what it stands beside.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// What it took.
    pub cost: Cost,
    /// The primitives that are linked: name, how often, what one takes.
    pub parts: Vec<(&'static str, u32, Cost)>,
    /// The fastest known way to do it, and whose it is.
    pub floor: Option<(Duration, &'static str)>,
    /// What this project set itself.
    pub target: Option<Target>,
    /// What [I §8] demands.
    pub limit: Option<Duration>,
}

/// A target of the project.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// At most this long.
    Time(Duration),
    /// At most so many times the sum of the primitives of the same run.
    Ratio(f64),
}

impl Row {
    /// The sum of the primitives, by the wall clock.
    #[must_use]
    pub fn sum(&self) -> Duration {
        self.parts.iter().map(|(_, times, cost)| cost.wall * *times).sum()
    }

    /// How many times the sum it took; none without primitives.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let sum = self.sum();
        (!sum.is_zero()).then(|| self.cost.wall.as_secs_f64() / sum.as_secs_f64())
    }

    fn target(&self) -> Option<String> {
        Some(match self.target? {
            Target::Time(time) => {
                format!("≤ {} {}", Short(time), verdict(self.cost.wall <= time))
            }
            Target::Ratio(most) => {
                let kept = self.ratio().is_some_and(|ratio| ratio <= most);
                format!("≤ {most}× {}", verdict(kept))
            }
        })
    }

    fn limit(&self) -> Option<String> {
        let limit = self.limit?;
        Some(format!("< {} {}", Short(limit), verdict(self.cost.wall < limit)))
    }
}

/// The summary of all rows.
#[must_use]
pub fn summary(rows: &[Row]) -> String {
    let mut out = format!(
        "| what | median | CPU | primitives linked | ratio | fastest known ({FLOORS}) | target | \
         [I §8] |\n|---|---|---|---|---|---|---|---|\n"
    );
    for row in rows {
        let sum = (!row.parts.is_empty()).then(|| Short(row.sum()).to_string());
        let ratio = row.ratio().map(|ratio| format!("{ratio:.2}×"));
        let floor = row.floor.map(|(time, whose)| format!("{} {whose}", Short(time)));
        line(
            &mut out,
            &[
                row.what.clone(),
                Short(row.cost.wall).to_string(),
                Short(row.cost.cpu).to_string(),
                cell(sum),
                cell(ratio),
                cell(floor),
                cell(row.target()),
                cell(row.limit()),
            ],
        );
    }
    out
}

/// What each sum consists of.
#[must_use]
pub fn sums(rows: &[Row]) -> String {
    let mut out = String::from("| sum of | primitives |\n|---|---|\n");
    for row in rows.iter().filter(|row| !row.parts.is_empty()) {
        let parts: Vec<String> = row
            .parts
            .iter()
            .map(|(name, times, cost)| match times {
                1 => format!("{name} {}", Short(cost.wall)),
                _ => format!("{times} × {name} {}", Short(cost.wall)),
            })
            .collect();
        line(&mut out, &[row.what.clone(), parts.join(" + ")]);
    }
    out
}

/// Bytes beside a floor and a target, in megabytes.
#[must_use]
pub fn weights(rows: &[(&str, u64, Option<f64>, Option<f64>)]) -> String {
    let mut out =
        format!("| what | measured | smallest known ({FLOORS}) | target |\n|---|---|---|---|\n");
    for (what, bytes, floor, target) in rows {
        // Display only: a mantissa of 52 bits is enough for megabytes.
        #[expect(clippy::cast_precision_loss, reason = "for display")]
        let mega = *bytes as f64 / 1e6;
        let target = target.map(|most| format!("≤ {most} MB {}", verdict(mega <= most)));
        let floor = floor.map(|floor| format!("{floor} MB"));
        line(&mut out, &[(*what).to_owned(), format!("{mega:.1} MB"), cell(floor), cell(target)]);
    }
    out
}

/// A time in three digits or so.
#[derive(Debug, Clone, Copy)]
pub struct Short(pub Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_secs_f64() * 1e6;
        match micros {
            ..10.0 => write!(f, "{micros:.1} µs"),
            ..1e3 => write!(f, "{micros:.0} µs"),
            ..1e4 => write!(f, "{:.2} ms", micros / 1e3),
            ..1e6 => write!(f, "{:.0} ms", micros / 1e3),
            _ => write!(f, "{} s", micros / 1e6),
        }
    }
}

fn verdict(kept: bool) -> &'static str {
    if kept { "PASS" } else { "FAIL" }
}

fn cell(text: Option<String>) -> String {
    text.unwrap_or_else(|| "–".to_owned())
}

fn line(out: &mut String, cells: &[String]) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "| {} |", cells.join(" | "));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(micros: u64) -> Cost {
        Cost { wall: Duration::from_micros(micros), cpu: Duration::from_micros(micros) }
    }

    fn row() -> Row {
        Row {
            what: "a thing".to_owned(),
            cost: cost(3000),
            parts: vec![("commit", 2, cost(500)), ("sign", 1, cost(500))],
            floor: Some((Duration::from_micros(700), "sum")),
            target: Some(Target::Ratio(2.0)),
            limit: Some(Duration::from_secs(5)),
        }
    }

    #[test]
    fn a_row_stands_beside_its_sum_its_floor_and_its_limits() {
        let table = summary(&[row()]);
        let last = table.lines().last().unwrap();
        let expected = "| a thing | 3.00 ms | 3.00 ms | 1.50 ms | 2.00× | 700 µs sum | \
                        ≤ 2× PASS | < 5 s PASS |";
        assert_eq!(last, expected);
        assert!(sums(&[row()]).ends_with("| a thing | 2 × commit 500 µs + sign 500 µs |\n"));
    }

    #[test]
    fn a_limit_that_is_missed_says_so() {
        let late = Row {
            target: Some(Target::Time(Duration::from_millis(2))),
            limit: Some(Duration::from_millis(3)),
            parts: Vec::new(),
            ..row()
        };
        let table = summary(&[late]);
        assert!(table.ends_with("| – | – | 700 µs sum | ≤ 2.00 ms FAIL | < 3.00 ms FAIL |\n"));
        let heavy = weights(&[("device", 9_000_000, Some(4.2), Some(8.0))]);
        assert!(heavy.ends_with("| device | 9.0 MB | 4.2 MB | ≤ 8 MB FAIL |\n"));
    }

    #[test]
    fn times_are_short() {
        let short = |nanos| Short(Duration::from_nanos(nanos)).to_string();
        assert_eq!(short(1_234), "1.2 µs");
        assert_eq!(short(12_345), "12 µs");
        assert_eq!(short(1_234_567), "1.23 ms");
        assert_eq!(short(500_000_000), "500 ms");
    }
}
