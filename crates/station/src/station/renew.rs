//! Renewal and recovery: a device asks for a new certificate by itself (D23).

use std::net::IpAddr;
use std::sync::Arc;

use zmon_crypto::IdentityPublic;
use zmon_crypto::schedule::pull_id;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, Serial, SessionId};
use zmon_domain::role::Actor;
use zmon_domain::time::Now;
use zmon_protocol::PullMethod;
use zmon_protocol::station::renew::{self, Replaced};
use zmon_protocol::station::{
    CertificateUse, PairDetails, PullOrder, RegistryEntry, SessionMachine, SessionTransition,
    StationAction,
};
use zmon_wire::pull::{FetchRequest, Pull, PullAnswer};

use super::certificates::RACES;
use super::housekeeping::ended;
use super::opening::{held, registry_entry};
use super::pairing::failure;
use super::{Checkpoints, Station, detached};
use crate::error::StationError;
use crate::events::StationEvent;
use crate::ports::{
    CertificateRow, CertificateState, Refusal, SessionPhase, SessionRow, StationWrite, Wanted,
};
use crate::session::{Command, SessionDriver};

/// A pull that was found genuine, and everything needed to answer it.
struct Asked {
    method: PullMethod,
    /// The request, exact bytes.
    pull: Vec<u8>,
    serial: Serial,
    counter: Option<u64>,
    device: RegistryEntry,
}

impl Station {
    /// `POST /api/device/renew`: a device asks for a new certificate over the one in force.
    ///
    /// # Errors
    /// As [`Station::admit_peer`]; `jws_malformed`, `signature_invalid`, `session_mismatch` or
    /// `device_mismatch` for a request that is not about this certificate; `session_reserved` while an
    /// operator works on the device; `device_decommissioned`; storage errors.
    pub async fn renew(
        self: &Arc<Self>,
        source: IpAddr,
        serial: &Serial,
        pull: &[u8],
    ) -> Result<PullAnswer, StationError> {
        let (station, serial, pull) = (Arc::clone(self), *serial, pull.to_vec());
        detached(async move {
            let row = station.admit_certificate(&serial, CertificateUse::Renew).await?;
            station.answer_pull(source, PullMethod::Renewal, &row, pull).await
        })
        .await
    }

    /// `POST /api/provisioning/recover`: a device asks for a new certificate because the one in force
    /// has expired. The request is signed by its identity key and needs no client certificate.
    ///
    /// # Errors
    /// `jws_malformed`, `signature_invalid` or `session_unknown` before anything is proved; then
    /// `recovery_unavailable`, `certificate_not_expired`, `certificate_revoked`, `recovery_replayed`
    /// and what [`Station::renew`] refuses with.
    pub async fn recover(
        self: &Arc<Self>,
        source: IpAddr,
        pull: &[u8],
    ) -> Result<PullAnswer, StationError> {
        let (station, pull) = (Arc::clone(self), pull.to_vec());
        detached(async move {
            let serial = renew::asked_about(&pull)?;
            let row = station.parts.store.certificate(&serial).await?;
            let row = row.ok_or(ErrorCode::SessionUnknown)?;
            station.answer_pull(source, PullMethod::Recovery, &row, pull).await
        })
        .await
    }

    /// `POST /api/device/renew/identity`: the device answers the hello and fetches its envelope.
    /// Asking twice gives the same envelope.
    ///
    /// # Errors
    /// As [`Station::admit_peer`]; `session_unknown` for a session that is not this device's renewal;
    /// why the identity document was refused.
    pub async fn renew_identity(
        self: &Arc<Self>,
        serial: &Serial,
        request: FetchRequest,
    ) -> Result<Vec<u8>, StationError> {
        let row = self.admit_certificate(serial, CertificateUse::Renew).await?;
        self.fetch(PullMethod::Renewal, Some(&row.device_id), request).await
    }

    /// `POST /api/provisioning/recover/identity`: as [`Station::renew_identity`], for whoever knows the
    /// session; the document proves the device.
    ///
    /// # Errors
    /// `session_unknown`; why the identity document was refused.
    pub async fn recover_identity(
        self: &Arc<Self>,
        request: FetchRequest,
    ) -> Result<Vec<u8>, StationError> {
        self.fetch(PullMethod::Recovery, None, request).await
    }

    async fn fetch(
        self: &Arc<Self>,
        method: PullMethod,
        device: Option<&DeviceId>,
        request: FetchRequest,
    ) -> Result<Vec<u8>, StationError> {
        let handle = self.session_here(&request.session_id).await?.filter(|handle| {
            handle.method == method.method()
                && device.is_none_or(|device| *device == handle.device_id)
        });
        let handle = handle.ok_or(ErrorCode::SessionUnknown)?;
        let document = request.identity.into_bytes();
        handle.ask(|reply| Command::Identity(document, reply)).await?;
        let ended =
            |view: &crate::session::SessionView| view.envelope.is_some() || view.phase.is_final();
        let view = handle.wait_for(ended).await;
        match &view.envelope {
            Some(envelope) => Ok(envelope.to_vec()),
            None => Err(failure(&view)),
        }
    }

    async fn answer_pull(
        self: &Arc<Self>,
        source: IpAddr,
        method: PullMethod,
        row: &CertificateRow,
        pull: Vec<u8>,
    ) -> Result<PullAnswer, StationError> {
        let document = {
            let key = IdentityPublic::parse(&row.identity_key).map_err(|error| error.code())?;
            renew::verify(&self.context(Checkpoints::default()), &pull, &key)?
        };
        // From here on it is the device that asks: what it is refused with is written down and said.
        let now = self.now();
        let asked = match self.admit_pull(method, row, &document, pull, &now).await? {
            Ok(asked) => asked,
            Err(code) => return self.refuse_pull(source, method, row, code, &now).await,
        };
        self.keep_up(&now).await?;
        let _opening = self.opening.lock().await;
        for _ in 0..RACES {
            match self.try_pull(&asked, &now).await? {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => {}
                Err(code) => return self.refuse_pull(source, method, row, code, &now).await,
            }
        }
        Err(ErrorCode::StateConflict.into())
    }

    /// Policy, certificate and registry.
    async fn admit_pull(
        &self,
        method: PullMethod,
        row: &CertificateRow,
        document: &Pull,
        pull: Vec<u8>,
        now: &Now,
    ) -> Result<Result<Asked, ErrorCode>, StationError> {
        let replaced = Replaced {
            serial: &row.serial,
            device_id: &row.device_id,
            state: row.state,
            not_after: row.not_after,
        };
        if method == PullMethod::Recovery && !self.parts.policy.recovery {
            return Ok(Err(ErrorCode::RecoveryUnavailable));
        }
        let counter = match renew::permit(document, method, &replaced, Self::wall(now)?) {
            Ok(counter) => counter,
            Err(code) => return Ok(Err(code)),
        };
        let Some(device) = self.parts.store.device(&row.device_id).await? else {
            return Ok(Err(ErrorCode::DeviceUnknown));
        };
        let key = IdentityPublic::parse(&row.identity_key).map_err(|error| error.code())?;
        if device.identity != key.thumbprint() {
            let code = ErrorCode::DeviceKeyConflict;
            self.emit(StationEvent::Alarm { device_id: Some(row.device_id.clone()), code });
            return Ok(Err(code));
        }
        let (serial, device) = (row.serial, registry_entry(device));
        Ok(Ok(Asked { method, pull, serial, counter, device }))
    }

    /// Proposes a session and commits its opening; `None` when somebody was faster.
    async fn try_pull(
        self: &Arc<Self>,
        asked: &Asked,
        now: &Now,
    ) -> Result<Result<Option<PullAnswer>, ErrorCode>, StationError> {
        let device_id = &asked.device.device_id;
        let holder = self.live_reservation(device_id, now).await?;
        if let Some(row) = holder.as_ref().filter(|row| row.operator.is_none()) {
            // A recorded request must not end what the device has begun since.
            if let Some(counter) = asked.counter
                && counter <= self.parts.store.recovery_counter(device_id).await?
            {
                return Ok(Err(ErrorCode::RecoveryReplayed));
            }
            // The device asks anew: what it began before is over.
            self.end_pull(row, now).await?;
            return Ok(Ok(None));
        }
        let details = self.details(device_id, Wanted::default()).await?;
        let mut opened = self.propose(asked, holder, details, now).await?;
        let mut record = self.opening_record(&mut opened, now)?;
        if let Some(counter) = asked.counter.filter(|_| opened.reply.is_ok()) {
            let device_id = device_id.clone();
            record.writes.push(StationWrite::RecoveryCounter { device_id, counter });
        }
        match self.commit_record(now, &record).await? {
            Ok(()) => {}
            Err(Refusal::DeviceReserved(_)) => return Ok(Ok(None)),
            Err(Refusal::TokenUsed(_) | Refusal::CounterBehind { .. }) => {
                return Ok(Err(ErrorCode::RecoveryReplayed));
            }
            Err(refusal) => return Err(Self::unexpected(&refusal)),
        }
        if let Err(refusal) = &opened.reply {
            // Its row is written.
            return Err(refusal.report.clone().into());
        }
        let (actions, answer) = take_offer(core::mem::take(&mut opened.actions));
        opened.actions = actions;
        let answer = answer.ok_or(ErrorCode::Internal)?;
        SessionDriver::open(self, opened);
        Ok(Ok(Some(answer)))
    }

    async fn propose(
        &self,
        asked: &Asked,
        holder: Option<SessionRow>,
        details: PairDetails,
        now: &Now,
    ) -> Result<SessionTransition, StationError> {
        let mut rng = self.parts.entropy.generator();
        let order = PullOrder {
            session_id: SessionId::generate(rng.as_mut()),
            device: asked.device.clone(),
            reservation: holder.and_then(held),
            pull_id: pull_id(&asked.pull),
            method: asked.method,
            serial: asked.serial,
            counter: asked.counter,
            details,
        };
        Ok(SessionMachine::pull(&self.context(Checkpoints::default()), now, rng.as_mut(), order))
    }

    /// Ends a session that a device began by itself; its pending certificate is aborted with it,
    /// unless the device was faster and committed to it.
    /// Another process that runs it loses it: the device itself asks anew, or a person has come. The caller
    /// holds `opening`.
    pub(super) async fn end_pull(
        self: &Arc<Self>,
        row: &SessionRow,
        now: &Now,
    ) -> Result<(), StationError> {
        let handle = match self.sessions.of_epoch(&row.id, row.epoch) {
            None if row.owner.is_some() && !row.phase.is_final() => self.adopt(row, now).await?,
            live => live,
        };
        if let Some(handle) = handle {
            // What has ended meanwhile needs no end.
            let _ended = handle.ask(|reply| Command::Cancel(None, reply)).await;
            return Ok(());
        }
        self.drop_pending(row, now).await
    }

    /// Ends a session that nobody runs, and aborts its pending certificate.
    async fn drop_pending(&self, row: &SessionRow, now: &Now) -> Result<(), StationError> {
        let pending = self.parts.store.certificate_of_session(&row.id).await?;
        let Some(pending) = pending.filter(|made| made.state == CertificateState::Pending) else {
            return self.release(now, row, Actor::System).await;
        };
        let event =
            |event| AuditEvent::new(event, Actor::System).device(&row.device_id).session(row.id);
        let audit = vec![
            event(EventType::SessionReleased),
            event(EventType::CertificateAborted).with("serial", pending.serial),
        ];
        let mut writes = ended(row, SessionPhase::Released, None);
        writes.push(StationWrite::AbortPending { serial: pending.serial, at: Self::wall(now)? });
        match self.try_commit(now, audit, writes).await? {
            Ok(()) => {
                self.certificate_moved(&pending, CertificateState::Revoked);
                self.revocations_due();
                Ok(())
            }
            // The device was faster, or somebody else has ended it: its end is written down then.
            Err(Refusal::CertificateState { .. } | Refusal::SessionEnded(_)) => Ok(()),
            Err(refusal) => Err(Self::unexpected(&refusal)),
        }
    }

    /// Writes a refusal down, within the budget of its source, and gives it back.
    async fn refuse_pull<T>(
        &self,
        source: IpAddr,
        method: PullMethod,
        row: &CertificateRow,
        code: ErrorCode,
        now: &Now,
    ) -> Result<T, StationError> {
        if !self.junk().own_row(source, now.mono) {
            self.note_junk(source, code);
            return Err(code.into());
        }
        let audit = AuditEvent::failed(EventType::RenewalFailed, Actor::Peer, code)
            .device(&row.device_id)
            .with("method", method)
            .with("serial", row.serial);
        self.refuse(now, audit, code.into()).await
    }
}

/// The answer for the device, apart from what the session's task has to do.
fn take_offer(actions: Vec<StationAction>) -> (Vec<StationAction>, Option<PullAnswer>) {
    let mut answer = None;
    let mut rest = Vec::with_capacity(actions.len());
    for action in actions {
        if let StationAction::Offer { hello, ikm } = action {
            answer = Some(PullAnswer::new(hello, ikm.expose()));
        } else {
            rest.push(action);
        }
    }
    (rest, answer)
}
