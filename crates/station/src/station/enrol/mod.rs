//! Enrolment over Secure Transport (RFC 7030): a device's next certificate without a configuration (D26).
//!
//! What is issued here is pending, as any certificate is. An EST client knows no commit, so its first ordinary
//! request over the new certificate is one: the new one becomes current, and what it replaces is revoked. Until
//! then the old one stays in force, and what nobody uses in time is aborted.

mod budget;
mod first_use;
mod issue;

use std::net::IpAddr;
use std::sync::Arc;

use zeroize::Zeroizing;
use zmon_crypto::{IdentityPublic, SecretBytes, sha256};
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, Serial};
use zmon_domain::limits;
use zmon_domain::role::{Action, OperatorProof};
use zmon_domain::time::{Now, is_expired};
use zmon_protocol::station::CertificateUse;
use zmon_wire::admin::EnrolmentAnswer;
use zmon_wire::b64;
use zmon_wire::kind::True;
use zmon_wire::secret::SecretText;

pub(super) use budget::Enrolments;

use super::{Station, detached};
use crate::ca::decode_pem;
use crate::error::StationError;
use crate::policy::EnrolmentPolicy;
use crate::ports::{
    CertificateRow, CertificateState, DeviceStatus, Enrolment, EnrolmentCredentialRow, StationWrite,
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
                    station.refuse_enrolment(source, &device_id, code.into(), &now).await
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
    /// `too_many_requests` likewise; `key_store_unavailable` when it cannot be signed; storage errors.
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
}

/// Without a wall clock nothing is alive.
fn is_expired_at(kept: &EnrolmentCredentialRow, now: &Now) -> bool {
    now.wall.is_none_or(|wall| is_expired(wall, kept.expires_at))
}

fn credential_hash(text: &str) -> Option<[u8; 32]> {
    let bytes = Zeroizing::new(b64::decode_url(text).ok()?);
    (bytes.len() == CREDENTIAL_BYTES).then(|| sha256(&bytes))
}
