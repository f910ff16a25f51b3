//! Firmware around the device machine: own flash, clock, generator, network and secure element.
//! `cargo run` pairs with a scripted station in memory. Everything above `clock` needs no std.
extern crate alloc;

use alloc::{collections::VecDeque, vec::Vec};
use core::{sync::atomic::*, time::Duration};

use getrandom::SysRng;
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, SeedableRng};
use scripted_station::{Answer, Station};
use zmon_crypto::*;
use zmon_domain::{address::DeviceAddress, audit::AuditEvent, error::*, ids::*, role::*, time::*};
use zmon_protocol::device::*;
use zmon_wire::{kind::KeyProtection, outcome::CommitRequest};

/// The key store: a chip that made its keys itself. Here software plays it.
struct SecureElement {
    identity: SoftIdentity,
    token_key: TokenKey,
    hash_key: CodeHashKey,
}

impl IdentityKey for SecureElement {
    fn public(&self) -> &IdentityPublic {
        self.identity.public()
    }
    /// On a board: SHA-256 of `message` goes to the chip, r ‖ s comes back; the key never does.
    fn sign(&self, message: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>, KeyError> {
        self.identity.sign(message, rng)
    }
}

/// Durable memory: two pages, and which one is valid is the last word written: a record is there
/// whole or not at all. A real one seals each slot's `client_key` under a secret of the chip's.
#[derive(Default)]
struct Flash {
    pages: [(BootState, Vec<AuditEvent>); 2],
    valid: usize,
}

impl Flash {
    fn commit(&mut self, record: &DeviceRecord) -> Result<(), ErrorCode> {
        let (mut boot, mut audit) = self.pages[self.valid].clone();
        audit.extend_from_slice(&record.audit);
        record.writes.iter().try_for_each(|write| boot.apply(write))?;
        self.pages[1 - self.valid] = (boot, audit);
        self.valid = 1 - self.valid;
        Ok(())
    }
}

/// The transport, firmware's own TLS stack: a listener that hands in `SessionOpen` and
/// `Configuration` and takes the replies to them, and mTLS to the station.
trait Net {
    fn request(&mut self) -> Answer<Option<DeviceInput>>;
    fn reply(&mut self, reply: Result<DeviceReply, ErrorReport>) -> Answer<()>;
    fn test(&mut self, with: &LinkCredentials) -> Result<(), LinkError>;
    fn commit(&mut self, request: &CommitRequest) -> Result<Vec<u8>, LinkError>;
    fn outcome(&mut self, ask: &str) -> Result<Vec<u8>, LinkError>;
}

impl Net for Station {
    fn request(&mut self) -> Answer<Option<DeviceInput>> {
        self.next_request()
    }
    fn reply(&mut self, reply: Result<DeviceReply, ErrorReport>) -> Answer<()> {
        self.answer(reply)
    }
    fn test(&mut self, _: &LinkCredentials) -> Result<(), LinkError> {
        Ok(())
    }
    fn commit(&mut self, request: &CommitRequest) -> Result<Vec<u8>, LinkError> {
        self.answer_commit(request)
    }
    fn outcome(&mut self, _: &str) -> Result<Vec<u8>, LinkError> {
        Err(LinkError::Network(ErrorCode::StationUnreachable)) // no answer is lost here
    }
}

/// The driver.
struct Firmware<'a, N> {
    ctx: DeviceContext<'a>,
    flash: Flash,
    rng: ChaCha20Rng,
    net: N,
    machine: DeviceMachine,
    todo: VecDeque<DeviceAction>,
}

impl<'a, N: Net> Firmware<'a, N> {
    /// Takes up what flash holds: a slot, a commit in doubt, a window that a power cut voided.
    fn boot(ctx: DeviceContext<'a>, flash: Flash, net: N) -> Answer<Self> {
        let boot = DeviceMachine::restore(flash.pages[flash.valid].0.clone(), &ctx, &clock());
        let (rng, machine, todo) = (generator()?, boot.next.clone(), VecDeque::new());
        let mut this = Self { ctx, flash, rng, net, machine, todo };
        this.install(boot)?;
        Ok(this)
    }

    /// One command, message or result, or that it is time: see `run`.
    fn input(&mut self, input: DeviceInput) -> Result<DeviceReply, ErrorReport> {
        let step = self.machine.clone().handle(&self.ctx, &clock(), &mut self.rng, input);
        self.install(step)
    }

    /// Commits a step, then lets it count. If flash refuses, nothing has happened.
    fn install(&mut self, step: DeviceTransition) -> Result<DeviceReply, ErrorReport> {
        if !step.record.is_empty() {
            self.flash.commit(&step.record)?;
        }
        self.machine = step.next;
        self.todo.extend(step.actions);
        step.reply
    }

    /// Carries out what the machine asks for, keeps its timer, hands in what the network brings.
    fn run(&mut self) -> Answer<()> {
        loop {
            let result = match self.todo.pop_front() {
                Some(DeviceAction::OpenListener) => DeviceInput::ListenerOpened { port: 8444 },
                Some(DeviceAction::TestConnection { credentials, .. }) => {
                    DeviceInput::Tested(self.net.test(&credentials))
                }
                Some(DeviceAction::SendCommit { request, .. }) => {
                    DeviceInput::CommitAnswered(self.net.commit(&request))
                }
                Some(DeviceAction::AskOutcome { ask, .. }) => {
                    DeviceInput::OutcomeAnswered(self.net.outcome(&ask))
                }
                Some(DeviceAction::AnswerDelivery { status, .. }) => {
                    self.net.reply(Ok(DeviceReply::Status(status)))?;
                    continue;
                }
                Some(_) => continue, // listener closed, link started, signals for the screen
                None if self.machine.poll_timeout().is_some_and(|at| at <= clock().mono) => {
                    DeviceInput::Timeout
                }
                None => {
                    let Some(request) = self.net.request()? else { return Ok(()) };
                    let reply = self.input(request);
                    self.net.reply(reply)?;
                    continue;
                }
            };
            self.input(result)?;
        }
    }
}

/// Timer and real-time clock of the board; here a millisecond passes between two readings.
fn clock() -> Now {
    static MILLIS: AtomicU64 = AtomicU64::new(0);
    let mono = Duration::from_millis(MILLIS.fetch_add(1, Ordering::Relaxed));
    let wall = UnixTime::from_unix(1_795_392_000).map(|start| start + mono);
    Now { mono: Tick::new(mono), wall, quality: ClockQuality::Synced, millis: None }
}

/// The board's generator, seeded once from its noise source; here the system plays that.
fn generator() -> Answer<ChaCha20Rng> {
    Ok(ChaCha20Rng::try_from_rng(&mut SysRng)?)
}

fn main() -> Answer<()> {
    let mut rng = generator()?;
    let root = RootSecret::generate(&mut rng);
    let identity = SoftIdentity::generate(Suite::P256, &mut rng)?;
    let chip =
        SecureElement { identity, token_key: root.token_key(), hash_key: root.code_hash_key() };
    let (id, serial) = (DeviceId::parse("ZM-001")?, DeviceSerial::parse("SN-2024-001234")?);
    let mut profile = DeviceProfile::new(id, serial, FirmwareVersion::parse("1.2.3")?);
    profile.key_protection = KeyProtection::Hardware;

    let station = Station::new(clock, &profile, chip.public())?;
    let anchors = AnchorSet::from_anchors([station.anchor()?])?;
    let ctx = DeviceContext {
        profile: &profile,
        identity: &chip,
        token_key: &chip.token_key,
        code_hash_key: &chip.hash_key,
        anchors: &anchors,
        algorithms: &Algorithms::rustcrypto(),
        checkpoint: None,
    };
    let mut firmware = Firmware::boot(ctx, Flash::default(), station)?;

    let expires = clock().mono + Duration::from_secs(60);
    #[expect(clippy::disallowed_methods, reason = "firmware makes it after it has checked a PIN")]
    let proof = danger::authenticated(OperatorId::parse("tina")?, Role::Technician, expires);
    firmware.input(DeviceInput::Enter { proof, address: DeviceAddress::parse("10.1.50.104")? })?;
    firmware.run()?;
    let qr = firmware.machine.snapshot(&clock()).qr.ok_or("no QR code")?;
    println!("{}: {}", firmware.machine.state(), qr.to_json()?.as_str());
    firmware.net.scan(&qr)?;
    firmware.run()?;

    let firmware = Firmware::boot(ctx, firmware.flash, firmware.net)?; // after a power cut
    println!("{}", firmware.machine.state());
    firmware.machine.is_provisioned().then_some(()).ok_or_else(|| "not provisioned".into())
}
