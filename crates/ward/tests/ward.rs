//! Wards that hold, and wards with a bug that do not.

#![expect(clippy::panic, reason = "a panic is the report")]

use zmon_ward::{Bug, Counts, Outcome, Plan, STEPS, run, shrink};

/// Seeds of runs that once broke something: one a line, `#` and what it was.
const KEPT: &str = include_str!("seeds.txt");

/// Seeds of every test run. Enough that everything counted below happens.
const FIXED: core::ops::Range<u64> = 100..108;

fn good(seed: u64) -> Outcome {
    let outcome = run(&Plan::of(seed), None);
    let tail: Vec<_> = outcome.lines.iter().rev().take(30).rev().collect();
    assert_eq!(outcome.first(), None, "seed {seed}: {tail:#?}");
    outcome
}

#[test]
fn the_same_seed_is_the_same_run() {
    let (one, two) = (good(7), good(7));
    assert_eq!(one, two);
    assert!(one.lines.len() > 100, "{} lines", one.lines.len());
    assert_ne!(one.trace, good(9).trace);
}

#[test]
fn wards_hold_and_much_happens_in_them() {
    let mut sum = Counts::default();
    FIXED.for_each(|seed| sum.add(&good(seed).counts));
    let Counts { commits, flips, revocations, answers, refused_revoked, attacks, crashes, .. } =
        sum;
    for count in [commits, flips, revocations, answers, refused_revoked, attacks, crashes] {
        assert!(count > 0, "{sum:?}");
    }
    assert!(sum.station_records > 100 && sum.device_records > 100, "{sum:?}");
}

#[test]
fn what_broke_once_holds() {
    let seeds = KEPT.lines().filter_map(|line| line.split('#').next()).map(str::trim);
    for seed in seeds.filter(|seed| !seed.is_empty()) {
        good(seed.parse().unwrap());
    }
}

/// A seed that nobody has seen, when it is asked for: `ZMON_WARD_FRESH=1`.
#[test]
fn a_fresh_ward_holds() {
    #[expect(clippy::disallowed_methods, reason = "how CI asks for it")]
    let asked = std::env::var_os("ZMON_WARD_FRESH").is_some();
    if asked {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap();
        let seed = u64::try_from(since.as_millis()).unwrap();
        println!("fresh ward: seed {seed}");
        good(seed);
    }
}

#[test]
fn a_plan_is_bounded_and_its_own() {
    for seed in 0..200 {
        let plan = Plan::of(seed);
        assert!((20..=STEPS).contains(&plan.steps.len()), "seed {seed}");
        assert_eq!(plan, Plan::of(seed));
    }
    assert_ne!(Plan::of(1), Plan::of(2));
}

/// What the first seed that shows it says.
fn found(bug: Bug) -> String {
    let outcomes = (1..40).map(|seed| run(&Plan::of(seed), Some(bug)));
    let broken = outcomes.filter_map(|outcome| Some(outcome.first()?.what.clone())).next();
    broken.unwrap_or_else(|| panic!("{} was not found", bug.as_str()))
}

#[test]
fn a_skipped_row_is_found() {
    assert!(found(Bug::SkipAudit).starts_with("no audit row for Certificate"));
}

#[test]
fn a_flip_before_the_proof_is_found() {
    assert!(found(Bug::FlipBeforeProof).ends_with("flips without the station's commit"));
}

#[test]
fn a_forgotten_revocation_is_found() {
    assert!(found(Bug::ForgetRevoke).starts_with("forgotten revocation"));
}

#[test]
fn an_old_token_is_found() {
    assert!(found(Bug::AcceptOldToken).starts_with("old token"));
}

#[test]
fn a_double_issue_is_found() {
    assert!(found(Bug::DoubleIssue).starts_with("double issue"));
}

#[test]
fn a_wrong_slot_is_found() {
    assert!(found(Bug::WrongSlot).ends_with("which is committed"));
}

#[test]
fn a_counter_that_is_rolled_back_is_found() {
    assert!(found(Bug::RolledBackCounter).ends_with("a counter went back over a restart"));
}

#[test]
fn a_failing_plan_is_cut_down_and_still_fails() {
    let plan = Plan::of(1);
    let short = shrink(&plan, Some(Bug::DoubleIssue), 40);
    assert!(short.steps.len() < plan.steps.len() / 2, "{short}");
    assert_ne!(run(&short, Some(Bug::DoubleIssue)).first(), None);
    assert_eq!(run(&short, None).first(), None);
}
