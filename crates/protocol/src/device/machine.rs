//! The machine and its dispatch.

use alloc::vec::Vec;

use rand_core::CryptoRng;
use zmon_domain::address::DeviceAddress;
use zmon_domain::ids::SiteId;
use zmon_domain::state::{ProvisioningState, ProvisioningStatus};
use zmon_domain::time::{Now, Tick, UnixTime};

use super::input::DeviceInput;
use super::junk::Junk;
use super::output::DeviceTransition;
use super::profile::{BootState, DeviceContext};
use super::renew::{self, Renewal};
use super::snapshot::DeviceSnapshot;
use super::state::{Finished, State};
use super::step::{Outbox, Outcome, Step, done};
use super::table::StateKind;
use super::{
    apply, blink, claim, command, confirm, doubt, erase, listener, migrate, pake, restore, retire,
    snapshot, testing, timer,
};

/// The device. Cheap to clone: secrets are shared and wiped with their last holder.
#[derive(Clone)]
pub struct DeviceMachine {
    pub(super) core: Core,
    pub(super) state: State,
}

/// What outlives the states.
#[derive(Clone)]
pub(super) struct Core {
    /// The later of build date and highest trusted time seen so far (D14).
    pub(super) floor: UnixTime,
    /// When the floor was last raised, or found at start.
    pub(super) floor_at: Tick,
    /// Per site the latest `notBefore` of a signing certificate (D14).
    pub(super) sites: Vec<(SiteId, UnixTime)>,
    /// Highest slot generation ever used.
    pub(super) generation: u64,
    /// What strangers sent.
    pub(super) junk: Junk,
    /// How the last session ended.
    pub(super) finished: Option<Finished>,
    /// The last address shown; a retry uses it.
    pub(super) address: Option<zmon_domain::address::DeviceAddress>,
    /// The counter of recoveries, as it was last sent (D23).
    pub(super) counter: u64,
    /// When slot A's certificate is renewed (D23); none until it was planned.
    pub(super) renewal: Option<Renewal>,
    /// Statements that wait for their station (D21).
    pub(super) retire: retire::Queue,
    /// A factory reset that has begun and not ended.
    pub(super) erasing: Option<erase::Erasing>,
    /// The next start makes a new identity.
    pub(super) new_identity: bool,
    /// Whether the manual configuration is to go ([W §14]).
    pub(super) migration: migrate::Migration,
}

impl DeviceMachine {
    /// Names the address that a window gets which no earlier one of this run has named: *Retry* after a
    /// restart ([W §7.2]) comes without one.
    #[must_use]
    pub fn at(mut self, address: DeviceAddress) -> Self {
        self.core.address.get_or_insert(address);
        self
    }

    /// The machine as storage left it.
    ///
    /// Voids a window that was open, drops a slot B whose commit was never sent (both with a row),
    /// takes up an in-doubt commit (D13) and starts the link of slot A. A stored slot that cannot be
    /// read gives `StorageCorrupt` in the reply, one that is simulated while the anchors are not, or the
    /// other way round, `SimulatedConfiguration` (D20), and no write: the driver must not start.
    pub fn restore(boot: BootState, ctx: &DeviceContext<'_>, now: &Now) -> DeviceTransition {
        restore::restore(boot, ctx, now)
    }

    /// Takes one input.
    pub fn handle(
        self,
        ctx: &DeviceContext<'_>,
        now: &Now,
        rng: &mut dyn CryptoRng,
        input: DeviceInput,
    ) -> DeviceTransition {
        let before = self.status();
        let Self { mut core, state } = self;
        let (route, input) = input.unpack();
        let mut step = Step { ctx, now, rng, route, out: Outbox::default() };
        let (state, reply) = dispatch(&mut core, &mut step, state, input);
        renew::plan(&mut core, &mut step, &state);
        step.out.finish(before, core, state, reply)
    }

    /// When the machine wants its next `Timeout`. An instant that has passed means now.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Tick> {
        let erasing = self.core.erasing.and_then(erase::Erasing::due);
        let others = [self.core.junk.due(), self.core.retire.due(), erasing];
        let own = timer::next(&self.core, &self.state);
        own.into_iter().chain(others.into_iter().flatten()).min()
    }

    /// The state ([W §6]).
    #[must_use]
    pub fn state(&self) -> ProvisioningState {
        self.state.public()
    }

    /// The row of the transition table the machine is in.
    #[must_use]
    pub fn kind(&self) -> StateKind {
        self.state.kind()
    }

    /// The status ([I §3.3]).
    #[must_use]
    pub fn status(&self) -> ProvisioningStatus {
        self.state().status()
    }

    /// Whether slot A lives; true throughout a re-provisioning.
    #[must_use]
    pub fn is_provisioned(&self) -> bool {
        self.state.active().is_some()
    }

    /// No time before this is now: the later of the build date and the highest trusted time (D14).
    #[must_use]
    pub const fn trusted_floor(&self) -> UnixTime {
        self.core.floor
    }

    /// What screens may see.
    #[must_use]
    pub fn snapshot(&self, now: &Now) -> DeviceSnapshot {
        snapshot::of(self, now)
    }
}

impl Core {
    /// The latest instant the device has reason to believe is past: the synchronised clock, else the
    /// floor and what has gone by since (D14). Never later than now.
    pub(super) fn trusted(&self, now: &Now) -> UnixTime {
        let bound = self.floor + now.mono.since(self.floor_at);
        now.synced().unwrap_or(bound).max(self.floor)
    }
}

fn dispatch(core: &mut Core, step: &mut Step<'_>, state: State, input: DeviceInput) -> Outcome {
    if core.erasing.is_some()
        && let Some(refused) = erase::refuse(step, &input)
    {
        return (state, Err(refused));
    }
    match input {
        DeviceInput::Enter { proof, address } => command::enter(core, step, state, &proof, address),
        DeviceInput::EnterRefused { actor, code } => step.refuse_mode(state, actor, code),
        DeviceInput::OverrideInterlock { proof, reason } => {
            command::override_interlock(step, state, &proof, &reason)
        }
        DeviceInput::ListenerOpened { port } => listener::opened(step, state, port),
        DeviceInput::ListenerFailed => listener::failed(core, step, state),
        DeviceInput::Announce { address } => listener::announce(core, step, state, address),
        DeviceInput::Regenerate { actor } => command::regenerate(core, step, state, actor),
        DeviceInput::Exit { actor } => command::exit(core, step, state, actor),
        DeviceInput::Retry { proof } => command::retry(core, step, state, &proof),
        DeviceInput::Reset { proof } => command::reset(core, step, state, &proof),
        DeviceInput::Deprovision { proof } => command::deprovision(core, step, state, &proof),
        DeviceInput::FactoryReset { proof, confirmation, new_identity } => {
            erase::factory_reset(core, step, state, &proof, &confirmation, new_identity)
        }
        DeviceInput::Erased(result) => erase::erased(core, step, state, result),
        DeviceInput::RetireAnswered { counter, result } => {
            retire::answered(core, step, state, counter, result)
        }
        DeviceInput::Migrate { proof, address } => {
            migrate::begin(core, step, state, &proof, address)
        }
        DeviceInput::PostponeMigration { proof } => migrate::postpone(core, step, state, &proof),
        DeviceInput::MigrationRefused { actor, code } => migrate::refused(step, state, actor, code),
        DeviceInput::LinkProven => migrate::proven(core, step, state),
        DeviceInput::LinkExpired { not_after } => {
            done(renew::expired(core, step, state, not_after))
        }
        DeviceInput::ManualRemoved(result) => migrate::removed(core, step, state, result),
        DeviceInput::Reprovision { proof, address } => {
            command::reprovision(core, step, state, &proof, address)
        }
        DeviceInput::Renew { proof } => renew::command(core, step, state, &proof),
        DeviceInput::Pulled(result) => renew::pulled(core, step, state, result),
        DeviceInput::Fetched(result) => renew::fetched(core, step, state, result),
        DeviceInput::SessionOpen { hello, claim_mac } => {
            claim::open(core, step, state, &hello, &claim_mac)
        }
        DeviceInput::AskWindow => pake::window(core, step, state),
        DeviceInput::PakeStart { hello, share_p } => {
            pake::start(core, step, state, &hello, &share_p)
        }
        DeviceInput::PakeConfirm { session_id, confirm_p } => {
            pake::confirm(core, step, state, session_id, &confirm_p)
        }
        DeviceInput::Blink { session_id, number, mac } => {
            blink::ask(core, step, state, session_id, number, &mac)
        }
        DeviceInput::ConfirmStation { proof, words } => {
            confirm::confirm(core, step, state, &proof, &words)
        }
        DeviceInput::RefuseStation { actor } => confirm::refuse(core, step, state, actor),
        // Unpacked before.
        DeviceInput::By(_, message) => dispatch(core, step, state, *message),
        DeviceInput::Configuration { envelope } => apply::receive(core, step, state, &envelope),
        DeviceInput::ConfigurationRefused { report } => apply::refused_here(step, state, report),
        DeviceInput::Junk { code } => {
            core.junk.count(step, code);
            done(state)
        }
        DeviceInput::Tested(result) => testing::tested(core, step, state, result),
        DeviceInput::CommitAnswered(result) => doubt::commit_answered(core, step, state, result),
        DeviceInput::OutcomeAnswered(result) => doubt::outcome_answered(core, step, state, result),
        DeviceInput::Timeout => {
            core.junk.flush(step);
            retire::fire(core, step);
            erase::fire(core, step);
            timer::fire(core, step, state)
        }
    }
}
