//! A technician who has one device paired: asks, and asks again as long as that may help.

use core::time::Duration;

use http::StatusCode;
use tokio::time::{sleep, timeout};
use zmon_domain::error::ErrorCode;
use zmon_testkit::{Operator, SimulatedDevice};
use zmon_transport::client::{Answer, Ask, ClientError};
use zmon_wire::problem::Problem;
use zmon_wire::qr::QrContent;
use zmon_wire::strict;

/// How long a technician stays at a bed. A session that its process has left is taken over after 15 s.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(250);
/// Longest answer that is read, in bytes.
const ANSWER_MAX: usize = 1 << 20;

/// What the technician was told in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The answer of [W §11.3].
    Paired,
    /// No, and why.
    Refused(ErrorCode),
    /// Nothing that helps.
    Nothing,
}

/// An attempt at one device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) told: Told,
    /// Requests whose connection broke.
    pub(crate) broken: u32,
    /// Requests that were told to come back, and answers that were none yet.
    pub(crate) again: u32,
}

/// Has a device paired by the code on its screen.
pub(crate) async fn pair(tablet: &Operator, device: &SimulatedDevice) -> Attempt {
    let qr = device.open_window().await;
    let mut attempt = Attempt { told: Told::Nothing, broken: 0, again: 0 };
    let asked = ask(tablet, &qr, &mut attempt);
    if let Ok(told) = timeout(PATIENCE, asked).await {
        attempt.told = told;
    }
    attempt
}

async fn ask(tablet: &Operator, qr: &QrContent, attempt: &mut Attempt) -> Told {
    loop {
        match verdict(tablet.try_pair(qr).await) {
            Verdict::Told(told) => return told,
            Verdict::Session(path) => match verdict(tablet.try_send(Ask::get(&path)).await) {
                Verdict::Told(told) => return told,
                Verdict::Broken => attempt.broken += 1,
                Verdict::Again | Verdict::Session(_) => attempt.again += 1,
            },
            Verdict::Broken => attempt.broken += 1,
            Verdict::Again => attempt.again += 1,
        }
        sleep(AGAIN).await;
    }
}

enum Verdict {
    Told(Told),
    /// The code was used by the technician's own session, whose end is told there.
    Session(String),
    Again,
    Broken,
}

fn verdict(answer: Result<Answer, ClientError>) -> Verdict {
    let Ok(answer) = answer else { return Verdict::Broken };
    match answer.status {
        StatusCode::OK => return Verdict::Told(Told::Paired),
        StatusCode::ACCEPTED => return Verdict::Again,
        _ => {}
    }
    let Ok(problem) = strict::parse::<Problem>(&answer.body, ANSWER_MAX) else {
        return Verdict::Broken;
    };
    match problem.instance {
        Some(path) if problem.code == ErrorCode::PairingCodeConsumed => Verdict::Session(path),
        _ if is_passing(problem.code) => Verdict::Again,
        _ => Verdict::Told(Told::Refused(problem.code)),
    }
}

/// Whether a refusal says to come back: nothing was done, and the same request is good later.
fn is_passing(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::StorageUnavailable | ErrorCode::StateConflict)
}
