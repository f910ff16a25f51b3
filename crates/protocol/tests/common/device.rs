//! A device around its machine: commits records, keeps slots, remembers what it was told to do.

use std::collections::VecDeque;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zmon_crypto::x509::AnchorSet;
use zmon_crypto::{Algorithms, CodeHashKey, RootSecret, SoftIdentity, Suite, TokenKey};
use zmon_domain::address::DeviceAddress;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::{DeviceId, DeviceSerial, FirmwareVersion, OperatorId};
use zmon_domain::limits;
use zmon_domain::role::{Actor, OperatorProof, Role, danger};
use zmon_domain::time::{Now, Tick};
use zmon_protocol::device::{
    BootState, DeviceAction, DeviceContext, DeviceInput, DeviceMachine, DeviceProfile,
    DeviceRecord, DeviceReply, DeviceTransition, DeviceWrite, successors,
};

pub(crate) struct Device {
    pub(crate) profile: DeviceProfile,
    pub(crate) identity: SoftIdentity,
    token_key: TokenKey,
    code_hash_key: CodeHashKey,
    pub(crate) anchors: AnchorSet,
    algorithms: Algorithms,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) machine: DeviceMachine,
    /// What a store would hold.
    pub(crate) stored: BootState,
    pub(crate) window: Option<zmon_domain::ids::WindowId>,
    /// Tries of the typed code in this window, as the store counts them.
    pub(crate) tries: u8,
    pub(crate) audit: Vec<AuditEvent>,
    /// Rows per commit.
    pub(crate) commits: Vec<Vec<EventType>>,
    pub(crate) actions: VecDeque<DeviceAction>,
    /// The store refuses to commit.
    pub(crate) audit_down: bool,
}

pub(crate) fn address() -> DeviceAddress {
    DeviceAddress::parse("10.1.50.104").unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a test bed authenticates whom it likes")]
pub(crate) fn proof(role: Role, expires: Tick) -> OperatorProof {
    danger::authenticated(OperatorId::parse("tess").unwrap(), role, expires)
}

pub(crate) fn technician(now: &Now) -> OperatorProof {
    proof(Role::Technician, now.mono + core::time::Duration::from_secs(60))
}

pub(crate) fn administrator(now: &Now) -> OperatorProof {
    proof(Role::Administrator, now.mono + core::time::Duration::from_secs(60))
}

pub(crate) fn actor(role: Role) -> Actor {
    Actor::Operator { id: OperatorId::parse("tess").unwrap(), role }
}

impl Device {
    pub(crate) fn new(seed: u64, suite: Suite, anchors: AnchorSet, now: &Now) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let root = RootSecret::generate(&mut rng);
        let profile = DeviceProfile::new(
            DeviceId::parse("ZM-001").unwrap(),
            DeviceSerial::parse("SN-2024-001234").unwrap(),
            FirmwareVersion::parse("1.2.3").unwrap(),
        );
        let identity = SoftIdentity::generate(suite, &mut rng).unwrap();
        let token_key = root.token_key();
        let code_hash_key = root.code_hash_key();
        let algorithms = Algorithms::rustcrypto();
        let context = DeviceContext {
            profile: &profile,
            identity: &identity,
            token_key: &token_key,
            code_hash_key: &code_hash_key,
            anchors: &anchors,
            algorithms: &algorithms,
            checkpoint: None,
        };
        let machine = DeviceMachine::restore(BootState::default(), &context, now).next;
        Self {
            profile,
            identity,
            token_key,
            code_hash_key,
            anchors,
            algorithms,
            rng,
            machine,
            stored: BootState::default(),
            window: None,
            tries: 0,
            audit: Vec::new(),
            commits: Vec::new(),
            actions: VecDeque::new(),
            audit_down: false,
        }
    }

    pub(crate) fn context(&self) -> DeviceContext<'_> {
        DeviceContext {
            profile: &self.profile,
            identity: &self.identity,
            token_key: &self.token_key,
            code_hash_key: &self.code_hash_key,
            anchors: &self.anchors,
            algorithms: &self.algorithms,
            checkpoint: None,
        }
    }

    /// The transition, nothing installed.
    pub(crate) fn propose(&mut self, now: &Now, input: DeviceInput) -> DeviceTransition {
        let mut rng = self.rng.clone();
        let transition = self.machine.clone().handle(&self.context(), now, &mut rng, input);
        self.rng = rng;
        transition
    }

    /// What a driver does: propose, commit, install, queue the actions, answer.
    pub(crate) fn input(
        &mut self,
        now: &Now,
        input: DeviceInput,
    ) -> Result<DeviceReply, ErrorReport> {
        let kind = input.kind();
        let before = self.machine.kind();
        let transition = self.propose(now, input);
        let after = transition.next.kind();
        assert!(
            after == before || successors(before, kind).contains(&after),
            "{before:?} --{kind:?}--> {after:?} is not in the table"
        );
        self.install(transition)
    }

    pub(crate) fn install(
        &mut self,
        transition: DeviceTransition,
    ) -> Result<DeviceReply, ErrorReport> {
        if !transition.record.is_empty() && self.audit_down {
            return Err(ErrorCode::AuditUnavailable.into());
        }
        self.commit(&transition.record);
        self.machine = transition.next;
        self.actions.extend(transition.actions);
        transition.reply
    }

    fn commit(&mut self, record: &DeviceRecord) {
        if record.is_empty() {
            return;
        }
        // No audit row, no operation (D16).
        assert!(!record.audit.is_empty(), "a write without a row: {:?}", record.writes);
        self.commits.push(record.audit.iter().map(|row| row.event).collect());
        for row in &record.audit {
            assert_eq!(row.device_id.as_ref(), Some(&self.profile.device_id), "{row:?}");
            assert_eq!(row.success, row.error.is_none(), "{row:?}");
        }
        self.audit.extend(record.audit.iter().cloned());
        for write in &record.writes {
            self.write(write);
        }
    }

    /// What a store does, as strictly as it can: with the conditions for many writers.
    fn write(&mut self, write: &DeviceWrite) {
        let waiting = self.stored.retirements.len();
        match write {
            DeviceWrite::OpenWindow(id) => {
                self.window = Some(*id);
                self.tries = 0;
            }
            DeviceWrite::ClaimWindow(id, _) => {
                assert_eq!(self.window, Some(*id), "only the open window can be claimed");
                self.window = None;
            }
            DeviceWrite::SpendTry(id) => {
                assert_eq!(self.window, Some(*id), "only the open window has tries");
                self.tries += 1;
                assert!(self.tries <= limits::TYPED_TRIES.default, "five tries in all");
            }
            DeviceWrite::CloseWindow => self.window = None,
            DeviceWrite::RememberSite(site, time) => {
                let known = self.stored.site_not_before.iter().find(|(known, _)| known == site);
                assert!(known.is_none_or(|(_, old)| old < time), "the memory only rises");
            }
            _ => {}
        }
        assert_eq!(self.stored.apply(write), Ok(()), "{write:?}");
        if let DeviceWrite::RetireDelivered(_) = write {
            assert_eq!(self.stored.retirements.len() + 1, waiting, "one statement was taken");
        }
    }

    /// Power off and on: memory is gone, storage is not.
    pub(crate) fn restart(&mut self, now: &Now) -> Result<DeviceReply, ErrorReport> {
        self.actions.clear();
        let boot = self.stored.clone();
        let transition = DeviceMachine::restore(boot, &self.context(), now);
        self.install(transition)
    }

    pub(crate) fn last(&self) -> &AuditEvent {
        self.audit.last().expect("a row was written")
    }

    pub(crate) fn rows(&self, event: EventType) -> Vec<&AuditEvent> {
        self.audit.iter().filter(|row| row.event == event).collect()
    }

    /// Event and cause of every row since `from`.
    pub(crate) fn log_since(&self, from: usize) -> Vec<(EventType, Option<ErrorCode>)> {
        self.audit[from..].iter().map(|row| (row.event, row.error)).collect()
    }
}
