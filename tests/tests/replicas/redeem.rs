//! One code, and many operators who redeem it at the same instant: one of them gets the device.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use zmon_domain::error::ErrorCode;
use zmon_domain::state::ProvisioningState;
use zmon_testkit::{Operator, Seed};
use zmon_transport::client::{Answer, ClientError};
use zmon_wire::problem::Problem;
use zmon_wire::qr::QrContent;
use zmon_wire::strict;

use super::fleet::Fleet;
use super::technician::Told;
use super::verdict::{End, Record, breaks};

/// Longest answer that is read, in bytes.
const ANSWER_MAX: usize = 1 << 20;

/// How many codes, how many operators at each, and how many processes they ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) codes: usize,
    pub(crate) hands: usize,
    pub(crate) processes: usize,
}

/// How it went.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) plan: Plan,
    /// Answers, by what they said.
    answers: BTreeMap<String, usize>,
    /// Codes that anything but one operator redeemed.
    pub(crate) wrong: Vec<String>,
    /// What is not as it must be in the end.
    pub(crate) breaks: Vec<String>,
    /// Claims, paired sessions and certificates in the record.
    pub(crate) recorded: [i64; 3],
}

/// Runs a plan on one device that is provisioned again with each code.
pub(crate) async fn run(plan: Plan, seed: &Seed) -> Seen {
    let fleet = Fleet::of(1, plan.hands, plan.processes, seed).await;
    let [device] = &fleet.devices[..] else { panic!("one device") };
    let (mut answers, mut wrong) = (BTreeMap::new(), Vec::new());
    for code in 1..=plan.codes {
        let qr = device.open_window().await;
        let mut won = 0;
        for answer in at_once(&fleet.technicians, &qr).await {
            let said = said(&answer);
            won += usize::from(said == Ok(()));
            let said = said.map_or_else(|why| why, |()| "paired".to_owned());
            *answers.entry(said).or_default() += 1;
        }
        if won != 1 {
            wrong.push(format!("code {code}: {won} operators redeemed it: {answers:?}"));
        }
        device.until_state(ProvisioningState::Provisioned).await;
        device.until_connected().await;
        if code % 50 == 0 {
            println!("{code} codes");
        }
    }
    let ends = [End::of(device, Told::Paired).await];
    let record = Record::of(&fleet).await;
    let mut recorded = [0; 3];
    let queries = [
        "SELECT count(*) FROM claimed_tokens",
        "SELECT count(*) FROM sessions WHERE phase = 'paired'",
        "SELECT count(*) FROM certificates WHERE committed_at IS NOT NULL",
    ];
    for (count, query) in recorded.iter_mut().zip(queries) {
        *count = fleet.database.number(query).await;
    }
    Seen { plan, answers, wrong, breaks: breaks(&ends, &record), recorded }
}

/// Everybody asks at the same instant.
async fn at_once(tablets: &[Operator], qr: &QrContent) -> Vec<Result<Answer, ClientError>> {
    let start = Arc::new(Barrier::new(tablets.len()));
    let mut asking = JoinSet::new();
    for tablet in tablets {
        let (tablet, qr, start) = (tablet.clone(), qr.clone(), Arc::clone(&start));
        asking.spawn(async move {
            start.wait().await;
            tablet.try_pair(&qr).await
        });
    }
    asking.join_all().await
}

/// What an answer says: paired, or why not.
fn said(answer: &Result<Answer, ClientError>) -> Result<(), String> {
    let answer = answer.as_ref().map_err(ToString::to_string)?;
    if answer.status == StatusCode::OK {
        return Ok(());
    }
    let problem = strict::parse::<Problem>(&answer.body, ANSWER_MAX);
    Err(problem
        .map_or_else(|_| format!("status {}", answer.status), |problem| problem.code.to_string()))
}

impl Seen {
    /// Answers that are neither the success nor the two refusals of whoever came second.
    pub(crate) fn strange(&self) -> Vec<&str> {
        let known = [
            "paired",
            ErrorCode::SessionReserved.as_str(),
            ErrorCode::PairingCodeConsumed.as_str(),
        ];
        self.answers.keys().map(String::as_str).filter(|said| !known.contains(said)).collect()
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { codes, hands, processes } = self.plan;
        writeln!(f, "| what | seen |\n|---|---|")?;
        writeln!(f, "| codes, operators at each, processes | {codes}, {hands}, {processes} |")?;
        for (said, count) in &self.answers {
            writeln!(f, "| answered: {said} | {count} |")?;
        }
        let [claims, paired, certificates] = self.recorded;
        writeln!(f, "| claims, pairings, certificates | {claims}, {paired}, {certificates} |")?;
        writeln!(f, "| codes not redeemed exactly once | {} |", self.wrong.len())?;
        writeln!(f, "| broken promises | {} |", self.breaks.len())?;
        self.wrong.iter().chain(&self.breaks).try_for_each(|line| writeln!(f, "{line}"))
    }
}
