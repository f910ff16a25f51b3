//! What provisioned devices ask: connection test, commit, outcome, heartbeat (D13, D17).
//!
//! The certificate's serial number is checked against the store on every request: a revoked device
//! is refused at its next one, whatever the TLS layer remembers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{MutexGuard, PoisonError};

use zmon_crypto::IdentityPublic;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, Serial, SessionId};
use zmon_domain::limits;
use zmon_domain::role::Actor;
use zmon_domain::time::{Now, Tick};
use zmon_protocol::checkpoint::{self, Standing};
use zmon_protocol::station::CertificateUse;
use zmon_wire::admin::TestAnswer;
use zmon_wire::heartbeat::{Heartbeat, HeartbeatAnswer};
use zmon_wire::kind::True;

use super::Station;
use super::certificates::RACES;
use crate::error::StationError;
use crate::events::StationEvent;
use crate::links::{Link, Links};
use crate::ports::{CertificateRow, CertificateState, RevocationReason, StationWrite};

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
            self.write_test(&peer, serial).await?;
            // Liveness only: a session that has gone needs no notice.
            let _live = self.sessions.tested(&peer.session, *serial).await;
        }
        Ok(TestAnswer { success: True, device_id: peer.device_id, time })
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
        let row = self.admit_ordinary(serial, &now).await?;
        if row.state == CertificateState::Current {
            self.retire_predecessors(&now, &row).await;
        }
        if let Some(checkpoint) = &heartbeat.audit_checkpoint {
            self.keep_checkpoint(&now, &row, checkpoint).await;
        }
        self.links().hear(row.device_id.clone(), Link::new(at, now.mono, heartbeat));
        self.metrics.heard();
        self.emit(StationEvent::Heartbeat { device_id: row.device_id, at });
        Ok(HeartbeatAnswer { time: at, config_version: row.config_version })
    }

    pub(super) async fn admit_certificate(
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

    /// The certificate of an ordinary request; the first over one that was fetched by EST commits to it.
    async fn admit_ordinary(
        &self,
        serial: &Serial,
        now: &Now,
    ) -> Result<CertificateRow, StationError> {
        for _ in 0..RACES {
            match self.admit_certificate(serial, CertificateUse::Ordinary).await {
                Err(refused) if refused.code() == ErrorCode::StateConflict => {
                    if !self.take_into_use(serial, now).await? {
                        return Err(refused);
                    }
                }
                admitted => return admitted,
            }
        }
        Err(ErrorCode::StateConflict.into())
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

    /// One row per certificate, however often its holder asks before it commits.
    async fn write_test(&self, peer: &Peer, serial: &Serial) -> Result<(), StationError> {
        if self.tested().contains(serial) {
            return Ok(());
        }
        let row = AuditEvent::new(EventType::ConnectionTested, Actor::Peer)
            .device(&peer.device_id)
            .session(peer.session)
            .with("serial", serial);
        self.commit_all(&self.now(), vec![row], Vec::new()).await?;
        self.tested().insert(*serial);
        Ok(())
    }

    /// Keeps a device's checkpoint, or raises the alarm about it; best effort, for the same reason.
    async fn keep_checkpoint(&self, now: &Now, row: &CertificateRow, checkpoint: &str) {
        if let Err(error) = self.try_keep(now, row, checkpoint).await {
            tracing::warn!(%error, device = %row.device_id, "the device's checkpoint was not kept");
        }
    }

    async fn try_keep(
        &self,
        now: &Now,
        row: &CertificateRow,
        checkpoint: &str,
    ) -> Result<(), StationError> {
        let device_id = row.device_id.clone();
        let kept = self.parts.store.peer_checkpoint(&device_id).await?;
        let key = IdentityPublic::parse(&row.identity_key).map_err(|error| error.code())?;
        let algorithms = &self.parts.algorithms;
        match checkpoint::verify(checkpoint, &key, kept.as_deref(), algorithms) {
            Ok(Standing::Known) => Ok(()),
            Ok(Standing::Newer) => {
                let checkpoint = checkpoint.to_owned();
                let write = StationWrite::PeerCheckpoint { device_id, checkpoint };
                self.commit_all(now, Vec::new(), vec![write]).await
            }
            Err(code) => self.alarm_about_log(now, device_id, code).await,
        }
    }

    /// One row and alarm a minute and device: it may say so with every heartbeat.
    async fn alarm_about_log(
        &self,
        now: &Now,
        device_id: DeviceId,
        code: ErrorCode,
    ) -> Result<(), StationError> {
        let pause = limits::JUNK_WINDOW.default;
        let due = |at: &Tick| now.mono >= *at + pause;
        if !self.alarmed().get(&device_id).is_none_or(due) {
            return Ok(());
        }
        let row = AuditEvent::failed(EventType::CheckpointReceived, Actor::Peer, code);
        self.commit_all(now, vec![row.device(&device_id)], Vec::new()).await?;
        self.alarmed().insert(device_id.clone(), now.mono);
        self.emit(StationEvent::Alarm { device_id: Some(device_id), code });
        Ok(())
    }

    pub(super) fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settled(&self) -> MutexGuard<'_, BTreeSet<Serial>> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tested(&self) -> MutexGuard<'_, BTreeSet<Serial>> {
        self.tested.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alarmed(&self) -> MutexGuard<'_, BTreeMap<DeviceId, Tick>> {
        self.alarmed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
