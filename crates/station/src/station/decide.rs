//! Commit and outcome: the station's record alone decides (D13).

use std::sync::Arc;

use zmon_crypto::IdentityPublic;
use zmon_crypto::jws::Unverified;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, Serial};
use zmon_domain::limits;
use zmon_domain::role::Actor;
use zmon_domain::time::Now;
use zmon_protocol::station::CertificateUse;
use zmon_protocol::station::outcome::{self, CertificateView, Change, Verdict};
use zmon_wire::outcome::{CommitRequest, OutcomeAsk};
use zmon_wire::strict;

use super::certificates::RACES;
use super::housekeeping::ended;
use super::{Checkpoints, Station, detached};
use crate::error::StationError;
use crate::events::StationEvent;
use crate::ports::{
    CertificateRow, CertificateState, Enrolment, Refusal, RevocationReason, SessionPhase,
    SessionRow, StationWrite,
};

impl Station {
    /// `POST /api/device/commit`: makes the certificate the device's current one and answers with
    /// the signed outcome. A repeated commit gets the same answer and changes nothing.
    ///
    /// # Errors
    /// As [`Station::admit_peer`]; `session_mismatch` or `device_mismatch` when the request speaks of
    /// another session or serial number than the certificate it came with.
    pub async fn commit(
        self: &Arc<Self>,
        serial: &Serial,
        request: &CommitRequest,
    ) -> Result<String, StationError> {
        let (station, serial, request) = (Arc::clone(self), *serial, request.clone());
        detached(async move { station.decide_commit(&serial, &request).await }).await
    }

    /// `POST /api/provisioning/outcome`: a device in doubt asks what became of its commit. The ask is
    /// signed by its identity key, so the request needs no client certificate.
    ///
    /// # Errors
    /// `jws_malformed`, `signature_invalid`, or `session_unknown` for a certificate this station
    /// never issued.
    pub async fn outcome(self: &Arc<Self>, ask: &[u8]) -> Result<String, StationError> {
        let (station, ask) = (Arc::clone(self), ask.to_vec());
        detached(async move { station.decide_ask(&ask).await }).await
    }

    async fn decide_commit(
        &self,
        serial: &Serial,
        request: &CommitRequest,
    ) -> Result<String, StationError> {
        self.keep_up(&self.now()).await?;
        for _ in 0..RACES {
            let now = self.now();
            let row = self.admit_certificate(serial, CertificateUse::Commit).await?;
            let current = self.current(&row.device_id).await?;
            if current.is_none() && self.replaces_nothing(&row).await? {
                self.abort(&now, &row).await?;
                continue;
            }
            let verdict = {
                let mut rng = self.parts.entropy.generator();
                let current = current.as_ref().map(|row| &row.serial);
                outcome::commit(
                    &self.context(Checkpoints::default()),
                    rng.as_mut(),
                    request,
                    &view(&row),
                    current,
                )?
            };
            if let Some(answer) = self.settle(&now, &row, verdict).await? {
                return Ok(answer);
            }
        }
        Err(ErrorCode::StateConflict.into())
    }

    async fn decide_ask(&self, ask: &[u8]) -> Result<String, StationError> {
        for _ in 0..RACES {
            let now = self.now();
            let row = self.asked_about(ask).await?;
            let key = IdentityPublic::parse(&row.identity_key).map_err(|error| error.code())?;
            let verdict = {
                let ctx = self.context(Checkpoints::default());
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

    /// A device got this certificate by itself, for one that was revoked meanwhile (D23): nobody let it
    /// in anew.
    async fn replaces_nothing(&self, row: &CertificateRow) -> Result<bool, StationError> {
        if row.state != CertificateState::Pending {
            return Ok(false);
        }
        let session = self.parts.store.session(&row.session).await?;
        Ok(session.is_some_and(|session| is_by_the_device(&session)))
    }

    pub(super) async fn abort(&self, now: &Now, row: &CertificateRow) -> Result<(), StationError> {
        let reason = RevocationReason::Aborted;
        if self.move_to_revoked(now, row, Actor::System, reason).await? {
            let _live = self.sessions.aborted(&row.session, row.serial).await;
            self.publish_revocations().await;
        }
        Ok(())
    }

    pub(super) async fn current(
        &self,
        device: &DeviceId,
    ) -> Result<Option<CertificateRow>, StationError> {
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

    /// Ends a session in the store that nobody can go on with. Whoever runs one, or will, ends it.
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
        if session.phase.is_final() || session.owner.is_some() {
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
}

/// Whether nobody but the device itself began it: by renewal, or by showing its certificate for another one.
pub(super) fn is_by_the_device(session: &SessionRow) -> bool {
    session.operator.is_none() && session.enrolment != Some(Enrolment::Credential)
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
