//! Firmware around the device machine: own flash, clock, generator, network and secure element.
//! `cargo run` pairs with a scripted station in memory. Everything above `clock` needs no std.
extern crate alloc;

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use core::{error::Error, sync::atomic::*, time::Duration};

use getrandom::SysRng;
use rand_core::{CryptoRng, UnwrapErr};
use scripted_station::Station;
use zmon_crypto::*;
use zmon_domain::{address::DeviceAddress, audit::AuditEvent, error::*, ids::*, role::*, time::*};
use zmon_protocol::device::*;
use zmon_wire::kind::KeyProtection;

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

/// Durable memory: two pages, and which one is valid is the last word written, so that a record is
/// there whole or not at all. A real one seals each slot's `client_key` under a secret that the chip
/// keeps, and wipes a slot by destroying that secret.
#[derive(Default)]
struct Flash {
    pages: [(BootState, Vec<AuditEvent>); 2],
    valid: usize,
}

impl Flash {
    fn load(&self) -> BootState {
        self.pages[self.valid].0.clone()
    }

    fn commit(&mut self, record: &DeviceRecord) -> Result<(), ErrorCode> {
        let (mut boot, mut audit) = self.pages[self.valid].clone();
        audit.extend_from_slice(&record.audit);
        record.writes.iter().try_for_each(|write| apply(&mut boot, write))?;
        self.pages[1 - self.valid] = (boot, audit);
        self.valid = 1 - self.valid;
        Ok(())
    }
}

fn apply(boot: &mut BootState, write: &DeviceWrite) -> Result<(), ErrorCode> {
    match write {
        DeviceWrite::OpenWindow(_) | DeviceWrite::ClaimWindow(..) => boot.window_open = true,
        DeviceWrite::CloseWindow => boot.window_open = false,
        DeviceWrite::StageB(b) => {
            (boot.generation, boot.slot_b) = (b.generation, Some((b.clone(), false)));
        }
        DeviceWrite::DropB => boot.slot_b = None,
        DeviceWrite::MarkCommitSent(_) => {
            boot.slot_b.as_mut().ok_or(ErrorCode::StorageCorrupt)?.1 = true;
        }
        DeviceWrite::Flip => {
            boot.slot_a = Some(boot.slot_b.take().ok_or(ErrorCode::StorageCorrupt)?.0);
            boot.deprovisioned = false;
        }
        DeviceWrite::Deprovision => {
            (boot.slot_a, boot.slot_b, boot.deprovisioned) = (None, None, true)
        }
        DeviceWrite::QueueRetire(words) => {
            boot.retire_counter = words.counter;
            boot.retirements.push(words.clone());
        }
        DeviceWrite::RetireDelivered(n) => boot.retirements.retain(|words| words.counter != *n),
        DeviceWrite::FactoryReset => {
            (boot.slot_a, boot.slot_b, boot.deprovisioned) = (None, None, false);
            (boot.window_open, boot.migrating, boot.erasing) = (false, false, true);
        }
        DeviceWrite::EraseDone => boot.erasing = false,
        DeviceWrite::Migrating(begun) => boot.migrating = *begun,
        DeviceWrite::RememberSite(site, time) => {
            boot.site_not_before.retain(|(known, _)| known != site);
            boot.site_not_before.push((site.clone(), *time));
        }
        DeviceWrite::RaiseCounter(counter) => boot.recovery_counter = *counter,
        DeviceWrite::RaiseFloor(time) => boot.floor = Some(*time),
        _ => return Err(ErrorCode::StorageUnavailable),
    }
    Ok(()) // a condition in a write is for stores with more than one writer
}

/// The driver. Where it says `net`, firmware has its TLS stack: a listener that hands in
/// `SessionOpen` and `Configuration`, and mTLS to the station.
struct Firmware<'a> {
    ctx: DeviceContext<'a>,
    flash: Flash,
    rng: UnwrapErr<SysRng>,
    net: Station,
    machine: DeviceMachine,
    todo: VecDeque<DeviceAction>,
}

impl<'a> Firmware<'a> {
    /// Takes up what flash holds: a slot, a commit in doubt, a window that a power cut voided.
    fn boot(ctx: DeviceContext<'a>, flash: Flash, net: Station) -> Result<Self, ErrorReport> {
        let boot = DeviceMachine::restore(flash.load(), &ctx, &clock());
        let (rng, machine, todo) = (UnwrapErr(SysRng), boot.next.clone(), VecDeque::new());
        let mut this = Self { ctx, flash, rng, net, machine, todo };
        this.install(boot).map(|_| this)
    }

    /// One command, message or result, or that it is time: see `run`.
    fn input(&mut self, input: DeviceInput) -> Result<DeviceReply, ErrorReport> {
        let machine = self.machine.clone();
        let step = machine.handle(&self.ctx, &clock(), &mut self.rng, input);
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
    fn run(&mut self) -> Result<(), Box<dyn Error>> {
        loop {
            let result = match self.todo.pop_front() {
                Some(DeviceAction::OpenListener) => DeviceInput::ListenerOpened { port: 8444 },
                Some(DeviceAction::TestConnection { .. }) => DeviceInput::Tested(self.net.test()),
                Some(DeviceAction::SendCommit { request, .. }) => {
                    DeviceInput::CommitAnswered(self.net.commit(&request))
                }
                Some(DeviceAction::AskOutcome { ask, .. }) => {
                    DeviceInput::OutcomeAnswered(self.net.outcome(&ask))
                }
                Some(DeviceAction::AnswerDelivery { status, .. }) => {
                    self.net.answer(Ok(DeviceReply::Status(status)))?;
                    continue;
                }
                Some(_) => continue, // listener closed, link started, signals for the screen
                None if self.machine.poll_timeout().is_some_and(|at| at <= clock().mono) => {
                    DeviceInput::Timeout
                }
                None => {
                    let Some(request) = self.net.request()? else { return Ok(()) };
                    let reply = self.input(request);
                    self.net.answer(reply)?;
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

fn main() -> Result<(), Box<dyn Error>> {
    let root = RootSecret::generate(&mut UnwrapErr(SysRng));
    let identity = SoftIdentity::generate(Suite::P256, &mut UnwrapErr(SysRng))?;
    let (token_key, hash_key) = (root.token_key(), root.code_hash_key());
    let chip = SecureElement { identity, token_key, hash_key };
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
    let address = DeviceAddress::parse("10.1.50.104")?;
    firmware.input(DeviceInput::Enter { proof, address })?;
    firmware.run()?;
    let qr = firmware.machine.snapshot(&clock()).qr.ok_or("no QR code")?;
    println!("{}: {}", firmware.machine.state(), qr.to_json()?);
    firmware.net.scan(&qr)?;
    firmware.run()?;

    let Firmware { flash, net, .. } = firmware; // the power is cut
    let firmware = Firmware::boot(ctx, flash, net)?;
    println!("{}", firmware.machine.state());
    firmware.machine.is_provisioned().then_some(()).ok_or_else(|| "not provisioned".into())
}
