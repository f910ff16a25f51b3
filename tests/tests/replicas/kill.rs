//! Devices are being paired at two processes, and one of them is killed half-way, or stands still until the
//! other has taken over what it had.

use core::cmp::Reverse;
use core::fmt;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use zmon_domain::state::ProvisioningState;
use zmon_provisioning::IProvisioningService;
use zmon_testkit::{Seed, SimulatedDevice, wait};

use super::fleet::{Fleet, NAMES};
use super::technician::{self, Attempt, Told};
use super::verdict::{End, Record, breaks};

/// Between two looks at how far everybody is.
const LOOK: Duration = Duration::from_millis(5);
/// How long a device may need to find the station again, after the last technician has gone.
const SETTLING: Duration = Duration::from_secs(120);

/// What happens to the process that has the most at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misfortune {
    /// `kill -9`.
    Kill,
    /// It is stopped where it stands, and goes on when nothing is its own any more.
    Stall,
}

/// How many devices, how many are paired at a time, and what happens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) devices: usize,
    pub(crate) hands: usize,
    pub(crate) misfortune: Misfortune,
}

/// What became of everybody.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) ends: Vec<End>,
    pub(crate) record: Record,
    pub(crate) breaks: Vec<String>,
    broken: u32,
    again: u32,
}

/// How it went.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) all: Gathered,
    /// Devices that had an end when it happened.
    ended_before: usize,
    /// Sessions that the process had then.
    pub(crate) cut: usize,
    /// Of these and others: gone on with by the process that lives.
    pub(crate) taken_over: i64,
    pairing: Duration,
}

/// Runs a plan; the fleet is handed back as it is then.
pub(crate) async fn run(plan: Plan, seed: &Seed) -> (Fleet, Seen) {
    let mut fleet = Fleet::of(plan.devices, plan.hands, NAMES.len(), seed).await;
    let ended = Arc::new(AtomicUsize::new(0));
    let begun = now();
    let attempts = begin(&fleet, &ended);
    let ended_before = until_ended(&fleet, &ended, plan.devices / 2).await;
    // Whoever is being paired now stays so: no certificate can be recorded.
    let stall = fleet.database.stall("certificates").await;
    let busiest = || async { running(&fleet).await.pop_first() };
    let (Reverse(cut), victim) = wait::eventually("a session at work", busiest).await;
    match plan.misfortune {
        Misfortune::Kill => {
            fleet.station.kill(&victim);
            drop(stall);
        }
        Misfortune::Stall => {
            fleet.station.pause(&victim);
            drop(stall);
            let left = || async {
                let has_some = running(&fleet).await.iter().any(|(_, owner)| *owner == victim);
                (!has_some).then_some(())
            };
            wait::eventually("the other to take everything over", left).await;
            fleet.station.resume(&victim);
        }
    }
    let all = gather(&fleet, attempts).await;
    let pairing = now() - begun;
    let taken_over = format!(
        "SELECT count(*) FROM security_audit_log \
         WHERE event_type = 'session_taken_over' AND lane NOT LIKE '%/{victim}'"
    );
    let taken_over = fleet.database.number(&taken_over).await;
    (fleet, Seen { all, ended_before, cut, taken_over, pairing })
}

/// Waits for every technician, and then for the devices; says what became of them.
pub(crate) async fn gather(fleet: &Fleet, mut attempts: JoinSet<(usize, Attempt)>) -> Gathered {
    let mut told = BTreeMap::new();
    let (mut broken, mut again) = (0, 0);
    while let Some(ended) = attempts.join_next().await {
        let (number, attempt) = ended.expect("a technician");
        told.insert(number, attempt.told);
        broken += attempt.broken;
        again += attempt.again;
    }
    let (mut ends, until) = (Vec::new(), now() + SETTLING);
    for (device, told) in fleet.devices.iter().zip(told.values()) {
        settle(device, *told, until).await;
        ends.push(End::of(device, *told).await);
    }
    let record = Record::of(fleet).await;
    let breaks = breaks(&ends, &record);
    Gathered { ends, record, breaks, broken, again }
}

/// Every device gets a technician, as many at a time as there are.
pub(crate) fn begin(fleet: &Fleet, ended: &Arc<AtomicUsize>) -> JoinSet<(usize, Attempt)> {
    let turns = Arc::new(Semaphore::new(fleet.technicians.len()));
    let mut attempts = JoinSet::new();
    for (number, device) in fleet.devices.iter().enumerate() {
        let tablet = fleet.technicians[number % fleet.technicians.len()].clone();
        let (device, turns, ended) = (Arc::clone(device), Arc::clone(&turns), Arc::clone(ended));
        attempts.spawn(async move {
            let _turn = turns.acquire().await.expect("turns");
            let attempt = technician::pair(&tablet, &device).await;
            let so_far = ended.fetch_add(1, Ordering::SeqCst) + 1;
            if so_far % 50 == 0 {
                println!("{so_far} devices");
            }
            (number, attempt)
        });
    }
    attempts
}

/// Waits until so many devices have an end; how many that are then.
async fn until_ended(fleet: &Fleet, ended: &AtomicUsize, half: usize) -> usize {
    loop {
        let so_far = ended.load(Ordering::SeqCst);
        assert!(so_far < fleet.devices.len(), "everybody was done before it happened");
        if so_far >= half {
            return so_far;
        }
        sleep(LOOK).await;
    }
}

/// How many sessions each process runs that runs any, the busiest first.
async fn running(fleet: &Fleet) -> BTreeSet<(Reverse<usize>, String)> {
    let owners = "SELECT owner, CAST(count(*) AS text) FROM sessions \
         WHERE owner <> '' AND phase NOT IN ('paired', 'failed', 'released') GROUP BY owner";
    let owners = fleet.database.pairs(owners).await;
    let number = |text: &str| text.parse().expect("a number");
    owners.into_iter().map(|(owner, count)| (Reverse(number(&count)), owner)).collect()
}

/// A device that was paired finds the station again; one that was refused comes to rest.
async fn settle(device: &SimulatedDevice, told: Told, until: Instant) {
    let mut view = device.service().view();
    let mut link = device.link();
    let rest = async {
        if told == Told::Paired {
            // Closed channels show in what is found.
            let _ended = view.wait_for(|v| v.state == ProvisioningState::Provisioned).await;
            let _ended = link.wait_for(|link| link.connected).await;
        }
    };
    let _late = tokio::time::timeout_at(until, rest).await;
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a report of how long it took")]
    Instant::now()
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.pairing.as_secs_f64();
        writeln!(f, "| what | seen |\n|---|---|")?;
        writeln!(f, "| had an end when it happened to one process | {} |", self.ended_before)?;
        writeln!(f, "| sessions that it had then | {} |", self.cut)?;
        writeln!(f, "| sessions that the other has taken over | {} |", self.taken_over)?;
        writeln!(f, "| seconds from the first scan to rest | {seconds:.1} |")?;
        self.all.rows(f)
    }
}

impl fmt::Display for Gathered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | seen |\n|---|---|")?;
        self.rows(f)
    }
}

impl Gathered {
    fn rows(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ends, record, breaks, broken, again } = self;
        let mut told = BTreeMap::<String, usize>::new();
        for end in ends {
            *told.entry(format!("{:?}", end.told)).or_default() += 1;
        }
        writeln!(f, "| devices | {} |", ends.len())?;
        for (told, count) in told {
            writeln!(f, "| technicians who were told: {told} | {count} |")?;
        }
        writeln!(f, "| requests that broke | {broken} |")?;
        writeln!(f, "| requests that were to come again | {again} |")?;
        let (of, current) = (record.current.len(), record.current.values().map(Vec::len));
        let current: usize = current.sum();
        writeln!(f, "| current certificates, and of how many devices | {current}, {of} |")?;
        let [pending, open, secrets] = record.left;
        writeln!(f, "| certificates pending | {pending} |")?;
        writeln!(f, "| sessions without an end, and kept secrets | {open}, {secrets} |")?;
        let (whole, rows) = (&record.log["success"], &record.log["rows"]);
        let lanes = record.log["lanes"].as_array().map_or(0, Vec::len);
        writeln!(f, "| station's log: whole, rows, lanes | {whole}, {rows}, {lanes} |")?;
        let whole = ends.iter().filter_map(|end| end.rows);
        let (whole, rows) = (whole.clone().count(), whole.sum::<u64>());
        writeln!(f, "| devices' logs that are whole, and their rows | {whole}, {rows} |")?;
        writeln!(f, "| broken promises | {} |", breaks.len())?;
        breaks.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
