//! Tables in Markdown.

use core::fmt::{self, Write};
use core::time::Duration;

use crate::sample::Cost;

/// When the programs that others wrote were weighed, and on what.
pub const FIGURES: &str = "2026-11-23, 2 vCPU";

/// One operation of a sum: its name, how often, what one takes.
pub type Part = (&'static str, u32, Cost);

/// One measured thing and what it stands beside.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// What it took.
    pub cost: Cost,
    /// The primitives that are linked, as often as they are called.
    pub linked: Vec<Part>,
    /// The operations that nobody can leave out, each by the fastest library known, in the same run.
    pub fastest: Vec<Part>,
    /// What this project set itself.
    pub target: Option<Target>,
    /// What [I §8] demands.
    pub limit: Option<Duration>,
}

/// A target of the project.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// At most this long by the wall clock.
    Wall(Duration),
    /// At most so much CPU time.
    Cpu(Duration),
    /// At most so many times the fastest known way, by the wall clock.
    Ratio(f64),
}

impl Row {
    /// The sum of the primitives that are linked; none without any.
    #[must_use]
    pub fn linked(&self) -> Option<Cost> {
        (!self.linked.is_empty()).then(|| sum(&self.linked))
    }

    /// What the fastest known way takes; none where none is known.
    #[must_use]
    pub fn fastest(&self) -> Option<Cost> {
        (!self.fastest.is_empty()).then(|| sum(&self.fastest))
    }

    fn times(&self, other: Cost) -> Times {
        Times { wall: ratio(self.cost.wall, other.wall), cpu: ratio(self.cost.cpu, other.cpu) }
    }

    fn target(&self) -> Option<String> {
        Some(match self.target? {
            Target::Wall(time) => format!("≤ {} {}", Short(time), verdict(self.cost.wall <= time)),
            Target::Cpu(time) => {
                format!("≤ {} CPU {}", Short(time), verdict(self.cost.cpu <= time))
            }
            Target::Ratio(most) => {
                let times = self.fastest().and_then(|fastest| self.times(fastest).wall);
                format!("≤ {most}× {}", verdict(times.is_some_and(|times| times <= most)))
            }
        })
    }

    fn limit(&self) -> Option<String> {
        let limit = self.limit?;
        Some(format!("< {} {}", Short(limit), verdict(self.cost.wall < limit)))
    }
}

fn sum(parts: &[Part]) -> Cost {
    parts.iter().fold(Cost::default(), |sum, (_, times, cost)| Cost {
        wall: sum.wall + cost.wall * *times,
        cpu: sum.cpu + cost.cpu * *times,
    })
}

fn ratio(time: Duration, other: Duration) -> Option<f64> {
    (!other.is_zero() && !time.is_zero()).then(|| time.as_secs_f64() / other.as_secs_f64())
}

/// How many times as long, by each clock that ran.
struct Times {
    wall: Option<f64>,
    cpu: Option<f64>,
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wall = self.wall.map(|times| format!("{}×", up(times)));
        let cpu = self.cpu.map(|times| format!("CPU {}×", up(times)));
        f.write_str(&[wall, cpu].into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// The wall time, or the CPU time of what has no other.
fn time(cost: Cost) -> Short {
    Short(if cost.wall.is_zero() { cost.cpu } else { cost.wall })
}

/// Two decimals, rounded away from what flatters.
fn up(ratio: f64) -> String {
    format!("{:.2}", (ratio * 100.0).ceil() / 100.0)
}

/// The summary of all rows.
#[must_use]
pub fn summary(rows: &[Row]) -> String {
    let mut out = String::from(
        "| what | wall | CPU | primitives linked | times that | fastest known | times that | target \
         | [I §8] |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let (linked, fastest) = (row.linked(), row.fastest());
        let times = |other: Option<Cost>| other.map(|other| row.times(other));
        let wall = Some(row.cost.wall).filter(|wall| !wall.is_zero());
        line(
            &mut out,
            &[
                row.what.clone(),
                cell(wall.map(Short)),
                Short(row.cost.cpu).to_string(),
                cell(linked.map(time)),
                cell(times(linked)),
                cell(fastest.map(time)),
                cell(times(fastest)),
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
    let mut out = String::from("| sum of | primitives linked | fastest known |\n|---|---|---|\n");
    for row in rows {
        let [linked, fastest] =
            [&row.linked, &row.fastest].map(|parts| (!parts.is_empty()).then(|| named(parts)));
        if linked.is_some() || fastest.is_some() {
            line(&mut out, &[row.what.clone(), cell(linked), cell(fastest)]);
        }
    }
    out
}

fn named(parts: &[Part]) -> String {
    let parts = parts.iter().map(|(name, times, cost)| match times {
        1 => format!("{name} {}", time(*cost)),
        _ => format!("{times} × {name} {}", time(*cost)),
    });
    parts.collect::<Vec<_>>().join(" + ")
}

/// A number of bytes and what it stands beside.
#[derive(Debug, Clone, Default)]
pub struct Weight {
    /// What was weighed.
    pub what: String,
    /// Its bytes.
    pub bytes: u64,
    /// The bytes of the libraries alone, in the same run.
    pub linked: Option<u64>,
    /// The smallest known, in megabytes, see [`FIGURES`].
    pub smallest: Option<f64>,
    /// What this project set itself, in megabytes.
    pub target: Option<f64>,
}

/// Bytes beside the libraries alone, the smallest known and a target, in megabytes.
#[must_use]
pub fn weights(rows: &[Weight]) -> String {
    let mut out = format!(
        "| what | measured | libraries alone | times that | smallest known ({FIGURES}) | target |\n\
         |---|---|---|---|---|---|\n"
    );
    for Weight { what, bytes, linked, smallest, target } in rows {
        let mega = mega(*bytes);
        let linked = linked.map(self::mega);
        line(
            &mut out,
            &[
                what.clone(),
                format!("{mega:.1} MB"),
                cell(linked.map(|linked| format!("{linked:.1} MB"))),
                cell(linked.map(|linked| format!("{}×", up(mega / linked)))),
                cell(smallest.map(|smallest| format!("{smallest} MB"))),
                cell(target.map(|most| format!("≤ {most} MB {}", verdict(mega <= most)))),
            ],
        );
    }
    out
}

/// Display only: a mantissa of 52 bits is enough for megabytes.
#[expect(clippy::cast_precision_loss, reason = "for display")]
fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
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

fn cell(content: Option<impl fmt::Display>) -> String {
    content.map_or_else(|| "–".to_owned(), |content| content.to_string())
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
            cost: Cost { cpu: Duration::from_micros(1000), ..cost(3000) },
            linked: vec![("commit", 2, cost(500)), ("sign", 1, cost(500))],
            fastest: vec![("commit", 1, cost(500)), ("sign", 2, cost(125))],
            target: Some(Target::Ratio(4.0)),
            limit: Some(Duration::from_secs(5)),
        }
    }

    fn last(table: &str) -> &str {
        table.lines().last().unwrap()
    }

    #[test]
    fn a_row_stands_beside_its_sums_and_its_limits() {
        let expected = "| a thing | 3.00 ms | 1.00 ms | 1.50 ms | 2.00×, CPU 0.67× | 750 µs | \
                        4.00×, CPU 1.34× | ≤ 4× PASS | < 5 s PASS |";
        assert_eq!(last(&summary(&[row()])), expected);
        let expected =
            "| a thing | 2 × commit 500 µs + sign 500 µs | commit 500 µs + 2 × sign 125 µs |";
        assert_eq!(last(&sums(&[row()])), expected);
    }

    #[test]
    fn what_has_no_wall_time_stands_beside_cpu_time() {
        let cpu = Cost { wall: Duration::ZERO, cpu: Duration::from_micros(300) };
        let row = Row { cost: cpu, linked: vec![("sign", 2, cpu)], fastest: Vec::new(), ..row() };
        let target = Some(Target::Cpu(Duration::from_micros(300)));
        let expected = "| a thing | – | 300 µs | 600 µs | CPU 0.50× | – | – | ≤ 300 µs CPU PASS |";
        let row = [Row { target, limit: None, ..row }];
        assert!(last(&summary(&row)).starts_with(expected), "{}", summary(&row));
        assert_eq!(last(&sums(&row)), "| a thing | 2 × sign 300 µs | – |");
    }

    #[test]
    fn the_limits_of_the_specification_are_passed_below_and_failed_at_them() {
        let limited = |took: u64, limit: u64| {
            let limit = Some(Duration::from_micros(limit));
            let row = Row { target: None, limit, ..row() };
            let table = summary(&[Row { cost: cost(took), ..row }]);
            table.contains("PASS |\n") && !table.contains("FAIL")
        };
        // [I §8]: QR code below 500 ms, configuration applied below 5 s.
        for limit in [500_000, 5_000_000] {
            assert!(limited(limit - 1, limit));
            assert!(!limited(limit, limit));
            assert!(!limited(limit + 1, limit));
        }
    }

    #[test]
    fn a_target_is_reached_at_it_by_its_own_clock() {
        let at = |target, wall: u64, cpu: u64| {
            let cost = Cost { wall: Duration::from_micros(wall), cpu: Duration::from_micros(cpu) };
            Row { cost, target: Some(target), ..row() }.target().unwrap().ends_with("PASS")
        };
        let wall = Target::Wall(Duration::from_micros(100));
        assert!(at(wall, 100, 900) && !at(wall, 101, 1));
        let cpu = Target::Cpu(Duration::from_micros(100));
        assert!(at(cpu, 900, 100) && !at(cpu, 1, 101));
        assert!(at(Target::Ratio(2.0), 1500, 9000) && !at(Target::Ratio(2.0), 1501, 1));
        assert!(!Row { fastest: Vec::new(), ..row() }.target().unwrap().contains("PASS"));
        let heavy = Weight {
            what: "device".to_owned(),
            bytes: 9_000_000,
            linked: Some(6_000_000),
            smallest: Some(4.2),
            target: Some(8.0),
        };
        let light = Weight { what: "zmon".to_owned(), bytes: 8_000_000, ..Weight::default() };
        let table = weights(&[heavy, light]);
        assert!(table.contains("\n| device | 9.0 MB | 6.0 MB | 1.50× | 4.2 MB | ≤ 8 MB FAIL |\n"));
        assert!(table.ends_with("\n| zmon | 8.0 MB | – | – | – | – |\n"));
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
