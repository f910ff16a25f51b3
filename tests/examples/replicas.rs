//! Two processes of the shipped `mock-central-station` on one PostgreSQL, simulated devices that pair over real
//! sockets, and what may happen to them; ends with 1 when a promise is broken.
//!
//! ```text
//! cargo build --bins
//! cargo run -p zmon-tests --example replicas -- kill 500       one process is killed with -9 half-way
//! cargo run -p zmon-tests --example replicas -- stall 100      one process stands still until it has lost all
//! cargo run -p zmon-tests --example replicas -- redeem 1000 64 2   64 operators redeem each code at once, at 2
//! cargo run -p zmon-tests --example replicas -- outage 8 10    no database for ten seconds
//! ```
//!
//! It makes a database of its own and drops it, and stops by itself after half an hour. The server is named by
//! `ZMON_TEST_POSTGRES`.
#![expect(clippy::print_stdout, reason = "its report")]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed run is its report"
)]

#[path = "../tests/replicas/fleet.rs"]
mod fleet;
#[path = "../tests/replicas/kill.rs"]
mod kill;
#[path = "../tests/replicas/outage.rs"]
mod outage;
#[path = "../tests/replicas/redeem.rs"]
mod redeem;
#[path = "../tests/replicas/technician.rs"]
mod technician;
#[path = "../tests/replicas/verdict.rs"]
mod verdict;

use core::time::Duration;
use std::process::ExitCode;

use kill::Misfortune;
use zmon_testkit::Seed;

/// After so long it is stuck.
const MOST: Duration = Duration::from_mins(30);
/// Technicians who pair at a time.
const HANDS: usize = 16;

#[tokio::main]
async fn main() -> ExitCode {
    let seed = Seed::from_environment();
    println!("ZMON_SEED={}", seed.number());
    let argument = |place: usize| std::env::args().nth(place);
    let number = |place: usize, usual: usize| {
        argument(place).map_or(usual, |text| text.parse().expect("a whole number"))
    };
    let run = async {
        match argument(1).as_deref() {
            Some(verb @ ("kill" | "stall")) => {
                let misfortune = if verb == "kill" { Misfortune::Kill } else { Misfortune::Stall };
                let (devices, hands) = (number(2, 500), number(3, HANDS));
                let plan = kill::Plan { devices, hands, misfortune };
                let (_fleet, seen) = kill::run(plan, &seed).await;
                print!("{seen}");
                seen.all.breaks.is_empty() && seen.cut > 0 && seen.taken_over > 0
            }
            Some("redeem") => {
                let (codes, hands, processes) = (number(2, 1000), number(3, 64), number(4, 2));
                let seen = redeem::run(redeem::Plan { codes, hands, processes }, &seed).await;
                print!("{seen}");
                let all = i64::try_from(codes).is_ok_and(|codes| seen.recorded == [codes; 3]);
                all && seen.wrong.is_empty() && seen.breaks.is_empty() && seen.strange().is_empty()
            }
            Some("outage") => {
                let hold = Duration::from_secs(u64::try_from(number(3, 10)).expect("seconds"));
                let seen = outage::run(outage::Plan { devices: number(2, 8), hold }, &seed).await;
                print!("{seen}");
                seen.breaks.is_empty()
            }
            other => panic!("kill, stall, redeem or outage, not {other:?}"),
        }
    };
    match tokio::time::timeout(MOST, run).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(_elapsed) => {
            println!("not done after {MOST:?}");
            ExitCode::FAILURE
        }
    }
}
