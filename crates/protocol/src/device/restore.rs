//! The machine after a start (D11, D13).

use alloc::boxed::Box;
use alloc::sync::Arc;

use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::role::Actor;
use zmon_domain::time::Now;

use super::erase::Erasing;
use super::junk::Junk;
use super::machine::Core;
use super::migrate::Migration;
use super::output::{DeviceAction, DeviceReply, DeviceTransition, DeviceWrite};
use super::profile::{BootState, DeviceContext};
use super::retire::Queue;
use super::slot::{Loaded, Slot};
use super::state::{
    Base, Evidence, Failed, Origin, Progress, Provisioned, Staged, State, Validating,
};
use super::step::Outbox;

pub(super) fn restore(boot: BootState, ctx: &DeviceContext<'_>, now: &Now) -> DeviceTransition {
    let mut out = Outbox::default();
    let BootState {
        slot_a,
        slot_b,
        window_open,
        deprovisioned,
        floor,
        site_not_before,
        generation,
        retirements,
        retire_counter,
        erasing,
        new_identity,
        migrating,
        recovery_counter,
    } = boot;
    let used = [slot_a.as_ref(), slot_b.as_ref().map(|(slot, _)| slot)];
    let generation =
        used.into_iter().flatten().map(|slot| slot.generation).fold(generation, u64::max);
    let built_at = ctx.profile.built_at;
    let core = Core {
        floor: floor.map_or(built_at, |seen| seen.max(built_at)),
        floor_at: now.mono,
        sites: site_not_before,
        generation,
        junk: Junk::default(),
        finished: None,
        address: None,
        retire: Queue::restore(retirements, retire_counter),
        erasing: match (erasing, new_identity) {
            (true, _) => Some(Erasing::Running { tried: 0 }),
            (false, true) => Some(Erasing::Restart),
            (false, false) => None,
        },
        new_identity,
        migration: if migrating { Migration::Begun } else { Migration::None },
        counter: recovery_counter,
        renewal: None,
    };
    let base = if deprovisioned { Base::Deprovisioned } else { Base::Fresh };

    let in_doubt = slot_b.as_ref().filter(|(_, sent)| *sent).map(|(slot, _)| slot.clone());
    let (active, staged) = match (read(slot_a, ctx), read(in_doubt, ctx)) {
        (Ok(active), Ok(staged)) => (active, staged),
        (Err(report), _) | (_, Err(report)) => return unusable(out, core, base, report),
    };
    if window_open {
        out.row(row(ctx, EventType::WindowVoidedByRestart, ErrorCode::PairingCodeExpired));
        out.write(DeviceWrite::CloseWindow);
    }
    if let Some((slot, false)) = &slot_b {
        let row = row(ctx, EventType::ProvisioningFailed, ErrorCode::SessionExpired)
            .session(slot.session_id)
            .configuration_hash(slot.configuration_hash)
            .with("cause", "restart");
        out.row(row);
        out.write(DeviceWrite::DropB);
    }
    if erasing {
        out.act(DeviceAction::Erase);
    }
    if let Some(active) = &active {
        out.act(DeviceAction::StartLink(active.credentials.clone()));
    }
    let state = match (active, staged) {
        (None, None) => base.state(),
        (Some(active), None) => {
            State::Provisioned(Provisioned { active, last_error: None, asking: None })
        }
        (active, Some(slot)) => {
            let origin = active.map_or(Origin::Unprovisioned(base), Origin::Active);
            let staged = Staged {
                origin,
                slot,
                _evidence: Evidence::Durable,
                opening: None,
                envelope_hash: None,
                deadline: None,
                station_name: None,
                site_id: None,
            };
            let progress = Progress::AskPause { asked: 0, at: now.mono };
            State::Validating(Box::new(Validating { staged, progress }))
        }
    };
    // No signal: whoever subscribes gets the state first.
    let before = state.public().status();
    out.finish(before, core, state, Ok(DeviceReply::None))
}

/// A stored slot cannot be used: nothing is written, and the driver must not go on.
fn unusable(out: Outbox, core: Core, base: Base, report: ErrorReport) -> DeviceTransition {
    let state = State::Error(Failed { base, report: report.clone() });
    let before = state.public().status();
    out.finish(before, core, state, Err(report))
}

/// A simulated slot works with the anchors of a simulation only, a real one with real anchors only
/// (D20).
fn read(slot: Option<Slot>, ctx: &DeviceContext<'_>) -> Result<Option<Arc<Loaded>>, ErrorReport> {
    let Some(slot) = slot else { return Ok(None) };
    let loaded = Loaded::read(&slot)?;
    if loaded.is_simulated() == ctx.anchors.is_simulated() {
        Ok(Some(Arc::new(loaded)))
    } else {
        Err(ErrorCode::SimulatedConfiguration.into())
    }
}

fn row(ctx: &DeviceContext<'_>, event: EventType, code: ErrorCode) -> AuditEvent {
    AuditEvent::failed(event, Actor::System, code).device(&ctx.profile.device_id)
}
