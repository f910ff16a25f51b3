//! Enrolment over Secure Transport (RFC 7030): a device's next certificate without a configuration (D26).
//!
//! What is issued here is pending, as any certificate is. An EST client knows no commit, so its first ordinary
//! request over the new certificate is one: the new one becomes current, and what it replaces is revoked. Until
//! then the old one stays in force, and what nobody uses in time is aborted.

use std::net::IpAddr;
use std::sync::Arc;

use zeroize::Zeroizing;
use zmon_crypto::x509::{csr, spki_of, trust_level_of};
use zmon_crypto::{IdentityPublic, SecretBytes, sha256};
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, Serial, SessionId, TokenId};
use zmon_domain::limits;
use zmon_domain::role::{Action, Actor, OperatorProof};
use zmon_domain::time::{Now, is_expired};
use zmon_protocol::station::CertificateUse;
use zmon_wire::admin::EnrolmentAnswer;
use zmon_wire::b64;
use zmon_wire::kind::{True, TrustLevel};
use zmon_wire::secret::SecretText;

use super::certificates::RACES;
use super::housekeeping::ended;
use super::{Station, detached};
use crate::ca::{decode_pem, random_serial};
use crate::error::StationError;
use crate::events::StationEvent;
use crate::policy::EnrolmentPolicy;
use crate::ports::{
    CertificateRow, CertificateState, ClientCertificateOrder, DeviceStatus, Enrolment,
    EnrolmentCredentialRow, Refusal, SessionPhase, SessionRow, StationRecord, StationWrite,
};

/// What a credential is made of, in bytes: 256 random bits, of which the station keeps the hash only.
const CREDENTIAL_BYTES: usize = 32;

/// Evidence that a device has shown its credential. [`Station::admit_credential`] alone makes it.
pub struct EnrolmentRight {
    device_id: DeviceId,
    /// SHA-256 of the credential.
    hash: [u8; 32],
}

/// A request whose sender is known.
struct Asked {
    right: Enrolment,
    /// SHA-256 of the credential, where that is the right.
    credential: Option<[u8; 32]>,
    /// The key to certify, `SubjectPublicKeyInfo` DER.
    spki: Vec<u8>,
    /// The device's certificate that vouches for everything else in the new one.
    replaced: CertificateRow,
}

impl Station {
    /// The authorities a device needs to know: of its own certificate, and of this station's. DER.
    ///
    /// # Errors
    /// `internal` for a `caCertificate` that cannot be read.
    pub fn enrolment_authorities(&self) -> Result<Vec<Vec<u8>>, StationError> {
        let mut authorities = self.parts.issuer.authorities();
        let pem = &self.parts.profile.server.ca_certificate;
        let server = decode_pem("caCertificate", pem).map_err(|error| {
            tracing::error!(%error, "caCertificate");
            ErrorCode::Internal
        })?;
        if !authorities.contains(&server) {
            authorities.push(server);
        }
        Ok(authorities)
    }

    /// `POST /api/registry/devices/{deviceId}/enrolment`: lets a device enrol once, by a credential that is
    /// shown this one time; an earlier one counts no more.
    ///
    /// # Errors
    /// `not_permitted`; `device_unknown`, `device_decommissioned`; `enrolment_unavailable` unless the policy
    /// allows it and the device was paired with the key that the registry has; storage errors.
    pub async fn permit_enrolment(
        &self,
        proof: &OperatorProof,
        device: &DeviceId,
    ) -> Result<EnrolmentAnswer, StationError> {
        let now = self.now();
        let actor = self.authorise(proof, Action::PermitEnrolment, &now).await?;
        if let Err(code) = self.known_to_enrol(device).await? {
            let event = AuditEvent::failed(EventType::EnrolmentPermitted, actor, code);
            return self.refuse(&now, event.device(device), code.into()).await;
        }
        let mut bytes = Zeroizing::new([0u8; CREDENTIAL_BYTES]);
        self.parts.entropy.generator().fill_bytes(bytes.as_mut_slice());
        let expires_at = Self::wall(&now)? + limits::ENROLMENT_CREDENTIAL.default;
        let event = AuditEvent::new(EventType::EnrolmentPermitted, actor)
            .device(device)
            .with("expiresAt", expires_at);
        let write = StationWrite::PermitEnrolment(EnrolmentCredentialRow {
            device_id: device.clone(),
            hash: sha256(bytes.as_slice()),
            expires_at,
            spent_by: None,
        });
        self.commit_all(&now, vec![event], vec![write]).await?;
        Ok(EnrolmentAnswer {
            success: True,
            device_id: device.clone(),
            credential: SecretText::from_string(b64::encode_url(bytes.as_slice())),
            expires_at,
        })
    }

    /// Whether somebody is a device that may enrol by the credential it shows: before anything else of its
    /// request is looked at.
    ///
    /// # Errors
    /// `authentication_failed` for whatever is wrong with name and credential, counted and without a row;
    /// storage errors.
    pub async fn admit_credential(
        &self,
        source: IpAddr,
        device: &str,
        credential: &str,
    ) -> Result<EnrolmentRight, StationError> {
        let admitted = self.find_credential(device, credential).await?;
        admitted.ok_or_else(|| {
            self.note_junk(source, ErrorCode::AuthenticationFailed);
            ErrorCode::AuthenticationFailed.into()
        })
    }

    /// `POST /.well-known/est/simpleenroll`: a certificate (DER) for the key of a PKCS#10 request (DER). Of
    /// the request nothing but the key counts (D9). The same key again gets the same certificate, another one
    /// nothing: the credential is spent.
    ///
    /// # Errors
    /// `authentication_failed` for a credential that is spent, `device_unknown`; as [`Station::reenrol`].
    pub async fn enrol(
        self: &Arc<Self>,
        source: IpAddr,
        right: EnrolmentRight,
        request: &[u8],
    ) -> Result<Vec<u8>, StationError> {
        let (station, request) = (Arc::clone(self), request.to_vec());
        detached(async move {
            let EnrolmentRight { device_id, hash } = right;
            match station.known_to_enrol(&device_id).await? {
                Ok(replaced) => {
                    let right = Enrolment::Credential;
                    station.answer_request(source, right, Some(hash), replaced, &request).await
                }
                Err(code) => {
                    let now = station.now();
                    station.refuse_enrolment(source, &device_id, code, &now).await
                }
            }
        })
        .await
    }

    /// `POST /.well-known/est/simplereenroll`: as [`Station::enrol`], for the holder of a current certificate.
    ///
    /// # Errors
    /// As [`Station::admit_peer`]; `csr_invalid`; `session_reserved` with the time to wait while somebody
    /// works on the device; `enrolment_unavailable`, `device_key_conflict`, `device_decommissioned`;
    /// `key_store_unavailable` when it cannot be signed; storage errors.
    pub async fn reenrol(
        self: &Arc<Self>,
        source: IpAddr,
        serial: &Serial,
        request: &[u8],
    ) -> Result<Vec<u8>, StationError> {
        let (station, serial, request) = (Arc::clone(self), *serial, request.to_vec());
        detached(async move {
            let replaced = station.admit_certificate(&serial, CertificateUse::Renew).await?;
            let right = Enrolment::Certificate;
            station.answer_request(source, right, None, replaced, &request).await
        })
        .await
    }

    /// The first ordinary request over a certificate that was fetched here is its commit; `false` for any
    /// other pending certificate.
    pub(super) async fn take_into_use(
        &self,
        serial: &Serial,
        now: &Now,
    ) -> Result<bool, StationError> {
        let row = self.admit_certificate(serial, CertificateUse::Commit).await?;
        let session = self.parts.store.session(&row.session).await?;
        let Some(session) = session.filter(|_| row.state == CertificateState::Pending) else {
            return Ok(row.state != CertificateState::Pending);
        };
        let Some(right) = session.enrolment else { return Ok(false) };
        self.keep_up(now).await?;
        let current = self.current(&row.device_id).await?;
        if current.is_none() && right == Enrolment::Certificate {
            // What it replaces was revoked meanwhile: nobody let it in anew.
            self.abort(now, &row).await?;
            self.session_aborted(now, &row).await?;
            return Ok(true);
        }
        let event =
            |event| AuditEvent::new(event, Actor::Peer).device(&row.device_id).session(row.session);
        let at = Self::wall(now)?;
        let step =
            |serial, from, to| StationWrite::Certificate { serial, from, to, at, reason: None };
        let confirmed = event(EventType::CommitConfirmed).with("serial", row.serial);
        let mut audit = vec![confirmed.with("method", "est")];
        let mut writes = Vec::new();
        if let Some(old) = &current {
            audit.push(event(EventType::CertificateSuperseded).with("serial", old.serial));
            writes.push(step(old.serial, CertificateState::Current, CertificateState::Superseded));
        }
        writes.push(step(row.serial, CertificateState::Pending, CertificateState::Current));
        if !session.phase.is_final() {
            writes.extend(ended(&session, SessionPhase::Paired, None));
        }
        match self.try_commit(now, audit, writes).await? {
            Ok(()) => {
                if let Some(old) = &current {
                    self.certificate_moved(old, CertificateState::Superseded);
                }
                self.certificate_moved(&row, CertificateState::Current);
                Ok(true)
            }
            // Another request was faster: look again.
            Err(
                Refusal::CertificateState { .. }
                | Refusal::OtherCurrent(_)
                | Refusal::SessionEnded(_),
            ) => Ok(true),
            Err(refusal) => Err(Self::unexpected(&refusal)),
        }
    }

    async fn find_credential(
        &self,
        device: &str,
        credential: &str,
    ) -> Result<Option<EnrolmentRight>, StationError> {
        let (Ok(device_id), Some(hash)) = (DeviceId::parse(device), credential_hash(credential))
        else {
            return Ok(None);
        };
        let now = self.now();
        let shown = SecretBytes::copy_from(&hash);
        let kept = self.parts.store.enrolment_credential(&device_id).await?;
        let genuine = kept.filter(|kept| {
            shown.ct_eq(&SecretBytes::copy_from(&kept.hash)) && !is_expired_at(kept, &now)
        });
        Ok(genuine.map(|_| EnrolmentRight { device_id, hash }))
    }

    /// The newest certificate of a device that was paired with the key the registry has: that key was
    /// proved then, and a request of EST proves no such thing.
    async fn known_to_enrol(
        &self,
        device: &DeviceId,
    ) -> Result<Result<CertificateRow, ErrorCode>, StationError> {
        if self.parts.policy.enrolment < EnrolmentPolicy::Enroll {
            return Ok(Err(ErrorCode::EnrolmentUnavailable));
        }
        let Some(known) = self.parts.store.device(device).await? else {
            return Ok(Err(ErrorCode::DeviceUnknown));
        };
        if known.status == DeviceStatus::Decommissioned {
            return Ok(Err(ErrorCode::DeviceDecommissioned));
        }
        let mut newest: Option<CertificateRow> = None;
        for state in CertificateState::ALL {
            for row in self.parts.store.certificates_of_device(device, state).await? {
                let key = IdentityPublic::parse(&row.identity_key).map_err(|error| error.code())?;
                let was_committed = row.committed_at.is_some();
                if was_committed
                    && key.thumbprint() == known.identity
                    && newest.as_ref().is_none_or(|newest| row.issued_at > newest.issued_at)
                {
                    newest = Some(row);
                }
            }
        }
        Ok(newest.ok_or(ErrorCode::EnrolmentUnavailable))
    }

    async fn answer_request(
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
            Err(error) => error.code(),
            Ok(key) => {
                let spki = key.spki_der().to_vec();
                let asked = Asked { right, credential, spki, replaced };
                match self.issue_enrolled(&asked).await? {
                    Ok(certificate) => return Ok(certificate),
                    Err(ErrorCode::SessionReserved) => {
                        let wait = limits::ENROLMENT_RETRY.default;
                        return Err(StationError::retry_after(ErrorCode::SessionReserved, wait));
                    }
                    Err(code) => code,
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
        for _ in 0..RACES {
            if let Some(made) = self.made_before(asked, &now).await? {
                return Ok(made);
            }
            match self.live_reservation(device_id, &now).await? {
                None => {}
                Some(row) if row.operator.is_some() => return Ok(Err(ErrorCode::SessionReserved)),
                // The device asks anew: what it began before is over.
                Some(row) => {
                    self.end_pull(&row, &now).await?;
                    continue;
                }
            }
            let (record, row) = self.enrolment_record(asked, &now).await?;
            match self.commit_record(&now, &record).await? {
                Ok(()) => {
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
    async fn refuse_enrolment<T>(
        &self,
        source: IpAddr,
        device: &DeviceId,
        code: ErrorCode,
        now: &Now,
    ) -> Result<T, StationError> {
        if !self.junk().own_row(source, now.mono) {
            self.note_junk(source, code);
            return Err(code.into());
        }
        let audit = AuditEvent::failed(EventType::RenewalFailed, Actor::Peer, code)
            .device(device)
            .with("method", "est");
        self.refuse(now, audit, code.into()).await
    }
}

/// Without a wall clock nothing is alive.
fn is_expired_at(kept: &EnrolmentCredentialRow, now: &Now) -> bool {
    now.wall.is_none_or(|wall| is_expired(wall, kept.expires_at))
}

fn credential_hash(text: &str) -> Option<[u8; 32]> {
    let bytes = Zeroizing::new(b64::decode_url(text).ok()?);
    (bytes.len() == CREDENTIAL_BYTES).then(|| sha256(&bytes))
}
