//! What operators may ask for, and what is written when they may not (D12, D22, [W §7.2], [W §8]).

use zmon_domain::audit::EventType as E;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::OverrideReason;
use zmon_domain::role::{Actor, Role};
use zmon_domain::state::ProvisioningState;
use zmon_domain::time::Tick;
use zmon_protocol::device::{DeviceInput, LinkError, StateKind};
use zmon_protocol::station::SessionPhase;

use crate::common::{
    Forge, Pair, actor, address, administrator, operator, proof, seconds, technician,
};

fn failed() -> Pair {
    let mut pair = Pair::new(61);
    pair.enter();
    pair.tests.push_back(Err(LinkError::Refused(ErrorCode::ConnectionRefusedByStation)));
    pair.pair();
    assert_eq!(pair.device.machine.state(), ProvisioningState::Error);
    pair
}

#[test]
fn only_roles_that_may_and_proofs_that_hold_open_a_window() {
    let mut pair = Pair::new(62);
    let later = Tick::new(seconds(60));
    let cases = [
        (proof(Role::Auditor, later), ErrorCode::NotPermitted, Role::Auditor),
        (proof(Role::Technician, Tick::ZERO), ErrorCode::ProofExpired, Role::Technician),
    ];
    pair.clock.pass(seconds(1));
    for (proof, code, role) in cases {
        let input = DeviceInput::Enter { proof, address: address() };
        assert_eq!(pair.tell(input).unwrap_err().code, code);
        let row = pair.device.last();
        assert_eq!((row.event, row.error), (E::ProvisioningModeRefused, Some(code)));
        assert_eq!(row.actor, actor(role));
        assert_eq!(pair.device.machine.kind(), StateKind::NotProvisioned);
    }
    for role in [Role::Technician, Role::Administrator] {
        let mut pair = Pair::new(63);
        let proof = proof(role, later);
        pair.tell(DeviceInput::Enter { proof, address: address() }).unwrap();
        assert_eq!(pair.device.machine.kind(), StateKind::ReadyToPair);
        assert_eq!(pair.device.audit[0].actor, actor(role));
    }
}

#[test]
fn refusals_of_others_get_a_row_too() {
    let mut pair = Pair::new(64);
    for code in [ErrorCode::AuthenticationFailed, ErrorCode::InterlockActive] {
        let who = Actor::Operator { id: operator(), role: Role::Technician };
        pair.tell(DeviceInput::EnterRefused { actor: who.clone(), code }).unwrap_err();
        let row = pair.device.last();
        assert_eq!((row.event, row.error), (E::ProvisioningModeRefused, Some(code)));
        assert_eq!(row.actor, who);
    }
}

#[test]
fn enter_is_for_devices_without_and_reprovision_for_devices_with_a_configuration() {
    let mut fresh = Pair::new(65);
    let now = fresh.now();
    let input = DeviceInput::Reprovision { proof: technician(&now), address: address() };
    assert_eq!(fresh.tell(input).unwrap_err().code, ErrorCode::StateConflict);

    let mut provisioned = Pair::provisioned(65);
    let input = DeviceInput::Enter { proof: technician(&now), address: address() };
    assert_eq!(provisioned.tell(input).unwrap_err().code, ErrorCode::StateConflict);
    provisioned.reprovision();
    for input in [
        DeviceInput::Enter { proof: technician(&now), address: address() },
        DeviceInput::Reprovision { proof: technician(&now), address: address() },
        DeviceInput::Retry { proof: technician(&now) },
    ] {
        let refused = provisioned.tell(input).unwrap_err();
        assert_eq!(refused.code, ErrorCode::AlreadyInProvisioningMode);
        assert_eq!(provisioned.device.last().event, E::ProvisioningModeRefused);
    }
}

#[test]
fn reprovisioning_needs_the_role_and_a_command_of_its_own() {
    let mut pair = Pair::provisioned(74);
    let slot = pair.device.stored.slot_a.as_ref().map(|slot| slot.serial);
    let later = pair.now().mono + seconds(60);
    let cases = [
        (proof(Role::Auditor, later), ErrorCode::NotPermitted, Role::Auditor),
        (proof(Role::Technician, Tick::ZERO), ErrorCode::ProofExpired, Role::Technician),
    ];
    pair.clock.pass(seconds(1));
    for (proof, code, role) in cases {
        let input = DeviceInput::Reprovision { proof, address: address() };
        assert_eq!(pair.tell(input).unwrap_err().code, code);
        let row = pair.device.last();
        assert_eq!((row.event, row.error), (E::ProvisioningModeRefused, Some(code)));
        assert_eq!(row.actor, actor(role));
        assert_eq!(pair.device.machine.kind(), StateKind::Provisioned);
    }
    // Nothing but the command itself leaves what works: no retry, no enter.
    let now = pair.now();
    for input in [
        DeviceInput::Enter { proof: technician(&now), address: address() },
        DeviceInput::Retry { proof: technician(&now) },
    ] {
        assert_eq!(pair.tell(input).unwrap_err().code, ErrorCode::StateConflict);
    }
    let proof = technician(&now);
    pair.tell(DeviceInput::Reprovision { proof, address: address() }).unwrap();
    assert_eq!(pair.device.machine.kind(), StateKind::ReadyToPair);
    assert_eq!(pair.device.rows(E::ReprovisioningStarted)[0].actor, actor(Role::Technician));
    assert_eq!(pair.device.stored.slot_a.as_ref().map(|slot| slot.serial), slot);
}

#[test]
fn cancel_leaves_every_phase_for_where_it_came_from() {
    type Reach = fn(&mut Pair);
    let phases: [(Reach, StateKind); 3] = [
        (|_| {}, StateKind::ReadyToPair),
        (|pair| drop(Forge::claim(pair)), StateKind::Pairing),
        (
            |pair| {
                pair.tests.push_back(Err(LinkError::Network(ErrorCode::Timeout)));
                pair.pair();
            },
            StateKind::Validating,
        ),
    ];
    for (reach, kind) in phases {
        for provisioned in [false, true] {
            let mut pair = if provisioned { Pair::provisioned(66) } else { Pair::new(66) };
            if provisioned {
                pair.reprovision();
            } else {
                pair.enter();
            }
            reach(&mut pair);
            assert_eq!(pair.device.machine.kind(), kind);
            let slot_a = pair.device.stored.slot_a.as_ref().map(|slot| slot.serial);
            let from = pair.device.audit.len();
            pair.tell(DeviceInput::Exit { actor: actor(Role::Technician) }).unwrap();
            assert_eq!(
                pair.device.log_since(from),
                [(E::PairingCancelled, None), (E::ProvisioningModeExited, None)]
            );
            assert_eq!(pair.device.last().actor, actor(Role::Technician));
            let expected =
                if provisioned { StateKind::Provisioned } else { StateKind::NotProvisioned };
            assert_eq!(pair.device.machine.kind(), expected);
            let stored = &pair.device.stored;
            assert!(stored.slot_b.is_none() && !stored.window_open && !pair.listening);
            assert_eq!(stored.slot_a.as_ref().map(|slot| slot.serial), slot_a);
            assert!(pair.snapshot().last_error.is_none());
            if kind == StateKind::Validating {
                assert_eq!(pair.phase(), SessionPhase::Failed, "the station hears of it");
            }
        }
    }
}

#[test]
fn exit_outside_provisioning_mode_is_refused() {
    for mut pair in [Pair::new(67), Pair::provisioned(67)] {
        let refused = pair.tell(DeviceInput::Exit { actor: Actor::System }).unwrap_err();
        assert_eq!(refused.code, ErrorCode::NotInProvisioningMode);
        assert_eq!(pair.device.last().event, E::OperationRefused);
        let refused = pair.tell(DeviceInput::Regenerate { actor: Actor::Local }).unwrap_err();
        assert_eq!(refused.code, ErrorCode::NotInProvisioningMode);
    }
}

#[test]
fn only_an_administrator_overrides_the_interlock_and_says_why() {
    let mut pair = Pair::new(75);
    let (now, reason) = (pair.now(), OverrideReason::parse("no patient").unwrap());
    let proof = technician(&now);
    let input = DeviceInput::OverrideInterlock { proof, reason: reason.clone() };
    assert_eq!(pair.tell(input).unwrap_err().code, ErrorCode::NotPermitted);
    let row = pair.device.last();
    assert_eq!((row.event, &row.actor), (E::OperationRefused, &actor(Role::Technician)));

    pair.tell(DeviceInput::OverrideInterlock { proof: administrator(&now), reason }).unwrap();
    let row = pair.device.last();
    assert_eq!((row.event, &row.actor), (E::InterlockOverridden, &actor(Role::Administrator)));
    assert_eq!(row.detail, [("reason", "no patient".to_owned())]);
    assert_eq!(pair.device.machine.kind(), StateKind::NotProvisioned);
}

#[test]
fn an_error_can_be_dismissed_reset_or_retried() {
    let mut pair = failed();
    pair.tell(DeviceInput::Exit { actor: actor(Role::Technician) }).unwrap();
    assert_eq!(pair.device.machine.kind(), StateKind::NotProvisioned);
    assert_eq!(pair.device.last().event, E::ProvisioningModeExited);

    let mut pair = failed();
    let now = pair.now();
    pair.tell(DeviceInput::Reset { proof: technician(&now) }).unwrap();
    assert_eq!(pair.device.machine.kind(), StateKind::NotProvisioned);
    assert_eq!(pair.device.last().event, E::ProvisioningReset);

    let mut pair = failed();
    let from = pair.device.audit.len();
    pair.tell(DeviceInput::Retry { proof: technician(&now) }).unwrap();
    assert_eq!(
        pair.device.log_since(from),
        [
            (E::ProvisioningRetried, None),
            (E::ProvisioningModeEntered, None),
            (E::PairingCodeGenerated, None)
        ]
    );
    assert_eq!(pair.qr().ip_address, address(), "the address of the last window");
    assert_eq!(pair.pair(), SessionPhase::Paired);

    let mut pair = failed();
    pair.enter();
    assert_eq!(pair.device.machine.kind(), StateKind::ReadyToPair);
}

#[test]
fn there_must_be_something_to_retry() {
    for mut pair in [Pair::new(68), Pair::provisioned(68)] {
        let now = pair.now();
        let refused = pair.tell(DeviceInput::Retry { proof: technician(&now) }).unwrap_err();
        assert_eq!(refused.code, ErrorCode::StateConflict);
    }
}

#[test]
fn reset_works_from_every_state_without_touching_slot_a() {
    let mut fresh = Pair::new(69);
    let now = fresh.now();
    fresh.tell(DeviceInput::Reset { proof: technician(&now) }).unwrap();
    assert_eq!(fresh.device.machine.kind(), StateKind::NotProvisioned);

    let mut pair = Pair::provisioned(69);
    pair.reprovision();
    let _claimed = Forge::claim(&mut pair);
    pair.tell(DeviceInput::Reset { proof: technician(&now) }).unwrap();
    assert_eq!(pair.device.machine.kind(), StateKind::Provisioned);
    assert_eq!(pair.device.last().event, E::ProvisioningReset);
    assert!(pair.device.last().session.is_some());
    assert!(pair.link.is_some() && !pair.listening);

    pair.reprovision();
    pair.pass(seconds(601));
    assert!(pair.snapshot().last_error.is_some());
    let now = pair.now();
    pair.tell(DeviceInput::Reset { proof: technician(&now) }).unwrap();
    assert!(pair.snapshot().last_error.is_none());
    let auditor = proof(Role::Auditor, now.mono);
    let refused = pair.tell(DeviceInput::Reset { proof: auditor }).unwrap_err();
    assert_eq!(refused.code, ErrorCode::NotPermitted);
}

#[test]
fn deprovisioning_wipes_and_stays() {
    let mut pair = Pair::provisioned(70);
    let now = pair.now();
    let refused = pair.tell(DeviceInput::Deprovision { proof: technician(&now) }).unwrap_err();
    assert_eq!(refused.code, ErrorCode::NotPermitted, "administrators only");
    assert_eq!(pair.device.last().event, E::OperationRefused);

    pair.tell(DeviceInput::Deprovision { proof: administrator(&now) }).unwrap();
    assert_eq!(pair.device.machine.state(), ProvisioningState::Deprovisioned);
    assert_eq!(pair.device.last().event, E::DeviceDeprovisioned);
    assert!(pair.device.stored.slot_a.is_none() && pair.device.stored.deprovisioned);
    assert_eq!(pair.link, None);
    assert_eq!(pair.trace, ["StopLink", "SendRetire"]);

    pair.restart().unwrap();
    assert_eq!(pair.device.machine.state(), ProvisioningState::Deprovisioned);
    pair.enter();
    pair.tell(DeviceInput::Exit { actor: actor(Role::Technician) }).unwrap();
    assert_eq!(pair.device.machine.state(), ProvisioningState::Deprovisioned);
    pair.enter();
    pair.pass(seconds(601));
    assert_eq!(pair.device.machine.state(), ProvisioningState::Error);
    let proof = technician(&pair.now());
    pair.tell(DeviceInput::Reset { proof }).unwrap();
    assert_eq!(pair.device.machine.state(), ProvisioningState::Deprovisioned);
    pair.enter();
    assert_eq!(pair.pair(), SessionPhase::Paired);
    assert!(!pair.device.stored.deprovisioned);
}

#[test]
fn deprovisioning_in_the_middle_of_a_re_provisioning_ends_it() {
    let mut pair = Pair::provisioned(71);
    pair.reprovision();
    pair.tests.push_back(Err(LinkError::Network(ErrorCode::Timeout)));
    pair.pair();
    let proof = administrator(&pair.now());
    pair.tell(DeviceInput::Deprovision { proof }).unwrap();
    assert_eq!(pair.device.machine.state(), ProvisioningState::Deprovisioned);
    assert!(!pair.listening && pair.link.is_none());
    assert!(pair.device.stored.slot_b.is_none() && !pair.device.stored.window_open);
}

#[test]
fn there_must_be_a_slot_to_deprovision() {
    for mut pair in [Pair::new(72), failed()] {
        let proof = administrator(&pair.now());
        let refused = pair.tell(DeviceInput::Deprovision { proof }).unwrap_err();
        assert_eq!(refused.code, ErrorCode::StateConflict);
    }
    let mut pair = Pair::new(73);
    pair.enter();
    let proof = administrator(&pair.now());
    assert!(pair.tell(DeviceInput::Deprovision { proof }).is_err(), "no slot A in this window");
    assert_eq!(pair.device.machine.kind(), StateKind::ReadyToPair);
}
