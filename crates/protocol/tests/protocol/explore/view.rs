//! What distinguishes one world from another: everything that decides what may come, and no key, nonce
//! or identifier that was drawn at random.

use std::hash::{Hash, Hasher};

use zmon_domain::error::ErrorCode;
use zmon_protocol::device::StateKind;
use zmon_protocol::station::{CertificateState, SessionPhase};

use super::world::{Bounds, Call, Pending, Session, Stage, World};

/// A world without its secrets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct View {
    left: Option<Bounds>,
    device: Device,
    /// Sessions in the order in which they were opened.
    sessions: Vec<Station>,
    /// State, and whether it was ever committed, in the order of issue.
    certificates: Vec<(CertificateState, bool)>,
    calls: Vec<(Call, Where)>,
    strays: Vec<Call>,
    /// Certificate, whether the answer was to a commit, and what it said.
    outcomes: Vec<(usize, bool, bool)>,
    claims: Vec<(usize, usize)>,
    broken: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Device {
    kind: StateKind,
    /// Certificates of slot A and B, and whether the commit of B is marked sent.
    slots: (Option<usize>, Option<(usize, bool)>),
    window_open: bool,
    /// How many tokens each window has shown.
    windows: Vec<u8>,
    session: Option<usize>,
    attempt: Option<u8>,
    failed: bool,
    finished: Option<usize>,
    generation: u64,
    was_provisioned: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Station {
    scanned: (usize, u8),
    /// None once it is forgotten.
    phase: Option<SessionPhase>,
    /// Whether it has sent its claim and its envelope.
    sent: (bool, bool),
    failures: u8,
    /// Milliseconds to its next timer.
    timer: Option<u128>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Where {
    Sent,
    Held,
    /// What failed, or nothing.
    Answered(Option<ErrorCode>),
}

impl View {
    /// The same, whatever may still happen.
    pub(super) fn what_is(mut self) -> Self {
        self.left = None;
        self
    }
}

impl World {
    pub(super) fn view(&self) -> View {
        let stage = |pending: &Pending| match &pending.stage {
            Stage::Sent => Where::Sent,
            Stage::Held => Where::Held,
            Stage::Answered(answer) => Where::Answered(answer.as_ref().err().copied()),
        };
        View {
            left: Some(self.left),
            device: self.device_view(),
            sessions: self.sessions.iter().map(station).collect(),
            certificates: self.certificates.iter().map(|v| (v.state, v.committed)).collect(),
            calls: self.calls.iter().map(|(call, pending)| (*call, stage(pending))).collect(),
            strays: self.strays.keys().copied().collect(),
            outcomes: self
                .outcomes
                .iter()
                .map(|(number, spoken)| (*number, spoken.to_commit, spoken.committed))
                .collect(),
            claims: self.claims.clone(),
            broken: self.broken,
        }
    }

    fn device_view(&self) -> Device {
        let snapshot = self.device.snapshot(&self.now());
        let kind = self.kind();
        let number = |slot: &zmon_protocol::device::Slot| self.certificate(&slot.serial);
        let staged = self.disk.slot_b.as_ref();
        Device {
            kind,
            slots: (
                self.disk.slot_a.as_ref().and_then(number),
                staged.and_then(|(slot, sent)| Some((number(slot)?, *sent))),
            ),
            window_open: self.disk.window_open,
            windows: self.windows.iter().map(|window| window.drawn).collect(),
            session: snapshot.session_id.and_then(|id| self.session(&id)),
            attempt: snapshot.attempt,
            failed: snapshot.last_error.is_some(),
            finished: self.finished,
            generation: self.disk.generation,
            was_provisioned: self.was_provisioned,
        }
    }
}

fn station(session: &Session) -> Station {
    let machine = session.machine.as_ref();
    let due = machine.and_then(|machine| machine.poll_timeout());
    Station {
        scanned: session.scanned,
        phase: machine.map(|machine| machine.phase()),
        sent: (session.claim.is_some(), session.envelope.is_some()),
        failures: session.failures,
        timer: due.map(|at| at.elapsed().saturating_sub(session.clock).as_millis()),
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.view().hash(state);
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.view().fmt(f)
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.view() == other.view()
    }
}
