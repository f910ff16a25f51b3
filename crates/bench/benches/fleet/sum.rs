//! The tables.

use core::fmt::Write;
use core::time::Duration;

use zmon_bench::table::Short;
use zmon_domain::limits;

use crate::place::Took;
use crate::work::Works;

/// Devices of the sum.
const MILLION: u64 = 1_000_000;
/// Bytes of a gigabyte.
const GIGA: u64 = 1_000_000_000;
/// Connections of one pairing: the technician's, the station's to the device, the device's.
const CONNECTIONS: u32 = 3;

type Measured = [(&'static str, Works)];

/// What one of each took, and how many times its floor that is.
pub(crate) fn costs(measured: &Measured) -> String {
    let mut out = String::from(
        "| what | database | wall | CPU of the station | CPU of the database's server | floor, CPU \
         of both | times that |\n|---|---|---|---|---|---|---|\n",
    );
    for (name, works) in measured {
        let mut row = |what: &str, took: Took, floor: Option<Duration>| {
            let Took { cost, server } = took;
            let times = floor.map_or_else(
                || "–".to_owned(),
                |floor| format!("{:.1}×", both(took).as_secs_f64() / floor.as_secs_f64()),
            );
            let floor = floor.map_or_else(|| "–".to_owned(), |floor| Short(floor).to_string());
            let (wall, cpu) = (Short(cost.wall), Short(cost.cpu));
            let server = Some(server).filter(|server| !server.is_zero());
            let server = server.map_or_else(|| "–".to_owned(), |server| Short(server).to_string());
            line(
                &mut out,
                &format!("{what} | {name} | {wall} | {cpu} | {server} | {floor} | {times}"),
            );
        };
        row("a row without a chain, committed", works.bare, None);
        row("an audit row, committed", works.row, Some(both(works.bare)));
        row("a request over a connection of its own", works.asked, None);
        row("a request over a kept connection", works.kept, None);
        row("a heartbeat over a kept connection", works.beat, Some(both(works.kept)));
        row("a pairing", works.pairing, Some(pairing_floor(works)));
    }
    out
}

/// A handshake and a request for each connection, and one commit.
fn pairing_floor(works: &Works) -> Duration {
    both(works.asked) * CONNECTIONS + both(works.bare)
}

fn both(took: Took) -> Duration {
    took.cost.cpu + took.server
}

/// What stays of one pairing.
pub(crate) fn kept(measured: &Measured) -> String {
    let mut out =
        String::from("| of one pairing | database | bytes | audit rows |\n|---|---|---|---|\n");
    for (name, works) in measured {
        line(&mut out, &format!("kept | {name} | {} | {}", works.bytes, works.rows));
    }
    out
}

/// A million devices that are on, each paired anew as often as its certificate asks for it.
pub(crate) fn million(measured: &Measured) -> String {
    let mut out = String::from(
        "| sum for 1,000,000 devices | database | processors busy | kept of one pairing each |\n\
         |---|---|---|---|\n",
    );
    let (part, of) = limits::RENEWAL_POINT;
    let renewal = limits::CERT_LIFETIME.default * part / of;
    for (name, works) in measured {
        let mut row = |what: String, busy: f64, bytes: u64| {
            let bytes = if bytes == 0 {
                "–".to_owned()
            } else {
                format!("{} GB", (bytes + GIGA / 2) / GIGA)
            };
            line(&mut out, &format!("{what} | {name} | {busy:.3} | {bytes}"));
        };
        for every in [limits::SYNC_INTERVAL.default, limits::SYNC_INTERVAL.default * 6] {
            let what = format!("heartbeats every {} s", every.as_secs());
            row(what, busy(both(works.beat), every), 0);
        }
        let days = renewal.as_secs() / 86_400;
        let what = format!("certificates renewed every {days} days, counted as pairings");
        row(what, busy(both(works.pairing), renewal), works.bytes * MILLION);
    }
    out
}

/// Processors that are busy when each of a million devices costs so much once in so long.
fn busy(cost: Duration, every: Duration) -> f64 {
    let million = Duration::from_secs(MILLION).as_secs_f64();
    cost.as_secs_f64() * million / every.as_secs_f64()
}

fn line(out: &mut String, cells: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "| {cells} |");
}
