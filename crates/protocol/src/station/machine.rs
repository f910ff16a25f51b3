//! One session, from the scan to the paired device.

use alloc::sync::Arc;

use rand_core::CryptoRng;
use zmon_domain::code::PairingCode;
use zmon_domain::ids::{
    DeviceId, DeviceSerial, FirmwareVersion, OperatorId, Serial, SessionId, TokenId,
};
use zmon_domain::route::Route;
use zmon_domain::time::{Now, Tick};
use zmon_wire::carry::Message;
use zmon_wire::kind::{Method, TrustLevel};
use zmon_wire::pair::PairAnswer;

use super::context::{DeviceRecord, OpenRequest, PullOrder, SessionContext};
use super::io::{Blink, SessionInput, SessionPhase, SessionTransition, Target};
use super::state::{Core, State};
use super::step::{Outcome, Step};
use super::{blink, carry, deliver, dial, end, identify, issue, open, pake, resume, timer};

/// One session of the station. Cheap to clone: secrets are shared and wiped with their last holder.
#[derive(Clone)]
pub struct SessionMachine {
    pub(super) core: Core,
    pub(super) state: State,
}

impl SessionMachine {
    /// Starts a session: checks reservation, registry, key and address, then dials.
    ///
    /// A refused scan ends in `Failed` with its row, a reply that says why, and no dialling.
    pub fn open(
        ctx: &SessionContext<'_>,
        now: &Now,
        rng: &mut dyn CryptoRng,
        request: OpenRequest,
    ) -> SessionTransition {
        open::open(Step::new(ctx, now, rng), request)
    }

    /// Starts a session that the device asked for by itself (D23). Its answer is the action `Offer`.
    ///
    /// A refused request ends in `Failed` with its row and a reply that says why.
    pub fn pull(
        ctx: &SessionContext<'_>,
        now: &Now,
        rng: &mut dyn CryptoRng,
        order: PullOrder,
    ) -> SessionTransition {
        open::pull(Step::new(ctx, now, rng), order)
    }

    /// Takes one input.
    pub fn handle(
        self,
        ctx: &SessionContext<'_>,
        now: &Now,
        rng: &mut dyn CryptoRng,
        input: SessionInput,
    ) -> SessionTransition {
        let before = self.phase();
        let Self { mut core, state } = self;
        let mut step = Step::new(ctx, now, rng);
        let (state, reply) = dispatch(&mut core, &mut step, state, input);
        step.finish(Some(before), core, state, reply)
    }

    /// When the machine wants its next `Timeout`. An instant that has passed means now.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Tick> {
        timer::next(&self.core, &self.state)
    }

    /// Where the session is.
    #[must_use]
    pub const fn phase(&self) -> SessionPhase {
        self.state.phase()
    }

    /// The session.
    #[must_use]
    pub const fn session_id(&self) -> SessionId {
        self.core.session_id
    }

    /// The device.
    #[must_use]
    pub const fn device_id(&self) -> &DeviceId {
        &self.core.device_id
    }

    /// Who works on it; none where the device asked by itself.
    #[must_use]
    pub fn operator(&self) -> Option<&OperatorId> {
        self.core.operator.as_ref().map(|(id, _)| id)
    }

    /// Whether the registry did not know the device when it began (D9).
    #[must_use]
    pub const fn is_about_a_newcomer(&self) -> bool {
        matches!(self.core.record, DeviceRecord::Unknown(_))
    }

    /// How it began.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.core.method
    }

    /// The public name of what it claims: of the scanned token, or else of the window of a typed code once
    /// the device has named it.
    #[must_use]
    pub const fn token_id(&self) -> &TokenId {
        &self.core.token_id
    }

    /// The code that was scanned or typed; none where nobody did.
    #[must_use]
    pub fn code(&self) -> Option<&PairingCode> {
        self.core.code.as_deref()
    }

    /// Number of the configuration, once it is known what the device is to become.
    #[must_use]
    pub fn config_version(&self) -> Option<u64> {
        self.core.details.as_ref().map(|details| details.config_version)
    }

    /// What the device has said about itself, once it has proved who it is: serial number, firmware, and
    /// its identity key, `SubjectPublicKeyInfo` DER.
    #[must_use]
    pub fn identified(&self) -> Option<(&DeviceSerial, &FirmwareVersion, &[u8])> {
        let device = self.state.device()?;
        Some((&device.serial, &device.firmware, device.public.spki_der()))
    }

    /// Whether something is under way that another process would begin a second time. What may be lost with
    /// a process is in no other's way; what waits for a person or a device can be gone on with anywhere.
    #[must_use]
    pub fn is_at_work(&self) -> bool {
        match &self.state {
            State::Dialling(dialling) => self.core.pushes && dialling.retry_at.is_none(),
            State::Issuing(_) => true,
            State::Delivering(delivering) => delivering.retry_at.is_none(),
            State::Identified(_)
            | State::AwaitingCommit(_)
            | State::Paired(_)
            | State::Failed(_)
            | State::Released => false,
        }
    }

    /// The sealed configuration for a device that fetches it, once there is one.
    #[must_use]
    pub fn envelope(&self) -> Option<&Arc<[u8]>> {
        let fetched = self.core.operator.is_none();
        self.state.issued().filter(|_| fetched).map(|issued| &issued.envelope)
    }

    /// The message that waits for the device itself or for a courier; none while the station dials,
    /// is at work, or has nothing more to say (D7).
    #[must_use]
    pub fn message(&self) -> Option<Message> {
        carry::message(&self.core, &self.state)
    }

    /// How messages go at present.
    #[must_use]
    pub const fn route(&self) -> Route {
        self.core.route
    }

    /// Left half of the thumbprint of the key that the device must prove; none where it asked by itself.
    #[must_use]
    pub const fn key16(&self) -> Option<[u8; 16]> {
        self.core.key16
    }

    /// Where the device was said to listen, if somebody has said so.
    #[must_use]
    pub const fn target(&self) -> Option<&Target> {
        self.core.target.as_ref()
    }

    /// Until when `pair` must come, while it is awaited (D11).
    #[must_use]
    pub fn pair_by(&self) -> Option<Tick> {
        let awaits = matches!(self.state, State::Dialling(_) | State::Identified(_));
        let awaits = awaits && self.core.details.is_none();
        awaits.then(|| self.core.pair_by.min(self.core.deadline))
    }

    /// Until when it keeps the device: for `pair`, or for what follows it.
    #[must_use]
    pub fn held_until(&self) -> Tick {
        self.pair_by().unwrap_or(self.core.deadline)
    }

    /// What is known of the last blink that was asked for.
    #[must_use]
    pub const fn blink(&self) -> Option<Blink> {
        self.core.blinks.last
    }

    /// Serial number of the certificate issued in this session.
    #[must_use]
    pub fn serial(&self) -> Option<&Serial> {
        self.state.issued().map(|issued| &issued.serial)
    }

    /// The four words that an operator compares with those of the device, which trusts this station by
    /// proximity (D8); none where nobody has to.
    #[must_use]
    pub fn words(&self) -> Option<[&'static str; 4]> {
        let device = self.state.device().filter(|_| self.core.operator.is_some());
        let device = device.filter(|device| device.trust == TrustLevel::Proximity);
        device.map(|device| device.keys.words())
    }

    /// The answer of `pair` in [W §11.3]'s shape, once paired.
    #[must_use]
    pub fn answer(&self) -> Option<PairAnswer> {
        match &self.state {
            State::Paired(issued) => Some(PairAnswer::clone(&issued.answer)),
            State::Dialling(_)
            | State::Identified(_)
            | State::Issuing(_)
            | State::Delivering(_)
            | State::AwaitingCommit(_)
            | State::Failed(_)
            | State::Released => None,
        }
    }
}

fn dispatch(core: &mut Core, step: &mut Step<'_>, state: State, input: SessionInput) -> Outcome {
    match input {
        SessionInput::Identity(document) => identify::identity(core, step, state, &document),
        SessionInput::Window { window_id, tries } => {
            pake::window(core, step, state, window_id, tries)
        }
        SessionInput::Share { share_v, confirm_v } => {
            pake::share(core, step, state, &share_v, &confirm_v)
        }
        SessionInput::DialFailed(code) => dial::failed(core, step, state, code),
        SessionInput::Fetched(route) => carry::fetched(core, step, state, route),
        SessionInput::Again(address) => carry::again(core, step, state, address),
        SessionInput::Blink { operator } => blink::ask(core, step, state, &operator),
        SessionInput::Blinked(seconds) => blink::shown(core, step, state, seconds),
        SessionInput::BlinkFailed(code) => blink::failed(core, step, state, code),
        SessionInput::RegistryConflict => identify::conflict(core, step, state),
        SessionInput::Pair { operator, details } => {
            issue::pair(core, step, state, &operator, details)
        }
        SessionInput::Issued { chain, serial } => issue::issued(core, step, state, chain, serial),
        SessionInput::IssueFailed(code) => issue::failed(core, step, state, code),
        SessionInput::Delivered(status) => deliver::delivered(core, step, state, &status),
        SessionInput::DeliveryFailed(code) => deliver::failed(core, step, state, code),
        SessionInput::Tested { serial } => deliver::tested(step, state, &serial),
        SessionInput::Committed { serial } => deliver::committed(core, step, state, &serial),
        SessionInput::Aborted { serial } => deliver::aborted(core, step, state, &serial),
        SessionInput::Rescanned { operator } => end::rescanned(core, step, state, &operator),
        SessionInput::Resumed => resume::resumed(core, step, state),
        SessionInput::Cancel { operator } => end::cancel(core, step, state, operator.as_ref()),
        SessionInput::Timeout => timer::fire(core, step, state),
    }
}
