//! Retire statements, factory reset and migration (D21, [W §7.2], [W §14]).

use zmon_crypto::jws::Unverified;
use zmon_domain::audit::EventType as E;
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_domain::role::Role;
use zmon_domain::state::ProvisioningState;
use zmon_protocol::device::{DeviceInput, LinkError, StateKind};
use zmon_protocol::station::SessionPhase;
use zmon_wire::retire::{RetireReason, RetireStatement};
use zmon_wire::strict;

use crate::common::{
    Commit, Forge, Pair, actor, address, administrator, proof, seconds, technician,
};

const LOST: Result<(), LinkError> = Err(LinkError::Network(ErrorCode::StationUnreachable));
const NO: Result<(), LinkError> = Err(LinkError::Refused(ErrorCode::ConnectionRefusedByStation));

fn deprovision(pair: &mut Pair) {
    let proof = administrator(&pair.now());
    pair.tell(DeviceInput::Deprovision { proof }).unwrap();
}

fn reset(pair: &mut Pair) {
    let proof = administrator(&pair.now());
    let confirmation = "ZM-001".into();
    pair.tell(DeviceInput::FactoryReset { proof, confirmation, new_identity: false }).unwrap();
}

fn statement(text: &str) -> RetireStatement {
    let jws = Unverified::parse(text.as_bytes()).unwrap();
    strict::parse(jws.payload_unverified(), 65_536).unwrap()
}

#[test]
fn a_wiped_certificate_is_reported_until_its_station_has_heard() {
    let mut pair = Pair::provisioned(200);
    let slot = pair.device.stored.slot_a.clone().unwrap();
    let link = slot.credentials().unwrap();
    deprovision(&mut pair);
    // The statement is durable in the very commit that wipes.
    let commit = pair.device.commits.iter().find(|rows| rows.contains(&E::DeviceDeprovisioned));
    assert_eq!(commit.unwrap(), &[E::RetireQueued, E::DeviceDeprovisioned]);
    let row = pair.device.rows(E::RetireQueued)[0];
    assert_eq!(row.actor, actor(Role::Administrator));
    let entry = pair.device.stored.retirements[0].clone();
    assert_eq!(entry.server_url, link.server_url);
    assert_eq!((&entry.ca, entry.server_pin), (&link.ca, link.server_pin));
    let said = statement(&entry.statement);
    assert_eq!((said.serials, said.counter), (vec![slot.serial], 1));
    assert_eq!((said.device_id.as_str(), said.reason), ("ZM-001", RetireReason::Deprovisioned));
    assert_eq!(pair.snapshot().retirements, 1);

    // Out of reach for a day: asked again at growing intervals, never dropped, nothing written.
    let rows = pair.device.audit.len();
    pair.pass(seconds(86_400));
    assert_eq!(pair.device.audit.len(), rows);
    let tried = pair.retired.len();
    assert!((1_000..2_000).contains(&tried), "{tried}");
    assert!(pair.retired.iter().all(|sent| **sent == entry));

    pair.restart().unwrap();
    assert_eq!(pair.retired.len(), tried + 1, "a restart begins at once");
    pair.retires.push_back(Ok(()));
    pair.pass(seconds(75));
    assert_eq!(pair.device.last().event, E::RetireDelivered);
    assert!(pair.device.stored.retirements.is_empty());
    assert_eq!(pair.snapshot().retirements, 0);
    let sent = pair.retired.len();
    pair.pass(seconds(3600));
    assert_eq!(pair.retired.len(), sent, "what is delivered is not sent again");
    assert!(pair.device.machine.poll_timeout().is_none());
}

#[test]
fn pauses_grow_with_jitter_up_to_their_bound() {
    let mut pair = Pair::provisioned(201);
    deprovision(&mut pair);
    let first = limits::OUTCOME_PAUSE.default;
    let longest = limits::LINK_BACKOFF_MAX.default;
    for tried in 0..8 {
        let pause = first.saturating_mul(1 << tried).min(longest);
        let due = pair.device.machine.poll_timeout().unwrap().since(pair.now().mono);
        assert!(due >= pause && due <= pause + pause / 4, "{tried}: {due:?}");
        assert!(pair.step());
    }
}

#[test]
fn a_station_that_refuses_is_written_down_once_and_holds_up_no_other() {
    let mut pair = Pair::provisioned(202);
    pair.retires.extend([NO, LOST]);
    deprovision(&mut pair);
    pair.enter();
    assert_eq!(pair.pair(), SessionPhase::Paired);
    deprovision(&mut pair);
    assert_eq!(pair.snapshot().retirements, 2);
    let counters: Vec<_> = pair.device.stored.retirements.iter().map(|e| e.counter).collect();
    assert_eq!(counters, [1, 2]);
    pair.retires.clear();
    pair.retires.extend([NO, NO, Ok(())]);
    pair.pass(seconds(600));
    let rows = pair.device.rows(E::RetireDelivered);
    let codes: Vec<_> = rows.iter().map(|row| row.error).collect();
    let refused = Some(ErrorCode::ConnectionRefusedByStation);
    assert_eq!(codes.iter().filter(|code| **code == refused).count(), 2, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| code.is_none()).count(), 1, "{codes:?}");
    assert_eq!(pair.snapshot().retirements, 1);
}

#[test]
fn an_answer_that_nobody_waits_for_changes_nothing() {
    let mut pair = Pair::provisioned(203);
    deprovision(&mut pair);
    for counter in [0, 1, 2] {
        let input = DeviceInput::RetireAnswered { counter, result: Ok(()) };
        pair.device.input(&pair.clock.now(), input).unwrap();
        assert_eq!(pair.device.stored.retirements.len(), 1, "not while it pauses");
    }
    pair.clock.jump(pair.device.machine.poll_timeout().unwrap());
    let now = pair.now();
    pair.device.input(&now, DeviceInput::Timeout).unwrap();
    let input = DeviceInput::RetireAnswered { counter: 2, result: Ok(()) };
    pair.device.input(&now, input).unwrap();
    assert_eq!(pair.device.stored.retirements.len(), 1, "not for another statement");
    // A driver that never answers costs one attempt.
    pair.device.actions.clear();
    pair.pass(limits::DELIVERY_TIMEOUT.default + seconds(100));
    assert!(pair.retired.len() > 1);
}

#[test]
fn a_device_that_cannot_write_wipes_nothing_and_queues_nothing() {
    let mut pair = Pair::provisioned(204);
    pair.device.audit_down = true;
    let now = pair.now();
    let confirmation = || "ZM-001".to_owned();
    for input in [
        DeviceInput::Deprovision { proof: administrator(&now) },
        DeviceInput::FactoryReset {
            proof: administrator(&now),
            confirmation: confirmation(),
            new_identity: false,
        },
    ] {
        assert_eq!(pair.tell(input).unwrap_err().code, ErrorCode::AuditUnavailable);
        assert!(pair.device.stored.slot_a.is_some() && pair.link.is_some());
        assert!(pair.device.stored.retirements.is_empty() && pair.retired.is_empty());
        assert_eq!(pair.snapshot().retirements, 0);
    }
}

#[test]
fn a_factory_reset_needs_an_administrator_and_the_typed_identifier() {
    let mut pair = Pair::provisioned(205);
    let now = pair.now();
    let cases = [
        (technician(&now), "ZM-001", ErrorCode::NotPermitted, Role::Technician),
        (proof(Role::Auditor, now.mono), "ZM-001", ErrorCode::NotPermitted, Role::Auditor),
        (administrator(&now), "", ErrorCode::ConfirmationMismatch, Role::Administrator),
        (administrator(&now), "zm-001", ErrorCode::ConfirmationMismatch, Role::Administrator),
    ];
    for (proof, typed, code, role) in cases {
        let input =
            DeviceInput::FactoryReset { proof, confirmation: typed.into(), new_identity: false };
        assert_eq!(pair.tell(input).unwrap_err().code, code);
        let row = pair.device.last();
        assert_eq!((row.event, row.error), (E::OperationRefused, Some(code)));
        assert_eq!(row.actor, actor(role));
        assert!(pair.device.stored.slot_a.is_some() && pair.trace.is_empty());
    }
}

#[test]
fn a_factory_reset_ends_everything_but_what_guards_against_roll_back() {
    let mut pair = Pair::provisioned(206);
    pair.tell(DeviceInput::Migrate { proof: technician(&pair.now()), address: address() }).unwrap();
    let before = pair.device.stored.clone();
    let serial = before.slot_a.as_ref().unwrap().serial;
    reset(&mut pair);
    let from = pair.device.audit.iter().rposition(|row| row.event == E::RetireQueued).unwrap();
    assert_eq!(
        pair.device.log_since(from),
        [(E::RetireQueued, None), (E::FactoryResetStarted, None), (E::FactoryReset, None)]
    );
    assert_eq!(pair.device.rows(E::FactoryResetStarted)[0].actor, actor(Role::Administrator));
    assert_eq!(pair.trace, ["StopLink", "Erase", "SendRetire"]);
    let stored = &pair.device.stored;
    assert!(stored.slot_a.is_none() && !stored.erasing && !stored.deprovisioned);
    assert!(!stored.migrating && !pair.snapshot().migrating);
    assert_eq!(stored.site_not_before, before.site_not_before);
    assert_eq!((stored.floor, stored.generation), (before.floor, before.generation));
    let said = statement(&stored.retirements[0].statement);
    assert_eq!((said.serials, said.reason), (vec![serial], RetireReason::FactoryReset));
    assert_eq!(pair.device.machine.state(), ProvisioningState::NotProvisioned);
    pair.restart().unwrap();
    assert_eq!(pair.device.machine.state(), ProvisioningState::NotProvisioned);
    pair.enter();
    assert_eq!(pair.pair(), SessionPhase::Paired);
}

#[test]
fn a_factory_reset_in_doubt_tells_the_station_of_both_certificates() {
    let mut pair = Pair::provisioned(207);
    let old = pair.device.stored.slot_a.as_ref().unwrap().serial;
    pair.reprovision();
    pair.commits.extend([Commit::AnswerLost; 3]);
    pair.asks.extend([Commit::RequestLost; 50]);
    pair.pair();
    pair.pass(seconds(10));
    assert_eq!(pair.device.machine.kind(), StateKind::InDoubt);
    let new = pair.device.stored.slot_b.as_ref().unwrap().0.serial;
    reset(&mut pair);
    assert_eq!(pair.device.machine.kind(), StateKind::NotProvisioned);
    let waiting = &pair.device.stored.retirements;
    assert_eq!(waiting.len(), 1, "one station, one statement");
    assert_eq!(statement(&waiting[0].statement).serials, [old, new]);
    assert!(pair.device.stored.slot_b.is_none() && !pair.device.stored.window_open);
}

#[test]
fn an_erasure_that_is_cut_short_goes_on_until_it_is_done() {
    let mut pair = Pair::provisioned(208);
    pair.erasures.extend([Err(ErrorCode::StorageUnavailable); 3]);
    reset(&mut pair);
    assert!(pair.snapshot().erasing && pair.device.stored.erasing);
    let failed = pair.device.last();
    assert_eq!(
        (failed.event, failed.error),
        (E::FactoryReset, Some(ErrorCode::StorageUnavailable))
    );
    // Meanwhile nobody begins anything, and each who tries has a row.
    let now = pair.now();
    let confirmation = "ZM-001".to_owned();
    for input in [
        DeviceInput::Enter { proof: technician(&now), address: address() },
        DeviceInput::Reprovision { proof: technician(&now), address: address() },
        DeviceInput::Retry { proof: technician(&now) },
        DeviceInput::Reset { proof: technician(&now) },
        DeviceInput::Deprovision { proof: administrator(&now) },
        DeviceInput::FactoryReset { proof: administrator(&now), confirmation, new_identity: false },
        DeviceInput::Migrate { proof: technician(&now), address: address() },
        DeviceInput::PostponeMigration { proof: technician(&now) },
    ] {
        let rows = pair.device.audit.len();
        assert_eq!(pair.tell(input).unwrap_err().code, ErrorCode::ErasePending);
        assert_eq!(pair.device.audit.len(), rows + 1);
        assert_eq!(pair.device.last().error, Some(ErrorCode::ErasePending));
    }
    // The power goes: the next start takes it up.
    pair.restart().unwrap();
    assert_eq!(pair.trace.last(), Some(&"SendRetire"));
    assert_eq!(pair.trace.iter().filter(|name| **name == "Erase").count(), 2);
    pair.pass(seconds(60));
    assert!(!pair.snapshot().erasing && !pair.device.stored.erasing);
    let done = pair.device.rows(E::FactoryReset);
    assert_eq!(done.iter().filter(|row| row.success).count(), 1);
    let again = DeviceInput::Erased(Ok(()));
    let rows = pair.device.audit.len();
    pair.tell(again).unwrap();
    assert_eq!(pair.device.audit.len(), rows);
    pair.enter();
}

#[test]
fn migrating_opens_a_window_and_removes_nothing_before_a_heartbeat() {
    let mut pair = Pair::new(209);
    pair.tell(DeviceInput::LinkProven).unwrap();
    pair.tell(DeviceInput::Migrate { proof: technician(&pair.now()), address: address() }).unwrap();
    let rows: Vec<_> = pair.device.audit.iter().map(|row| row.event).collect();
    assert_eq!(rows, [E::MigrationStarted, E::ProvisioningModeEntered, E::PairingCodeGenerated]);
    assert!(pair.device.stored.migrating && pair.snapshot().migrating);
    assert_eq!(pair.pair(), SessionPhase::Paired);
    assert!(!pair.trace.contains(&"RemoveManual"), "paired is not proven");
    // A power cut between pairing and proof loses nothing.
    pair.restart().unwrap();
    assert!(pair.snapshot().migrating);
    pair.tell(DeviceInput::LinkProven).unwrap();
    assert_eq!(pair.trace.iter().filter(|name| **name == "RemoveManual").count(), 1);
    let from = pair.device.audit.len() - 2;
    assert_eq!(
        pair.device.log_since(from),
        [(E::ManualRemovalStarted, None), (E::ManualConfigurationRemoved, None)]
    );
    assert!(!pair.device.stored.migrating && !pair.snapshot().migrating);
    let rows = pair.device.audit.len();
    pair.tell(DeviceInput::LinkProven).unwrap();
    assert_eq!(pair.device.audit.len(), rows, "run again: nothing left of it");
}

#[test]
fn a_failed_pairing_keeps_the_migration_and_what_is_migrated() {
    let mut pair = Pair::new(210);
    pair.tell(DeviceInput::Migrate { proof: technician(&pair.now()), address: address() }).unwrap();
    pair.tests.push_back(Err(LinkError::Refused(ErrorCode::ConnectionRefusedByStation)));
    pair.pair();
    assert_eq!(pair.device.machine.kind(), StateKind::Error);
    pair.tell(DeviceInput::LinkProven).unwrap();
    assert!(pair.device.stored.migrating && !pair.trace.contains(&"RemoveManual"));
    let now = pair.now();
    pair.tell(DeviceInput::Retry { proof: technician(&now) }).unwrap();
    assert_eq!(pair.pair(), SessionPhase::Paired);
    pair.tell(DeviceInput::LinkProven).unwrap();
    assert!(pair.trace.contains(&"RemoveManual"));
}

#[test]
fn a_removal_that_fails_is_written_down_and_tried_at_the_next_start() {
    let mut pair = Pair::provisioned(211);
    pair.tell(DeviceInput::Migrate { proof: technician(&pair.now()), address: address() }).unwrap();
    assert_eq!(pair.device.machine.kind(), StateKind::Provisioned, "only the last step is left");
    pair.removals.push_back(Err(ErrorCode::StorageUnavailable));
    for _ in 0..3 {
        pair.tell(DeviceInput::LinkProven).unwrap();
    }
    assert_eq!(pair.device.rows(E::ManualRemovalStarted).len(), 1);
    let failed = pair.device.rows(E::ManualConfigurationRemoved);
    assert_eq!(failed[0].error, Some(ErrorCode::StorageUnavailable));
    assert!(pair.device.stored.migrating);
    pair.restart().unwrap();
    pair.tell(DeviceInput::LinkProven).unwrap();
    assert!(!pair.device.stored.migrating);
}

#[test]
fn not_now_is_an_answer_with_its_row() {
    let mut pair = Pair::new(212);
    pair.tell(DeviceInput::PostponeMigration { proof: technician(&pair.now()) }).unwrap();
    assert_eq!(pair.device.last().event, E::MigrationPostponed);
    assert_eq!(pair.device.last().actor, actor(Role::Technician));
    pair.tell(DeviceInput::Migrate { proof: technician(&pair.now()), address: address() }).unwrap();
    pair.tell(DeviceInput::PostponeMigration { proof: technician(&pair.now()) }).unwrap();
    assert!(!pair.device.stored.migrating);
    assert_eq!(pair.pair(), SessionPhase::Paired);
    pair.tell(DeviceInput::LinkProven).unwrap();
    assert!(!pair.trace.contains(&"RemoveManual"), "nobody wants it gone");
}

#[test]
fn migrating_is_refused_to_auditors_in_a_window_and_without_a_manual_configuration() {
    let mut pair = Pair::new(213);
    let auditor = |pair: &Pair| proof(Role::Auditor, pair.now().mono + seconds(60));
    let who = actor(Role::Auditor);
    let input = DeviceInput::Migrate { proof: auditor(&pair), address: address() };
    assert_eq!(pair.tell(input).unwrap_err().code, ErrorCode::NotPermitted);
    let input = DeviceInput::PostponeMigration { proof: auditor(&pair) };
    assert_eq!(pair.tell(input).unwrap_err().code, ErrorCode::NotPermitted);
    assert!(pair.device.rows(E::OperationRefused).iter().all(|row| row.actor == who));
    let code = ErrorCode::ManualConfigurationMissing;
    let input = DeviceInput::MigrationRefused { actor: who.clone(), code };
    assert_eq!(pair.tell(input).unwrap_err().code, code);
    let row = pair.device.last();
    assert_eq!((row.event, row.error), (E::ManualConfigurationRefused, Some(code)));
    pair.enter();
    let _claimed = Forge::claim(&mut pair);
    let input = DeviceInput::Migrate { proof: technician(&pair.now()), address: address() };
    assert_eq!(pair.tell(input).unwrap_err().code, ErrorCode::AlreadyInProvisioningMode);
    assert!(!pair.device.stored.migrating);
}

#[test]
fn a_new_identity_waits_for_the_start_that_makes_it() {
    let mut pair = Pair::provisioned(211);
    let (proof, confirmation) = (administrator(&pair.now()), "ZM-001".into());
    pair.erasures.push_back(Err(ErrorCode::StorageUnavailable));
    let input = DeviceInput::FactoryReset { proof, confirmation, new_identity: true };
    pair.tell(input).unwrap();
    assert!(pair.device.stored.new_identity, "asked for in the reset's own record");
    let unfinished = pair.snapshot();
    assert!(unfinished.erasing && !unfinished.awaits_restart);
    pair.pass(seconds(60));
    let snapshot = pair.snapshot();
    assert!(snapshot.erasing && snapshot.awaits_restart, "erased, and nothing may begin");
    assert!(!pair.device.stored.erasing);
    assert_eq!(pair.device.rows(E::FactoryReset).last().unwrap().error, None);
    let proof = technician(&pair.now());
    let refused = pair.tell(DeviceInput::Enter { proof, address: address() }).unwrap_err();
    assert_eq!(refused.code, ErrorCode::ErasePending);
    // A start that did not make it waits on.
    pair.restart().unwrap();
    assert!(pair.snapshot().awaits_restart);
    pair.device.stored.new_identity = false;
    pair.restart().unwrap();
    assert!(!pair.snapshot().erasing);
}
