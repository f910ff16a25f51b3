//! Opening a session: who works on the device, whether it may be dialled, and the first record
//! (D11, D18).

use std::sync::Arc;

use zmon_domain::address::DeviceAddress;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::code::PairingCode;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, DeviceSerial, SessionId};
use zmon_domain::role::{Actor, OperatorProof};
use zmon_domain::route::Route;
use zmon_domain::time::{Now, is_expired};
use zmon_protocol::station::{
    DeviceRecord, OpenRequest, Opening, PairDetails, RegistryEntry, Reservation, SessionMachine,
    SessionTransition,
};
use zmon_wire::carry::Message;

use super::certificates::RACES;
use super::{Checkpoints, Station};
use crate::error::StationError;
use crate::ports::{DeviceRow, DeviceStatus, Refusal, SessionRow, StationRecord, StationWrite};
use crate::session::{Command, OpenFacts, SessionDriver, SessionHandle, keep, translate};

/// What an operator read off the screen, parsed.
#[derive(Clone)]
pub(super) struct Scan {
    pub(super) device_id: DeviceId,
    pub(super) code: PairingCode,
    pub(super) opening: Opening,
    pub(super) serial: Option<DeviceSerial>,
    /// Not said where nobody dials it.
    pub(super) address: Option<DeviceAddress>,
    /// How the operator wants the messages to go; the station finds a way by itself otherwise (D7).
    pub(super) delivery: Option<Route>,
}

impl Scan {
    /// Where the device listens, if that was said.
    fn place(&self) -> Option<(DeviceAddress, u16)> {
        self.address.zip(self.opening.port())
    }
}

/// Where a scan leads.
pub(super) enum Opened {
    /// A running session, new or the operator's own of before.
    Live(SessionHandle),
    /// The operator's own session of before that has ended.
    Past(SessionId),
    /// A session that another process runs, and that this operator may go on with.
    Elsewhere(SessionId),
}

impl Station {
    /// Opens a session, or finds the one this very scan has opened before.
    pub(super) async fn open(
        self: &Arc<Self>,
        proof: &OperatorProof,
        actor: &Actor,
        scan: Scan,
        pair: Option<PairDetails>,
    ) -> Result<Opened, StationError> {
        let now = self.now();
        if self.delivery(&scan, &now) == Route::Push
            && scan.place().is_some_and(|(address, port)| self.is_own(address, port))
        {
            let code = ErrorCode::AddressNotPermitted;
            let row = self.refused(actor, &scan.device_id, code).with("address", "own");
            return self.refuse(&now, row, code.into()).await;
        }
        self.keep_up(&now).await?;
        let (opened, repeated) = self.open_here(proof, actor, &scan, pair.as_ref()).await?;
        if let (Opened::Live(handle), true) = (&opened, repeated)
            && self.delivery(&scan, &now) == Route::Push
            && let Some(address) = scan.address
        {
            // Where the messages wait for somebody, the device may be within reach by now.
            match handle.ask(|reply| Command::Again(address, reply)).await {
                Err(_) if handle.view().phase.is_final() => {}
                other => other?,
            }
        }
        if let (Opened::Live(handle), true, Some(details)) = (&opened, repeated, pair) {
            self.go_on(handle, proof, &scan.code, None, details).await?;
        }
        Ok(opened)
    }

    /// The session of this scan, and whether it was there before; one that another process runs is brought
    /// here first.
    async fn open_here(
        self: &Arc<Self>,
        proof: &OperatorProof,
        actor: &Actor,
        scan: &Scan,
        pair: Option<&PairDetails>,
    ) -> Result<(Opened, bool), StationError> {
        for _ in 0..RACES {
            let opening = self.opening.lock().await;
            let found = self.find_or_open(proof, actor, scan, pair).await?;
            drop(opening);
            match found {
                (Opened::Elsewhere(id), _) => drop(self.session_here(&id).await?),
                found => return Ok(found),
            }
        }
        Err(ErrorCode::StateConflict.into())
    }

    /// One caller at a time: whoever comes second finds the session, not a reservation that nobody seems to
    /// keep.
    async fn find_or_open(
        self: &Arc<Self>,
        proof: &OperatorProof,
        actor: &Actor,
        scan: &Scan,
        pair: Option<&PairDetails>,
    ) -> Result<(Opened, bool), StationError> {
        let now = self.now();
        for _ in 0..RACES {
            let holder = self.live_reservation(&scan.device_id, &now).await?;
            let holder = match holder {
                None => None,
                Some(row)
                    if row.operator.as_ref().is_none_or(|own| own == proof.id())
                        && self.sessions.get(&row.id).is_none()
                        && self.is_run_elsewhere(&row, &now)? =>
                {
                    return Ok((Opened::Elsewhere(row.id), true));
                }
                // What the device began by itself gives way to a person at it, if that one may pair it.
                Some(row) if row.operator.is_none() => {
                    let (scan, pair) = (scan.clone(), pair.cloned());
                    if self.propose_scan(proof, scan, None, pair).await?.reply.is_ok() {
                        let ended = AuditEvent::new(EventType::PairingCancelled, actor.clone())
                            .device(&row.device_id)
                            .session(row.id)
                            .with("reason", "scanned");
                        self.commit_all(&now, vec![ended], Vec::new()).await?;
                        self.end_pull(&row, &now).await?;
                        continue;
                    }
                    None
                }
                Some(row) if self.is_repeated(&row, scan) && !self.is_cut_off(&row, scan) => {
                    if row.operator.as_ref() == Some(proof.id()) {
                        let live = self.sessions.get(&row.id);
                        return Ok((live.map_or(Opened::Past(row.id), Opened::Live), true));
                    }
                    Some(row)
                }
                Some(row)
                    if row.operator.as_ref() == Some(proof.id()) && self.is_mixed(&row, scan) =>
                {
                    let code = ErrorCode::StateConflict;
                    let row = self.refused(actor, &scan.device_id, code);
                    return self.refuse(&now, row.with("reason", "method"), code.into()).await;
                }
                Some(row) if self.overtake(&row, proof, &now).await? => continue,
                other => other,
            };
            let opened = self.try_open(proof, actor, scan, holder, pair.cloned()).await?;
            if let Some(opened) = opened {
                return Ok((opened, false));
            }
        }
        Err(ErrorCode::StateConflict.into())
    }

    /// Proposes a session and commits its opening; `None` when somebody was faster.
    async fn try_open(
        self: &Arc<Self>,
        proof: &OperatorProof,
        actor: &Actor,
        scan: &Scan,
        holder: Option<SessionRow>,
        pair: Option<PairDetails>,
    ) -> Result<Option<Opened>, StationError> {
        let now = self.now();
        let mut opened = self.propose_scan(proof, scan.clone(), holder, pair).await?;
        let record = self.opening_record(&mut opened, &now)?;
        match self.commit_record(&now, &record).await? {
            Ok(()) => {}
            Err(Refusal::DeviceReserved(_)) => return Ok(None),
            Err(Refusal::TokenUsed(by)) => {
                return self.consumed(proof, actor, &scan.device_id, by).await;
            }
            Err(refusal) => return Err(Self::unexpected(&refusal)),
        }
        if let Err(refusal) = &opened.reply {
            self.alarm(&opened);
            return Err(refusal.clone().into());
        }
        Ok(Some(Opened::Live(SessionDriver::open(self, opened))))
    }

    /// The first record of a session, with what a restart needs to go on from it; or that of its refusal.
    pub(super) fn opening_record(
        &self,
        opened: &mut SessionTransition,
        now: &Now,
    ) -> Result<StationRecord, StationError> {
        let (policy, instance) = (&self.parts.policy.session, &self.parts.instance);
        let facts = OpenFacts::at(Self::wall(now)?, policy, instance);
        let mut record = translate(core::mem::take(&mut opened.record), &facts, None)?;
        if let Some(state) = keep(&opened.next, None, now)? {
            let session_id = opened.next.session_id();
            record.writes.push(StationWrite::SessionState { session_id, state });
        }
        Ok(record)
    }

    /// What the machine makes of a scan: a session, or its refusal. Nothing is committed.
    async fn propose_scan(
        &self,
        proof: &OperatorProof,
        scan: Scan,
        holder: Option<SessionRow>,
        pair: Option<PairDetails>,
    ) -> Result<SessionTransition, StationError> {
        let row = self.parts.store.device(&scan.device_id).await?;
        let delivery = self.delivery(&scan, &self.now());
        let mut rng = self.parts.entropy.generator();
        let request = OpenRequest {
            session_id: SessionId::generate(rng.as_mut()),
            device: registry_record(row, &scan.device_id),
            reservation: holder.and_then(held),
            opening: scan.opening,
            code: scan.code,
            scanned_serial: scan.serial,
            address: scan.address,
            operator: proof.id().clone(),
            role: proof.role(),
            delivery,
            pair,
        };
        let ctx = self.context(Checkpoints::default());
        Ok(SessionMachine::open(&ctx, &self.now(), rng.as_mut(), request))
    }

    /// The route to begin with. A device that has polled lately comes for its messages: what the
    /// station may not dial, it need not.
    fn delivery(&self, scan: &Scan, now: &Now) -> Route {
        let networks = &self.parts.policy.session.networks;
        let reachable = || {
            scan.place().is_some_and(|(address, port)| {
                networks.permits(address, port).is_ok() && !self.is_own(address, port)
            })
        };
        match scan.delivery {
            Some(route) => route,
            None if !reachable() && self.polls_lately(&scan.device_id, now) => Route::Pull,
            None => Route::Push,
        }
    }

    fn is_own(&self, address: DeviceAddress, port: u16) -> bool {
        self.parts.policy.is_own(address.ip(), port)
    }

    /// The token was claimed by a session that has ended: its code is used up, for everybody. Only the
    /// operator of that session learns which it was.
    pub(super) async fn consumed<T>(
        &self,
        proof: &OperatorProof,
        actor: &Actor,
        device: &DeviceId,
        by: SessionId,
    ) -> Result<T, StationError> {
        let row = self.parts.store.session(&by).await?;
        let error = if row.is_some_and(|row| row.operator.as_ref() == Some(proof.id())) {
            StationError::used_by(by)
        } else {
            ErrorCode::PairingCodeConsumed.into()
        };
        let row = self.refused(actor, device, error.code()).with("claimedBy", by);
        self.refuse(&self.now(), row, error).await
    }

    /// The session that keeps the device. One that nobody runs any more is gone on with, and one whose
    /// time is over besides ends here. The caller holds `opening`.
    pub(super) async fn live_reservation(
        self: &Arc<Self>,
        device: &DeviceId,
        now: &Now,
    ) -> Result<Option<SessionRow>, StationError> {
        let Some(row) = self.parts.store.reservation(device).await? else { return Ok(None) };
        let live = self.sessions.of_epoch(&row.id, row.epoch);
        let is_kept = live.is_some() || self.is_run_elsewhere(&row, now)?;
        if is_kept {
            return Ok(Some(row));
        }
        if is_expired(Self::wall(now)?, row.expires_at) {
            self.release_expired(now, &row).await?;
            return Ok(None);
        }
        if row.owner.is_some() {
            let _live = self.adopt(&row, now).await?;
            return Ok(self.parts.store.reservation(device).await?);
        }
        Ok(Some(row))
    }

    /// Whether a session was opened by the very same thing: this token, or this code typed.
    fn is_repeated(&self, row: &SessionRow, scan: &Scan) -> bool {
        match &scan.opening {
            Opening::Scanned(token) => row.token_id == token.id(),
            Opening::Typed { .. } => {
                let live = self.sessions.get(&row.id);
                live.is_some_and(|handle| handle.was_typed(&scan.code))
            }
        }
    }

    /// Whether the run of a typed code has lost its connection, and the operator types the code again
    /// instead of sending a courier: a new run is a new session.
    fn is_cut_off(&self, row: &SessionRow, scan: &Scan) -> bool {
        let message = self.sessions.get(&row.id).and_then(|handle| handle.view().message);
        scan.delivery.is_none()
            && message.is_some_and(|message| matches!(*message, Message::PakeStart(_)))
    }

    /// Whether a live session was begun by the other method: what began by one must not end by another
    /// (T15).
    fn is_mixed(&self, row: &SessionRow, scan: &Scan) -> bool {
        let live = self.sessions.get(&row.id);
        live.is_some_and(|handle| handle.mixes_with(&scan.opening))
    }

    /// The device shows another window than the one it is reserved for: the session of that one is
    /// over, if it is the operator's own or committed. `false` when it keeps the device.
    async fn overtake(
        &self,
        row: &SessionRow,
        proof: &OperatorProof,
        now: &Now,
    ) -> Result<bool, StationError> {
        let operator = proof.id().clone();
        let Some(handle) = self.sessions.get(&row.id) else {
            if Some(&operator) != row.operator.as_ref() || self.is_run_elsewhere(row, now)? {
                return Ok(false);
            }
            self.release(now, row, proof.actor()).await?;
            return Ok(true);
        };
        match handle.ask(|reply| Command::Rescanned(operator, reply)).await {
            Ok(()) => Ok(true),
            Err(error) if error.code() == ErrorCode::SessionReserved => Ok(false),
            // It has ended meanwhile.
            Err(_) if handle.view().phase.is_final() => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Ends a reservation that no task keeps.
    pub(super) async fn release(
        &self,
        now: &Now,
        row: &SessionRow,
        actor: Actor,
    ) -> Result<(), StationError> {
        let event = AuditEvent::new(EventType::SessionReleased, actor)
            .device(&row.device_id)
            .session(row.id);
        let writes = vec![StationWrite::Release { session_id: row.id }];
        self.commit_all(now, vec![event], writes).await
    }

    fn refused(&self, actor: &Actor, device: &DeviceId, code: ErrorCode) -> AuditEvent {
        AuditEvent::failed(EventType::PairingFailed, actor.clone(), code).device(device)
    }
}

/// An operator's reservation.
pub(super) fn held(row: SessionRow) -> Option<Reservation> {
    let SessionRow { id: session_id, operator, .. } = row;
    operator.map(|operator| Reservation { session_id, operator })
}

fn registry_record(row: Option<DeviceRow>, id: &DeviceId) -> DeviceRecord {
    match row {
        None => DeviceRecord::Unknown(id.clone()),
        Some(row) => DeviceRecord::Known(registry_entry(row)),
    }
}

/// A registry row as the machine sees it.
pub(super) fn registry_entry(row: DeviceRow) -> RegistryEntry {
    RegistryEntry {
        device_id: row.id,
        serial: row.serial,
        identity_key: row.identity,
        decommissioned: row.status == DeviceStatus::Decommissioned,
    }
}
