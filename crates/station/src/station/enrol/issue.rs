//! What a request gets: the certificate of before, a new one, or why not.

use std::net::IpAddr;
use std::sync::{Arc, MutexGuard, PoisonError};

use zmon_crypto::IdentityPublic;
use zmon_crypto::x509::{csr, spki_of, trust_level_of};
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, SessionId, TokenId};
use zmon_domain::limits;
use zmon_domain::role::Actor;
use zmon_domain::time::Now;
use zmon_wire::kind::TrustLevel;

use super::{Asked, Enrolments, is_expired_at};
use crate::ca::random_serial;
use crate::error::StationError;
use crate::events::StationEvent;
use crate::policy::EnrolmentPolicy;
use crate::ports::{
    CertificateRow, CertificateState, ClientCertificateOrder, Enrolment, EnrolmentCredentialRow,
    Refusal, SessionPhase, SessionRow, StationRecord, StationWrite,
};
use crate::station::Station;
use crate::station::certificates::RACES;

/// What a request has taken of its device's budget.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    Nothing,
    /// A certificate that was not issued, or not yet.
    Unused,
    Used,
}

impl Station {
    pub(super) async fn answer_request(
        self: &Arc<Self>,
        source: IpAddr,
        right: Enrolment,
        credential: Option<[u8; 32]>,
        replaced: CertificateRow,
        request: &[u8],
    ) -> Result<Vec<u8>, StationError> {
        let now = self.now();
        let device_id = replaced.device_id.clone();
        let refused = match csr::verify(request, &self.parts.algorithms) {
            Err(error) => error.code().into(),
            Ok(key) => {
                let spki = key.spki_der().to_vec();
                let asked = Asked { right, credential, spki, replaced };
                match self.issue_enrolled(&asked).await {
                    Ok(Ok(certificate)) => return Ok(certificate),
                    Ok(Err(ErrorCode::SessionReserved)) => {
                        let wait = limits::ENROLMENT_RETRY.default;
                        return Err(StationError::retry_after(ErrorCode::SessionReserved, wait));
                    }
                    Ok(Err(code)) => code.into(),
                    Err(error) if error.code() == ErrorCode::TooManyRequests => error,
                    Err(error) => return Err(error),
                }
            }
        };
        self.refuse_enrolment(source, &device_id, refused, &now).await
    }

    async fn issue_enrolled(
        self: &Arc<Self>,
        asked: &Asked,
    ) -> Result<Result<Vec<u8>, ErrorCode>, StationError> {
        if self.parts.policy.enrolment == EnrolmentPolicy::Off {
            return Ok(Err(ErrorCode::EnrolmentUnavailable));
        }
        let device_id = &asked.replaced.device_id;
        let Some(known) = self.parts.store.device(device_id).await? else {
            return Ok(Err(ErrorCode::DeviceUnknown));
        };
        let key = IdentityPublic::parse(&asked.replaced.identity_key).map_err(|e| e.code())?;
        if known.identity != key.thumbprint() {
            let code = ErrorCode::DeviceKeyConflict;
            self.emit(StationEvent::Alarm { device_id: Some(device_id.clone()), code });
            return Ok(Err(code));
        }
        let now = self.now();
        self.keep_up(&now).await?;
        let _opening = self.opening.lock().await;
        let mut taken = Taken::Nothing;
        let issued = self.issue_within_budget(asked, &now, &mut taken).await;
        if taken == Taken::Unused {
            // Nobody waits an hour for a token that was away.
            self.enrolments().give_back(device_id, now.mono);
        }
        issued
    }

    async fn issue_within_budget(
        self: &Arc<Self>,
        asked: &Asked,
        now: &Now,
        taken: &mut Taken,
    ) -> Result<Result<Vec<u8>, ErrorCode>, StationError> {
        let device_id = &asked.replaced.device_id;
        for _ in 0..RACES {
            if let Some(made) = self.made_before(asked, now).await? {
                return Ok(made);
            }
            let held = self.live_reservation(device_id, now).await?;
            if held.as_ref().is_some_and(|row| row.operator.is_some()) {
                return Ok(Err(ErrorCode::SessionReserved));
            }
            // Before anything ends: who is refused keeps what it has.
            if *taken == Taken::Nothing
                && let Some(wait) = self.enrolments().take(device_id, now.mono)
            {
                return Err(StationError::retry_after(ErrorCode::TooManyRequests, wait));
            }
            *taken = Taken::Unused;
            if let Some(row) = held {
                // The device asks anew: what it began before is over.
                self.end_pull(&row, now).await?;
                continue;
            }
            let (record, row) = self.enrolment_record(asked, now).await?;
            match self.commit_record(now, &record).await? {
                Ok(()) => {
                    *taken = Taken::Used;
                    self.certificate_moved(&row, CertificateState::Pending);
                    return Ok(Ok(row.der));
                }
                Err(Refusal::DeviceReserved(_) | Refusal::CredentialSpent) => {}
                Err(Refusal::DeviceDecommissioned) => {
                    return Ok(Err(ErrorCode::DeviceDecommissioned));
                }
                Err(refusal) => return Err(Self::unexpected(&refusal)),
            }
        }
        Err(ErrorCode::StateConflict.into())
    }

    fn enrolments(&self) -> MutexGuard<'_, Enrolments> {
        self.enrolments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the same request got before, and what a spent credential gets.
    async fn made_before(
        &self,
        asked: &Asked,
        now: &Now,
    ) -> Result<Option<Result<Vec<u8>, ErrorCode>>, StationError> {
        let store = &self.parts.store;
        let device_id = &asked.replaced.device_id;
        let session = match asked.credential {
            Some(hash) => {
                let kept = store.enrolment_credential(device_id).await?;
                match kept.filter(|kept| kept.hash == hash && !is_expired_at(kept, now)) {
                    None => return Ok(Some(Err(ErrorCode::AuthenticationFailed))),
                    Some(EnrolmentCredentialRow { spent_by: None, .. }) => return Ok(None),
                    Some(EnrolmentCredentialRow { spent_by, .. }) => spent_by,
                }
            }
            None => {
                let held = store.reservation(device_id).await?;
                held.filter(|held| held.enrolment == Some(asked.right)).map(|held| held.id)
            }
        };
        let Some(session) = session else { return Ok(None) };
        let made = store.certificate_of_session(&session).await?;
        let usable = |made: &CertificateRow| {
            matches!(made.state, CertificateState::Pending | CertificateState::Current)
                && spki_of(&made.der).is_ok_and(|spki| spki == asked.spki)
        };
        Ok(match made.filter(usable) {
            Some(made) => Some(Ok(made.der)),
            None if asked.credential.is_some() => Some(Err(ErrorCode::AuthenticationFailed)),
            None => None,
        })
    }

    /// Signs the certificate, and everything that has to be durable before it leaves.
    async fn enrolment_record(
        &self,
        asked: &Asked,
        now: &Now,
    ) -> Result<(StationRecord, CertificateRow), StationError> {
        let Asked { right, credential, spki, replaced } = asked;
        let at = Self::wall(now)?;
        let (session_id, serial) = {
            let mut rng = self.parts.entropy.generator();
            (SessionId::generate(rng.as_mut()), random_serial(rng.as_mut()))
        };
        let trust = trust_level_of(&replaced.der).map_err(|_| ErrorCode::StorageCorrupt)?;
        let not_before = at - limits::CLOCK_SKEW.default;
        let order = ClientCertificateOrder {
            spki: spki.clone(),
            device_id: replaced.device_id.clone(),
            serial,
            not_before,
            not_after: not_before + self.parts.policy.certificate_lifetime,
            trust: trust.unwrap_or(TrustLevel::Anchored),
        };
        let issued = self.parts.issuer.issue(&order).await.map_err(|error| {
            tracing::error!(%error, "certificate");
            ErrorCode::KeyStoreUnavailable
        })?;
        let certificate = CertificateRow {
            serial,
            session: session_id,
            device_id: order.device_id,
            identity_key: replaced.identity_key.clone(),
            config_version: replaced.config_version,
            state: CertificateState::Pending,
            der: issued.der,
            not_before: order.not_before,
            not_after: order.not_after,
            issued_at: at,
            committed_at: None,
            revoked: None,
        };
        let device_id = certificate.device_id.clone();
        let event = |event, actor| {
            AuditEvent::new(event, actor)
                .device(&device_id)
                .session(session_id)
                .with("method", "est")
        };
        let audit = vec![
            event(EventType::SessionOpened, Actor::Peer)
                .with("serial", replaced.serial)
                .with("right", right.as_str()),
            event(EventType::CertificateIssued, Actor::System)
                .with("serial", serial)
                .with("stationTrust", order.trust),
        ];
        let spent = credential.map(|hash| StationWrite::SpendCredential {
            device_id: device_id.clone(),
            hash,
            session_id,
            at,
        });
        let reserved = StationWrite::Reserve(SessionRow {
            id: session_id,
            device_id: device_id.clone(),
            operator: None,
            phase: SessionPhase::AwaitingCommit,
            reserved: true,
            token_id: TokenId::from_bytes(*session_id.as_bytes()),
            opened_at: at,
            expires_at: at + self.parts.policy.session.pending_lifetime,
            error: None,
            answer: None,
            // It needs nobody to go on with it.
            owner: None,
            epoch: 0,
            lease_until: at,
            enrolment: Some(*right),
        });
        let inserted = StationWrite::InsertCertificate(certificate.clone());
        let writes = spent.into_iter().chain([reserved, inserted]).collect();
        Ok((StationRecord { audit, writes }, certificate))
    }

    /// Writes a refusal of somebody known down, within the budget of its source, and gives it back.
    pub(super) async fn refuse_enrolment<T>(
        &self,
        source: IpAddr,
        device: &DeviceId,
        refused: StationError,
        now: &Now,
    ) -> Result<T, StationError> {
        let code = refused.code();
        if !self.junk().own_row(source, now.mono) {
            self.note_junk(source, code);
            return Err(refused);
        }
        let audit = AuditEvent::failed(EventType::RenewalFailed, Actor::Peer, code)
            .device(device)
            .with("method", "est");
        self.refuse(now, audit, refused).await
    }
}
