//! What an attacker has recorded. TLS would have kept all of it from them: the messages must be safe
//! even so.

use std::sync::Mutex;

use zmon_protocol::device::Pulled;
use zmon_wire::pake::{PakeConfirm, PakeStart};
use zmon_wire::pull::FetchRequest;
use zmon_wire::session::SessionOpen;

use crate::chance::Chance;
use crate::lock;

/// A recorded request.
#[derive(Debug, Clone)]
pub(crate) enum Taped {
    /// Hello and claim, to a device.
    Open(SessionOpen),
    /// A run of a typed code, to a device.
    PakeStart(PakeStart),
    /// Its end.
    PakeConfirm(PakeConfirm),
    /// A sealed configuration, to a device.
    Envelope(Vec<u8>),
    /// A question for an outcome, to the station.
    Ask(String),
    /// A request for a recovery.
    Recover(String),
    /// An identity document that fetches an envelope.
    Fetch(FetchRequest),
    /// Last words about certificates.
    Retire(String),
}

/// A recorded answer that its reader verifies.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// A signed outcome.
    Outcome(Vec<u8>),
    /// A hello, and the secret beside it.
    Pulled(Pulled),
    /// An envelope.
    Envelope(Vec<u8>),
    /// A device's identity document.
    Identity(String),
    /// A device's signed status.
    Status(String),
}

/// The tape. It grows with the run and is not wound back by any crash.
pub(crate) struct Tape {
    chance: Chance,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    requests: Vec<Taped>,
    answers: Vec<Answer>,
    /// Answers that will be replaced by recorded ones.
    swaps: u32,
}

impl Tape {
    /// An empty tape.
    #[must_use]
    pub(crate) fn new(chance: Chance) -> Self {
        Self { chance, inner: Mutex::default() }
    }

    /// Records a request.
    pub(crate) fn request(&self, request: Taped) {
        lock(&self.inner).requests.push(request);
    }

    /// Any recorded request.
    #[must_use]
    pub(crate) fn any(&self) -> Option<Taped> {
        let inner = lock(&self.inner);
        inner.requests.get(self.chance.index(inner.requests.len())).cloned()
    }

    /// The next `count` answers are replaced by recorded ones of their kind.
    pub(crate) fn swap_next(&self, count: u32) {
        lock(&self.inner).swaps = count;
    }

    /// Records an answer, and gives back the one that arrives.
    #[must_use]
    pub(crate) fn answer(&self, answer: Answer) -> Answer {
        let mut inner = lock(&self.inner);
        let kind = core::mem::discriminant(&answer);
        let same: Vec<_> = inner
            .answers
            .iter()
            .filter(|old| core::mem::discriminant(*old) == kind)
            .cloned()
            .collect();
        inner.answers.push(answer.clone());
        if inner.swaps > 0
            && let Some(old) = same.get(self.chance.index(same.len()))
        {
            inner.swaps -= 1;
            return old.clone();
        }
        answer
    }
}
