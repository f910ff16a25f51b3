//! Opening a session: who works on the device, whether it may be dialled, and the first record
//! (D11, D18).

use std::sync::Arc;

use zmon_crypto::token::PairingToken;
use zmon_domain::address::DeviceAddress;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::code::PairingCode;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, DeviceSerial, SessionId};
use zmon_domain::role::{Actor, OperatorProof};
use zmon_domain::time::{Now, is_expired};
use zmon_protocol::station::{
    DeviceRecord, OpenRequest, PairDetails, RegistryEntry, Reservation, SessionMachine,
    SessionPhase,
};

use super::Station;
use super::certificates::RACES;
use crate::error::StationError;
use crate::ports::{DeviceRow, DeviceStatus, Refusal, SessionRow, StationWrite};
use crate::session::{Command, OpenFacts, SessionDriver, SessionHandle, translate};

/// What an operator read off the screen, parsed.
pub(super) struct Scan {
    pub(super) device_id: DeviceId,
    pub(super) code: PairingCode,
    pub(super) token: PairingToken,
    pub(super) serial: Option<DeviceSerial>,
    pub(super) address: DeviceAddress,
}

/// Where a scan leads.
pub(super) enum Opened {
    /// A running session, new or the operator's own of before.
    Live(SessionHandle),
    /// The operator's own session of before that has ended.
    Past(SessionId),
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
        if self.parts.policy.is_own(scan.address.ip(), scan.token.port()) {
            let code = ErrorCode::AddressNotPermitted;
            let row = self.refused(actor, &scan.device_id, code).with("address", "own");
            return self.refuse(&now, row, code.into()).await;
        }
        for _ in 0..RACES {
            let holder = self.live_reservation(&scan.device_id, &now).await?;
            let holder = match holder {
                Some(row) if row.operator == *proof.id() => {
                    match self.own_reservation(&row, &scan, &now).await? {
                        Some(handle) => {
                            if let Some(details) = pair {
                                self.go_on(&handle, proof, &scan.code, None, details).await?;
                            }
                            return Ok(Opened::Live(handle));
                        }
                        None => continue,
                    }
                }
                other => other,
            };
            if let Some(opened) = self.try_open(proof, actor, &scan, holder, pair.clone()).await? {
                return Ok(opened);
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
        let checkpoint = self.parts.store.checkpoint().await?;
        let row = self.parts.store.device(&scan.device_id).await?;
        let config_version = pair.as_ref().map_or(0, |details| details.config_version);
        let now = self.now();
        let at = Self::wall(&now)?;
        let opened = {
            let mut rng = self.parts.entropy.generator();
            let request = OpenRequest {
                session_id: SessionId::generate(rng.as_mut()),
                device: registry_record(row, &scan.device_id),
                reservation: holder
                    .map(|row| Reservation { session_id: row.id, operator: row.operator }),
                token: scan.token.clone(),
                code: scan.code.clone(),
                scanned_serial: scan.serial.clone(),
                address: scan.address,
                operator: proof.id().clone(),
                role: proof.role(),
                pair,
            };
            SessionMachine::open(&self.context(checkpoint.as_deref()), &now, rng.as_mut(), request)
        };
        let facts = OpenFacts::at(at, &self.parts.policy.session);
        let mut opened = opened;
        let record = translate(core::mem::take(&mut opened.record), facts, None)?;
        match self.parts.store.commit(&now, &record).await? {
            Ok(()) => {}
            Err(Refusal::DeviceReserved(_)) => return Ok(None),
            Err(Refusal::TokenUsed(by)) => {
                return self.used_before(proof, actor, &scan.device_id, by).await.map(Some);
            }
            Err(refusal) => return Err(Self::unexpected(&refusal)),
        }
        if let Err(refusal) = &opened.reply {
            self.alarm(&opened);
            return Err(refusal.clone().into());
        }
        let (token, code) = (scan.token.id(), scan.code.clone());
        let handle = SessionDriver::spawn(self, opened, token, code, config_version);
        Ok(Some(Opened::Live(handle)))
    }

    /// The token was claimed by an earlier session: the operator's own is answered again, any other
    /// means that the code is used up.
    async fn used_before(
        &self,
        proof: &OperatorProof,
        actor: &Actor,
        device: &DeviceId,
        by: SessionId,
    ) -> Result<Opened, StationError> {
        let row = self.parts.store.session(&by).await?;
        let own = row.is_some_and(|row| {
            row.operator == *proof.id()
                && row.device_id == *device
                && row.phase == SessionPhase::Paired
        });
        if own {
            return Ok(Opened::Past(by));
        }
        let code = ErrorCode::PairingCodeConsumed;
        let row = self.refused(actor, device, code).with("claimedBy", by);
        self.refuse(&self.now(), row, code.into()).await
    }

    async fn live_reservation(
        &self,
        device: &DeviceId,
        now: &Now,
    ) -> Result<Option<SessionRow>, StationError> {
        let at = Self::wall(now)?;
        let row = self.parts.store.reservation(device).await?;
        Ok(row.filter(|row| !is_expired(at, row.expires_at)))
    }

    /// The operator scans a device that they have reserved: the same scan goes on; a new code means
    /// that the old session is over.
    async fn own_reservation(
        &self,
        row: &SessionRow,
        scan: &Scan,
        now: &Now,
    ) -> Result<Option<SessionHandle>, StationError> {
        let Some(handle) = self.sessions.get(&row.id) else {
            let writes = vec![StationWrite::Release { session_id: row.id }];
            self.commit_all(now, Vec::new(), writes).await?;
            return Ok(None);
        };
        if handle.token_id == scan.token.id() {
            return Ok(Some(handle));
        }
        let operator = row.operator.clone();
        handle.ask(|reply| Command::Cancel(operator, reply)).await?;
        Ok(None)
    }

    fn refused(&self, actor: &Actor, device: &DeviceId, code: ErrorCode) -> AuditEvent {
        AuditEvent::failed(EventType::PairingFailed, actor.clone(), code).device(device)
    }
}

fn registry_record(row: Option<DeviceRow>, id: &DeviceId) -> DeviceRecord {
    match row {
        None => DeviceRecord::Unknown(id.clone()),
        Some(row) => DeviceRecord::Known(RegistryEntry {
            device_id: row.id,
            serial: row.serial,
            identity_key: row.identity,
            decommissioned: row.status == DeviceStatus::Decommissioned,
        }),
    }
}
