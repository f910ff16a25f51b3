//! Certificates that the device gives up: a signed statement waits until their station has it (D21).
//!
//! The queue outlives every wipe. An entry leaves it for one reason only: the station took it.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use zmon_crypto::jws::{self, Typ};
use zmon_domain::address::ServerUrl;
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{Serial, StationId, Thumbprint};
use zmon_domain::limits;
use zmon_domain::role::Actor;
use zmon_domain::time::Tick;
use zmon_wire::kind::V1;
use zmon_wire::retire::{RetireReason, RetireStatement};
use zmon_wire::strict;

use super::doubt;
use super::input::LinkError;
use super::machine::Core;
use super::output::{DeviceAction, DeviceWrite};
use super::slot::Loaded;
use super::state::State;
use super::step::{Outcome, Step, done};

/// A statement that waits, and how to reach the station that it is for. Nothing in it is secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Retirement {
    /// Counts up with every statement; part of the signed bytes.
    pub counter: u64,
    /// The statement (`zp-retire+jws`, compact).
    pub statement: String,
    /// Where the station is.
    pub server_url: ServerUrl,
    /// Certificates the server's chain must end in, DER.
    pub ca: Vec<Vec<u8>>,
    /// SHA-256 of the server's SPKI, checked besides the chain.
    pub server_pin: Option<Thumbprint>,
}

/// What waits, and how far its delivery is.
#[derive(Clone, Default)]
pub(super) struct Queue {
    /// The highest counter ever used.
    counter: u64,
    waiting: VecDeque<Waiting>,
    progress: Progress,
}

#[derive(Clone)]
struct Waiting {
    entry: Arc<Retirement>,
    /// The refusal is written down; the next one is not.
    refused: bool,
}

/// How far the delivery of the first entry is.
#[derive(Clone, Copy)]
enum Progress {
    /// The next attempt begins at `at`.
    Pause { tried: u32, at: Tick },
    /// `SendRetire` runs.
    Sending { tried: u32, guard: Tick },
}

impl Default for Progress {
    fn default() -> Self {
        Self::Pause { tried: 0, at: Tick::ZERO }
    }
}

impl Queue {
    /// What storage held: the first attempt begins at once.
    pub(super) fn restore(entries: Vec<Retirement>, counter: u64) -> Self {
        let counter = entries.iter().map(|entry| entry.counter).fold(counter, u64::max);
        let mut queue = Self { counter, ..Self::default() };
        entries.into_iter().for_each(|entry| queue.push(entry));
        queue
    }

    /// How many statements wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// When the queue wants the machine's `Timeout`.
    pub(super) fn due(&self) -> Option<Tick> {
        self.waiting.front().map(|_| match self.progress {
            Progress::Pause { at, .. } => at,
            Progress::Sending { guard, .. } => guard,
        })
    }

    fn push(&mut self, entry: Retirement) {
        self.waiting.push_back(Waiting { entry: Arc::new(entry), refused: false });
    }
}

/// Signs a statement for each station of `slots` and queues it, in the record of this step.
///
/// # Errors
/// `KeyStoreUnavailable` when the identity key does not sign: then nothing may be wiped.
pub(super) fn queue(
    core: &mut Core,
    step: &mut Step<'_>,
    actor: &Actor,
    reason: RetireReason,
    slots: &[Arc<Loaded>],
) -> Result<(), ErrorCode> {
    let mut stations: Vec<(&StationId, Vec<&Arc<Loaded>>)> = Vec::new();
    // A simulated station is gone with its process, and its certificates count nowhere (D20).
    for slot in slots.iter().filter(|slot| !slot.is_simulated()) {
        match stations.iter_mut().find(|(station, _)| **station == slot.station_id) {
            Some((_, same)) => same.push(slot),
            None => stations.push((&slot.station_id, Vec::from([slot]))),
        }
    }
    let mut entries = Vec::new();
    let mut counter = core.retire.counter;
    for (_, slots) in stations {
        let Some(first) = slots.first() else { continue };
        counter = counter.saturating_add(1);
        let serials: Vec<Serial> = slots.iter().map(|slot| slot.slot.serial).collect();
        let statement = sign(step, counter, reason, serials.clone())?;
        let entry = Retirement {
            counter,
            statement,
            server_url: first.credentials.server_url.clone(),
            ca: first.credentials.ca.clone(),
            server_pin: first.credentials.server_pin,
        };
        entries.push((entry, serials));
    }
    // Everything is signed: from here on nothing fails.
    core.retire.counter = counter;
    for (entry, serials) in entries {
        for serial in serials {
            let row = step
                .row(EventType::RetireQueued, actor.clone())
                .with("counter", entry.counter)
                .with("reason", reason)
                .with("serial", serial);
            step.out.row(row);
        }
        step.out.write(DeviceWrite::QueueRetire(entry.clone()));
        if core.retire.waiting.is_empty() {
            core.retire.progress = Progress::Pause { tried: 0, at: step.now.mono };
        }
        core.retire.push(entry);
    }
    Ok(())
}

fn sign(
    step: &mut Step<'_>,
    counter: u64,
    reason: RetireReason,
    serials: Vec<Serial>,
) -> Result<String, ErrorCode> {
    let statement = RetireStatement {
        v: V1::default(),
        device_id: step.ctx.profile.device_id.clone(),
        serials,
        reason,
        counter,
    };
    let payload = strict::to_vec(&statement).map_err(|_| ErrorCode::Internal)?;
    jws::sign(Typ::Retire, None, &payload, step.ctx.identity, step.rng)
        .map_err(|error| error.code())
}

/// Time: sends the first entry, or gives up waiting for an answer.
pub(super) fn fire(core: &mut Core, step: &mut Step<'_>) {
    if core.retire.due().is_none_or(|at| step.now.mono < at) {
        return;
    }
    match core.retire.progress {
        Progress::Pause { tried, .. } => {
            let Some(first) = core.retire.waiting.front() else { return };
            step.out.act(DeviceAction::SendRetire(Arc::clone(&first.entry)));
            let guard = step.now.mono + limits::DELIVERY_TIMEOUT.default;
            core.retire.progress = Progress::Sending { tried, guard };
        }
        Progress::Sending { tried, .. } => later(core, step, tried),
    }
}

/// The station's answer. One that nobody waits for changes nothing.
pub(super) fn answered(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    counter: u64,
    result: Result<(), LinkError>,
) -> Outcome {
    let queue = &mut core.retire;
    let Progress::Sending { tried, .. } = queue.progress else { return done(state) };
    let Some(first) = queue.waiting.front_mut().filter(|first| first.entry.counter == counter)
    else {
        return done(state);
    };
    match result {
        Ok(()) => {
            queue.waiting.pop_front();
            queue.progress = Progress::Pause { tried: 0, at: step.now.mono };
            let row = step.row(EventType::RetireDelivered, Actor::Peer).with("counter", counter);
            step.out.row(row);
            step.out.write(DeviceWrite::RetireDelivered(counter));
        }
        Err(error) => {
            // A network that fails is no news; a station that says no is, once.
            let news = !matches!(error, LinkError::Network(_)) && !first.refused;
            first.refused |= news;
            if news {
                let row = step
                    .failure(EventType::RetireDelivered, Actor::Peer, error.code())
                    .with("counter", counter);
                step.out.row(row);
            }
            later(core, step, tried);
        }
    }
    done(state)
}

/// The first entry goes to the end, so that a station that is gone holds up no other.
fn later(core: &mut Core, step: &mut Step<'_>, tried: u32) {
    let at = step.now.mono + doubt::backoff(step, tried);
    core.retire.waiting.rotate_left(usize::from(!core.retire.waiting.is_empty()));
    core.retire.progress = Progress::Pause { tried: tried.saturating_add(1), at };
}

impl fmt::Debug for Retirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retirement")
            .field("counter", &self.counter)
            .field("server_url", &self.server_url)
            .finish_non_exhaustive()
    }
}
