//! Random lives of a device beside a reference machine: what the device is, shows and keeps after
//! every step is what the document says ([W §6], D2, D11–D13, D21–D23), computed without its code.

use proptest::prelude::*;
use zmon_domain::error::ErrorCode as C;
use zmon_domain::role::{Actor, Role};
use zmon_protocol::device::{DeviceInput, LinkError, StateKind};
use zmon_protocol::station::TypedTries;

use crate::common::typed::{Run, other_code};
use crate::common::{Commit, Forge, Pair, actor, address, administrator, seconds, technician};

const WINDOW: u64 = 600;
/// A claim without a configuration: the station's two minutes and the device's grace.
const RELEASE: u64 = 150;
const TRIES: u8 = 5;
const RELEASES: u8 = 3;
const LOST: LinkError = LinkError::Network(C::StationUnreachable);

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Op {
    Enter,
    Reprovision,
    Retry,
    Migrate,
    Regenerate,
    Exit,
    Reset,
    Deprovision,
    FactoryReset,
    /// A run of the typed code with a wrong one.
    WrongCode,
    /// A claim, and nothing more.
    Claim,
    /// A whole pairing, by the code typed or scanned, and how it ends.
    Pair {
        typed: bool,
        fate: Fate,
    },
    /// A renewal, answered or not.
    Renew {
        answered: bool,
    },
    /// So many seconds; each is longer than any pause of a retry.
    Pass(u64),
    Restart,
}

/// How test and commit of a pairing go.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Good,
    /// The station refuses the new connection.
    Refused,
    /// The network fails three times.
    Lost,
    /// The station commits, and none of its answers arrives.
    Committed,
    /// No commit arrives.
    Unheard,
}

/// Where the reference machine is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Idle,
    Ready { left: u64, tries: u8, releases: u8 },
    Claimed { since: u64, releases: u8 },
    Doubt { committed: bool },
}

/// The reference machine: all that a device is to its operator.
#[derive(Clone, Debug, PartialEq)]
struct Model {
    phase: Phase,
    provisioned: bool,
    deprovisioned: bool,
    error: Option<C>,
    migrating: bool,
    /// A window was open in this run, so that a retry has an address.
    address: bool,
    /// A renewal failed; it is tried again at once when it can be, if true.
    renewal: Option<bool>,
}

impl Model {
    const NEW: Self = Self {
        phase: Phase::Idle,
        provisioned: false,
        deprovisioned: false,
        error: None,
        migrating: false,
        address: false,
        renewal: None,
    };

    fn kind(&self) -> StateKind {
        match self.phase {
            Phase::Ready { .. } => StateKind::ReadyToPair,
            Phase::Claimed { .. } => StateKind::Pairing,
            Phase::Doubt { .. } => StateKind::InDoubt,
            Phase::Idle if self.provisioned => StateKind::Provisioned,
            Phase::Idle if self.error.is_some() => StateKind::Error,
            Phase::Idle if self.deprovisioned => StateKind::Deprovisioned,
            Phase::Idle => StateKind::NotProvisioned,
        }
    }

    fn shows_a_code(&self) -> bool {
        matches!(self.phase, Phase::Ready { tries, .. } if tries < TRIES)
    }

    fn open(&mut self) {
        self.phase = Phase::Ready { left: WINDOW, tries: 0, releases: 0 };
        (self.error, self.address) = (None, true);
    }

    fn fail(&mut self, code: C) {
        (self.phase, self.error) = (Phase::Idle, Some(code));
    }

    fn succeed(&mut self) {
        (self.phase, self.error, self.renewal) = (Phase::Idle, None, None);
        (self.provisioned, self.deprovisioned) = (true, false);
    }

    fn leave(&mut self) {
        (self.phase, self.error) = (Phase::Idle, None);
    }

    fn decide(&mut self) {
        match self.phase {
            Phase::Doubt { committed: true } => self.succeed(),
            Phase::Doubt { committed: false } => self.fail(C::CommitAborted),
            Phase::Idle | Phase::Ready { .. } | Phase::Claimed { .. } => {}
        }
    }

    fn pass(&mut self, seconds: u64) {
        if let Some(overdue) = &mut self.renewal {
            *overdue = true;
        }
        match self.phase {
            Phase::Idle => {}
            Phase::Doubt { .. } => self.decide(),
            Phase::Ready { left, .. } if seconds > left => self.fail(C::PairingCodeExpired),
            Phase::Ready { left, tries, releases } => {
                self.phase = Phase::Ready { left: left - seconds, tries, releases };
            }
            Phase::Claimed { since, releases } if since + seconds < RELEASE => {
                self.phase = Phase::Claimed { since: since + seconds, releases };
            }
            Phase::Claimed { releases: RELEASES, .. } => self.fail(C::SessionExpired),
            Phase::Claimed { since, releases } => {
                self.phase = Phase::Ready { left: WINDOW, tries: 0, releases: releases + 1 };
                self.pass(since + seconds - RELEASE);
            }
        }
    }

    fn apply(&mut self, op: Op) {
        let kind = self.kind();
        let idle = self.phase == Phase::Idle;
        let doubt = matches!(self.phase, Phase::Doubt { .. });
        match op {
            Op::Enter if idle && !self.provisioned => self.open(),
            Op::Reprovision if idle && self.provisioned => self.open(),
            Op::Retry if idle && self.error.is_some() && self.address => self.open(),
            Op::Migrate if idle => {
                self.migrating = true;
                if !self.provisioned {
                    self.open();
                }
            }
            Op::Regenerate => {
                if let Phase::Ready { left, tries, .. } = &mut self.phase {
                    (*left, *tries) = (WINDOW, 0);
                }
            }
            Op::Exit | Op::Reset if !doubt => self.leave(),
            Op::Deprovision if self.provisioned && !doubt => {
                self.leave();
                (self.provisioned, self.deprovisioned) = (false, true);
            }
            Op::FactoryReset => *self = Self::NEW,
            Op::WrongCode if self.shows_a_code() => {
                if let Phase::Ready { tries, .. } = &mut self.phase {
                    *tries += 1;
                }
            }
            Op::Claim if self.shows_a_code() => {
                if let Phase::Ready { releases, .. } = self.phase {
                    self.phase = Phase::Claimed { since: 0, releases };
                }
            }
            Op::Pair { fate, .. } if self.shows_a_code() => match fate {
                Fate::Good => self.succeed(),
                Fate::Refused => self.fail(C::ConnectionRefusedByStation),
                Fate::Lost => self.fail(C::ConnectionTestFailed),
                Fate::Committed => self.phase = Phase::Doubt { committed: true },
                Fate::Unheard => self.phase = Phase::Doubt { committed: false },
            },
            Op::Renew { answered: true } if kind == StateKind::Provisioned => self.succeed(),
            Op::Renew { answered: false } if self.may_fail_to_renew() => {
                (self.error, self.renewal) = (Some(C::StationUnreachable), Some(false));
            }
            Op::Pass(seconds) => self.pass(seconds),
            Op::Restart => {
                (self.address, self.renewal) = (false, None);
                if doubt { self.decide() } else { self.leave() }
            }
            Op::Enter
            | Op::Reprovision
            | Op::Retry
            | Op::Migrate
            | Op::Exit
            | Op::Reset
            | Op::Deprovision
            | Op::WrongCode
            | Op::Claim
            | Op::Pair { .. }
            | Op::Renew { .. } => {}
        }
        // A renewal that is overdue goes ahead as soon as no window or session is in its way.
        if self.kind() == StateKind::Provisioned && self.renewal == Some(true) {
            self.succeed();
        }
    }

    /// One failure at a time, so that the pause before the next attempt stays below a minute.
    fn may_fail_to_renew(&self) -> bool {
        self.kind() == StateKind::Provisioned && self.renewal.is_none()
    }
}

/// Does to the device what `op` says. `model` is the device as it should be now.
fn run(pair: &mut Pair, model: &Model, op: Op) {
    if !matches!(model.phase, Phase::Doubt { .. }) {
        (pair.tests, pair.commits) = Default::default();
    }
    pair.station.reservation = None;
    pair.station.tries = TypedTries::default();
    let now = pair.now();
    let mut tell = |input| drop(pair.tell(input));
    match op {
        Op::Enter => tell(DeviceInput::Enter { proof: technician(&now), address: address() }),
        Op::Reprovision => {
            tell(DeviceInput::Reprovision { proof: technician(&now), address: address() });
        }
        Op::Retry => tell(DeviceInput::Retry { proof: technician(&now) }),
        Op::Migrate => tell(DeviceInput::Migrate { proof: technician(&now), address: address() }),
        Op::Regenerate => tell(DeviceInput::Regenerate { actor: Actor::Local }),
        Op::Exit => tell(DeviceInput::Exit { actor: actor(Role::Technician) }),
        Op::Reset => tell(DeviceInput::Reset { proof: technician(&now) }),
        Op::Deprovision => tell(DeviceInput::Deprovision { proof: administrator(&now) }),
        Op::FactoryReset => {
            let confirmation = "ZM-001".into();
            let (proof, new_identity) = (administrator(&now), false);
            tell(DeviceInput::FactoryReset { proof, confirmation, new_identity });
        }
        Op::WrongCode if model.shows_a_code() => {
            let code = pair.code();
            let run = Run::new(pair, other_code(&code));
            run.start(pair).unwrap();
            assert!(run.confirm(pair, [0; 32]).is_err());
        }
        Op::Claim if model.shows_a_code() => drop(Forge::claim(pair)),
        Op::Pair { typed, fate } if model.shows_a_code() => {
            match fate {
                Fate::Good => {}
                Fate::Refused => {
                    let refused = LinkError::Refused(C::ConnectionRefusedByStation);
                    pair.tests.push_back(Err(refused));
                }
                Fate::Lost => pair.tests.extend([Err(LOST); 3]),
                Fate::Committed => pair.commits.extend([Commit::AnswerLost; 3]),
                Fate::Unheard => pair.commits.extend([Commit::RequestLost; 3]),
            }
            if typed {
                let code = pair.code();
                pair.pair_typed(&code);
            } else {
                pair.pair();
            }
            if matches!(fate, Fate::Lost) {
                pair.pass(seconds(5));
            }
        }
        Op::Renew { answered: true } => tell(DeviceInput::Renew { proof: technician(&now) }),
        Op::Renew { answered: false } if model.may_fail_to_renew() => {
            pair.pulls.push_back(LOST);
            pair.renew();
        }
        Op::Pass(n) => pair.pass(seconds(n)),
        Op::Restart => drop(pair.restart().unwrap()),
        Op::WrongCode | Op::Claim | Op::Pair { .. } | Op::Renew { .. } => {}
    }
}

fn compare(pair: &Pair, model: &Model, ops: &[Op]) {
    let (snapshot, stored) = (pair.snapshot(), &pair.device.stored);
    let what = format!("{model:?} after {ops:?}");
    assert_eq!(pair.device.machine.kind(), model.kind(), "{what}");
    assert_eq!(pair.device.machine.is_provisioned(), model.provisioned, "{what}");
    assert_eq!(stored.slot_a.is_some(), model.provisioned, "{what}");
    assert_eq!(pair.link.is_some(), model.provisioned, "the link lives as slot A does: {what}");
    let doubt = matches!(model.phase, Phase::Doubt { .. });
    assert_eq!(stored.slot_b.is_some(), doubt, "{what}");
    assert_eq!(snapshot.code.is_some(), model.shows_a_code(), "{what}");
    assert_eq!(snapshot.last_error.map(|error| error.code), model.error, "{what}");
    assert_eq!(snapshot.migrating, model.migrating, "{what}");
    if let Phase::Ready { left, tries, .. } = model.phase {
        assert_eq!(snapshot.expires_in, Some(seconds(left)), "{what}");
        assert_eq!((pair.device.tries, stored.window_open), (tries, tries < TRIES), "{what}");
    }
    assert_eq!(pair.listening, !matches!(model.phase, Phase::Idle), "{what}");
}

fn op() -> impl Strategy<Value = Op> {
    let fate = prop_oneof![
        4 => Just(Fate::Good),
        1 => Just(Fate::Refused),
        1 => Just(Fate::Lost),
        1 => Just(Fate::Committed),
        1 => Just(Fate::Unheard),
    ];
    prop_oneof![
        8 => Just(Op::Enter),
        6 => Just(Op::Reprovision),
        2 => Just(Op::Retry),
        1 => Just(Op::Migrate),
        1 => Just(Op::Regenerate),
        1 => Just(Op::Exit),
        1 => Just(Op::Reset),
        1 => Just(Op::Deprovision),
        1 => Just(Op::FactoryReset),
        6 => Just(Op::WrongCode),
        3 => Just(Op::Claim),
        8 => (any::<bool>(), fate).prop_map(|(typed, fate)| Op::Pair { typed, fate }),
        3 => any::<bool>().prop_map(|answered| Op::Renew { answered }),
        5 => prop_oneof![Just(121_u64), Just(151), Just(601), Just(901)].prop_map(Op::Pass),
        1 => Just(Op::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 32,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_device_is_what_the_reference_machine_says(
        seed in any::<u64>(),
        ops in prop::collection::vec(op(), 1..32),
    ) {
        let (mut pair, mut model) = (Pair::new(seed), Model::NEW);
        for (done, op) in ops.iter().enumerate() {
            run(&mut pair, &model, *op);
            model.apply(*op);
            compare(&pair, &model, &ops[..=done]);
        }
    }
}
