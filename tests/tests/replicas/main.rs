//! Two processes of a station on one PostgreSQL, and what may happen to them. Shares of what these do at
//! length: `cargo run -p zmon-tests --example replicas -- kill 500`, `… -- redeem 1000 64 2`, `… -- outage 8 10`.

#![expect(clippy::print_stdout, reason = "seed and report of a run")]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed run is its report"
)]

mod fleet;
mod kill;
mod outage;
mod redeem;
mod technician;
mod verdict;

use core::time::Duration;

use zmon_testkit::Seed;

use technician::Told;
use verdict::{End, Record, breaks};

/// How many were paired: a refusal has a reason, and is not what a ward is there for.
fn paired(ends: &[End]) -> usize {
    ends.iter().filter(|end| end.told == Told::Paired).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_processes_is_killed_and_every_device_has_one_end() {
    let plan = kill::Plan { devices: 12, hands: 6, misfortune: kill::Misfortune::Kill };
    let (fleet, seen) = kill::run(plan, &Seed::from_environment()).await;
    println!("{seen}");
    assert!(seen.all.breaks.is_empty(), "{seen}");
    assert!(seen.cut > 0, "it had something to lose");
    assert!(paired(&seen.all.ends) > 8, "{seen}");
    for name in fleet::NAMES {
        let log = fleet.station.log(name);
        assert!(!log.contains("no transaction"), "that records collide is no news: {log}");
    }

    // And what is looked at can be seen to be broken.
    let ends = &seen.all.ends;
    let statements = "ALTER TABLE certificates DISABLE TRIGGER USER; \
        UPDATE certificates SET state = 'revoked', revoked_at = 0, reason = 'administrator' \
        WHERE serial = (SELECT serial FROM certificates WHERE state = 'current' LIMIT 1); \
        ALTER TABLE security_audit_log DISABLE TRIGGER USER; \
        DELETE FROM security_audit_log WHERE lane LIKE '%/south' AND seq = 3";
    fleet.database.run(statements).await;
    let found = breaks(ends, &Record::of(&fleet).await);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("not exactly one current certificate"), "{found:?}");
    assert!(found[1].contains("its log"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_processes_stands_still_and_changes_nothing_that_was_taken_over() {
    let plan = kill::Plan { devices: 12, hands: 6, misfortune: kill::Misfortune::Stall };
    let (_fleet, seen) = kill::run(plan, &Seed::from_environment()).await;
    println!("{seen}");
    assert!(seen.all.breaks.is_empty(), "{seen}");
    assert!(seen.cut > 0 && seen.taken_over > 0, "{seen}");
    assert!(paired(&seen.all.ends) > 6, "{seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_code_is_redeemed_once_at_one_process_and_at_two() {
    for processes in [1, 2] {
        let plan = redeem::Plan { codes: 2, hands: 16, processes };
        let seen = redeem::run(plan, &Seed::from_environment()).await;
        println!("{seen}");
        assert!(seen.wrong.is_empty() && seen.breaks.is_empty(), "{seen}");
        assert_eq!(seen.strange(), [""; 0], "{seen}");
        assert_eq!(seen.recorded, [2; 3], "{seen}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_lose_their_database_and_go_on_when_it_is_back() {
    let plan = outage::Plan { devices: 4, hold: Duration::ZERO };
    let seen = outage::run(plan, &Seed::from_environment()).await;
    println!("{seen}");
    assert!(seen.breaks.is_empty(), "{seen}");
    assert!(paired(&seen.ends) > 2, "{seen}");
}
