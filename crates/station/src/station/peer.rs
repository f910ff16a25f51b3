//! What provisioned devices ask: connection test, commit, outcome, heartbeat (D13, D17).
//!
//! The certificate's serial number is checked against the store on every request: a revoked device
//! is refused at its next one, whatever the TLS layer remembers.

use std::sync::PoisonError;

use zmon_crypto::IdentityPublic;
use zmon_crypto::jws::Unverified;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, Serial, SessionId};
use zmon_domain::limits;
use zmon_domain::role::Actor;
use zmon_domain::time::{Now, UnixTime};
use zmon_protocol::station::CertificateUse;
use zmon_protocol::station::outcome::{self, CertificateView, Change, Verdict};
use zmon_wire::admin::TestAnswer;
use zmon_wire::heartbeat::{Heartbeat, HeartbeatAnswer};
use zmon_wire::kind::True;
use zmon_wire::outcome::{CommitRequest, OutcomeAsk};
use zmon_wire::strict;

use super::Station;
use super::certificates::RACES;
use super::housekeeping::ended;
use crate::error::StationError;
use crate::events::StationEvent;
use crate::ports::{
    CertificateRow, CertificateState, Refusal, RevocationReason, SessionPhase, StationWrite,
};

/// Whom a serial number belongs to, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The device.
    pub device_id: DeviceId,
    /// The pairing the certificate was issued in.
    pub session: SessionId,
    /// Where it stands.
    pub state: CertificateState,
}

impl Station {
    /// Whom a serial number belongs to; `None` for one this station never issued. One indexed read.
    ///
    /// # Errors
    /// Storage errors.
    pub async fn peer_status(&self, serial: &Serial) -> Result<Option<Peer>, StationError> {
        let row = self.parts.store.certificate(serial).await?;
        Ok(row.map(|row| Peer { device_id: row.device_id, session: row.session, state: row.state }))
    }

    /// Whether a device may do this with this certificate now: the check of every request.
    ///
    /// # Errors
    /// `certificate_revoked` for a revoked and for an unknown serial number, `state_conflict` for a
    /// use its state does not permit; storage errors.
    pub async fn admit_peer(
        &self,
        serial: &Serial,
        purpose: CertificateUse,
    ) -> Result<Peer, StationError> {
        let row = self.admit_certificate(serial, purpose).await?;
        Ok(Peer { device_id: row.device_id, session: row.session, state: row.state })
    }

    /// `GET /api/device/test`: the device tests its new connection.
    ///
    /// # Errors
    /// As [`Station::admit_peer`].
    pub async fn test(&self, serial: &Serial) -> Result<TestAnswer, StationError> {
        let time = Self::wall(&self.now())?;
        let peer = self.admit_peer(serial, CertificateUse::Test).await?;
        if peer.state == CertificateState::Pending {
            let row = AuditEvent::new(EventType::ConnectionTested, Actor::Peer)
                .device(&peer.device_id)
                .session(peer.session)
                .with("serial", serial);
            self.commit_all(&self.now(), vec![row], Vec::new()).await?;
            // Liveness only: a session that has gone needs no notice.
            let _live = self.sessions.tested(&peer.session, *serial).await;
        }
        Ok(TestAnswer { success: True, device_id: peer.device_id, time })
    }

    /// `POST /api/device/commit`: makes the certificate the device's current one and answers with
    /// the signed outcome. A repeated commit gets the same answer and changes nothing.
    ///
    /// # Errors
    /// As [`Station::admit_peer`]; `session_mismatch` or `device_mismatch` when the request speaks of
    /// another session or serial number than the certificate it came with.
    pub async fn commit(
        &self,
        serial: &Serial,
        request: &CommitRequest,
    ) -> Result<String, StationError> {
        for _ in 0..RACES {
            let now = self.now();
            let row = self.admit_certificate(serial, CertificateUse::Commit).await?;
            let current = self.current(&row.device_id).await?;
            let verdict = {
                let mut rng = self.parts.entropy.generator();
                let current = current.as_ref().map(|row| &row.serial);
                outcome::commit(&self.context(None), rng.as_mut(), request, &view(&row), current)?
            };
            if let Some(answer) = self.settle(&now, &row, verdict).await? {
                return Ok(answer);
            }
        }
        Err(ErrorCode::StateConflict.into())
    }

    /// `POST /api/provisioning/outcome`: a device in doubt asks what became of its commit. The ask is
    /// signed by its identity key, so the request needs no client certificate.
    ///
    /// # Errors
    /// `jws_malformed`, `signature_invalid`, or `session_unknown` for a certificate this station
    /// never issued.
    pub async fn outcome(&self, ask: &[u8]) -> Result<String, StationError> {
        for _ in 0..RACES {
            let now = self.now();
            let row = self.asked_about(ask).await?;
            let key = IdentityPublic::parse(&row.identity_key).map_err(|error| error.code())?;
            let verdict = {
                let ctx = self.context(None);
                let verified = outcome::verify_ask(&ctx, ask, &key)?;
                let mut rng = self.parts.entropy.generator();
                outcome::answer(&ctx, rng.as_mut(), &verified, Some(&view(&row)))?
            };
            if let Some(answer) = self.settle(&now, &row, verdict).await? {
                return Ok(answer);
            }
        }
        Err(ErrorCode::StateConflict.into())
    }

    /// `POST /api/device/heartbeat`: an ordinary request. The first one over a current certificate
    /// revokes the one it replaced (D13).
    ///
    /// # Errors
    /// As [`Station::admit_peer`].
    pub async fn heartbeat(
        &self,
        serial: &Serial,
        heartbeat: &Heartbeat,
    ) -> Result<HeartbeatAnswer, StationError> {
        let now = self.now();
        let at = Self::wall(&now)?;
        let row = self.admit_certificate(serial, CertificateUse::Ordinary).await?;
        if row.state == CertificateState::Current {
            self.retire_predecessors(&now, &row).await;
        }
        if let Some(checkpoint) = &heartbeat.audit_checkpoint {
            self.keep_checkpoint(&now, &row.device_id, checkpoint).await;
        }
        self.see(&row.device_id, at);
        self.emit(StationEvent::Heartbeat { device_id: row.device_id, at });
        Ok(HeartbeatAnswer { time: at, config_version: row.config_version })
    }

    async fn admit_certificate(
        &self,
        serial: &Serial,
        purpose: CertificateUse,
    ) -> Result<CertificateRow, StationError> {
        let row = self.parts.store.certificate(serial).await?;
        let row = row.ok_or(ErrorCode::CertificateRevoked)?;
        if row.state == CertificateState::Revoked {
            return Err(ErrorCode::CertificateRevoked.into());
        }
        if row.state.permits(purpose) { Ok(row) } else { Err(ErrorCode::StateConflict.into()) }
    }

    async fn current(&self, device: &DeviceId) -> Result<Option<CertificateRow>, StationError> {
        let state = CertificateState::Current;
        Ok(self.parts.store.certificates_of_device(device, state).await?.pop())
    }

    /// The certificate a not yet verified ask is about.
    async fn asked_about(&self, ask: &[u8]) -> Result<CertificateRow, StationError> {
        let jws = Unverified::parse(ask).map_err(|error| error.code())?;
        let claimed: OutcomeAsk = strict::parse(jws.payload_unverified(), limits::BODY_MAX.default)
            .map_err(|_| ErrorCode::JwsMalformed)?;
        let row = self.parts.store.certificate(&claimed.serial).await?;
        row.ok_or_else(|| ErrorCode::SessionUnknown.into())
    }

    /// Carries out a verdict; `None` when the store has moved on and the verdict has to be made anew.
    async fn settle(
        &self,
        now: &Now,
        row: &CertificateRow,
        verdict: Verdict,
    ) -> Result<Option<String>, StationError> {
        let Verdict { change, mut audit, answer } = verdict;
        let at = Self::wall(now)?;
        let mut writes = Vec::new();
        let step =
            |serial, from, to, reason| StationWrite::Certificate { serial, from, to, at, reason };
        let (pending, current) = (CertificateState::Pending, CertificateState::Current);
        match &change {
            Change::None => {}
            Change::Commit { supersedes } => {
                if let Some(old) = supersedes {
                    writes.push(step(*old, current, CertificateState::Superseded, None));
                }
                writes.push(step(row.serial, pending, current, None));
            }
            Change::Abort => {
                let reason = Some(RevocationReason::Aborted);
                writes.push(step(row.serial, pending, CertificateState::Revoked, reason));
            }
            unknown => {
                tracing::error!(?unknown, "a verdict nobody knows");
                return Err(ErrorCode::Internal.into());
            }
        }
        self.end_orphan(row, &change, &mut audit, &mut writes).await?;
        if !audit.is_empty() || !writes.is_empty() {
            match self.try_commit(now, audit, writes).await? {
                Ok(()) => {}
                Err(Refusal::CertificateState { .. } | Refusal::OtherCurrent(_)) => {
                    return Ok(None);
                }
                Err(refusal) => return Err(Self::unexpected(&refusal)),
            }
        }
        self.announce(row, &change).await;
        Ok(Some(answer))
    }

    /// Ends a session in the store whose task did not survive a restart.
    async fn end_orphan(
        &self,
        row: &CertificateRow,
        change: &Change,
        audit: &mut Vec<AuditEvent>,
        writes: &mut Vec<StationWrite>,
    ) -> Result<(), StationError> {
        if *change == Change::None || self.sessions.get(&row.session).is_some() {
            return Ok(());
        }
        let Some(session) = self.parts.store.session(&row.session).await? else { return Ok(()) };
        if session.phase.is_final() {
            return Ok(());
        }
        let (event, phase) = if *change == Change::Abort {
            let code = ErrorCode::CommitAborted;
            let event = AuditEvent::failed(EventType::PairingFailed, Actor::System, code);
            (event, SessionPhase::Failed)
        } else {
            (AuditEvent::new(EventType::PairingSucceeded, Actor::System), SessionPhase::Paired)
        };
        let error = event.error;
        audit.push(event.device(&row.device_id).session(row.session));
        writes.extend(ended(&session, phase, error));
        Ok(())
    }

    async fn announce(&self, row: &CertificateRow, change: &Change) {
        match change {
            Change::Commit { supersedes } => {
                if let Some(serial) = supersedes {
                    self.emit(StationEvent::Certificate {
                        serial: *serial,
                        device_id: row.device_id.clone(),
                        state: CertificateState::Superseded,
                    });
                }
                self.certificate_moved(row, CertificateState::Current);
                let _live = self.sessions.committed(&row.session, row.serial).await;
            }
            Change::Abort => {
                self.certificate_moved(row, CertificateState::Revoked);
                let _live = self.sessions.aborted(&row.session, row.serial).await;
                self.publish_revocations().await;
            }
            Change::None | _ => {}
        }
    }

    /// The successor is in ordinary use: what it replaced is refused from now on. A failure is tried
    /// again at the next heartbeat; the heartbeat itself never waits for the audit log to recover.
    async fn retire_predecessors(&self, now: &Now, row: &CertificateRow) {
        if self.settled().contains(&row.serial) {
            return;
        }
        match self.try_retire(now, row).await {
            Ok(()) => {
                self.settled().insert(row.serial);
            }
            Err(error) => tracing::warn!(%error, device = %row.device_id, "superseded certificate"),
        }
    }

    async fn try_retire(&self, now: &Now, row: &CertificateRow) -> Result<(), StationError> {
        let state = CertificateState::Superseded;
        let old = self.parts.store.certificates_of_device(&row.device_id, state).await?;
        for old in &old {
            let reason = RevocationReason::Superseded;
            if !self.move_to_revoked(now, old, Actor::System, reason).await? {
                return Err(ErrorCode::StateConflict.into());
            }
        }
        if !old.is_empty() {
            self.publish_revocations().await;
        }
        Ok(())
    }

    /// Keeps a device's checkpoint; best effort, for the same reason.
    async fn keep_checkpoint(&self, now: &Now, device: &DeviceId, checkpoint: &str) {
        let kept = self.parts.store.peer_checkpoint(device).await;
        if kept.is_ok_and(|kept| kept.as_deref() == Some(checkpoint)) {
            return;
        }
        let write = StationWrite::PeerCheckpoint {
            device_id: device.clone(),
            checkpoint: checkpoint.to_owned(),
        };
        if let Err(error) = self.commit_all(now, Vec::new(), vec![write]).await {
            tracing::warn!(%error, %device, "the device's checkpoint was not kept");
        }
    }

    /// When a device was last heard of in this run.
    pub(super) fn last_seen(&self, device: &DeviceId) -> Option<UnixTime> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(device).copied()
    }

    fn see(&self, device: &DeviceId, at: UnixTime) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(device.clone(), at);
    }

    fn settled(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeSet<Serial>> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn view(row: &CertificateRow) -> CertificateView {
    CertificateView {
        serial: row.serial,
        device_id: row.device_id.clone(),
        session_id: row.session,
        state: row.state,
        committed: row.committed_at.is_some(),
    }
}
