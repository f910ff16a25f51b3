//! The embedded client CA behind the [`CertificateIssuer`] port.

use std::sync::Arc;

use async_trait::async_trait;
use rcgen::{
    CertificateRevocationListParams, KeyIdMethod, RevocationReason as Reason, RevokedCertParams,
    SerialNumber, SubjectPublicKeyInfo,
};

use super::authority::Authority;
use super::profile::{self, Validity};
use super::{CaError, serial};
use crate::ports::{
    CertificateIssuer, ClientCertificateOrder, CrlOrder, IssueError, IssuedCertificate,
    RevocationReason, RevocationRow,
};

/// Issues device certificates and revocation lists with the client CA's key in this process, or in a module.
pub struct EmbeddedCa {
    authority: Arc<Authority>,
}

impl EmbeddedCa {
    pub(super) fn new(authority: Authority) -> Self {
        Self { authority: Arc::new(authority) }
    }

    /// Signs here, or where a module may take its time without holding anybody else up.
    async fn signing(
        &self,
        sign: impl FnOnce(&Authority) -> Result<Vec<u8>, IssueError> + Send + 'static,
    ) -> Result<Vec<u8>, IssueError> {
        if !self.authority.key.is_in_module() {
            return sign(&self.authority);
        }
        let authority = Arc::clone(&self.authority);
        let signed = tokio::task::spawn_blocking(move || sign(&authority)).await;
        signed.unwrap_or_else(|error| Err(IssueError::Signing { cause: error.to_string() }))
    }
}

#[async_trait]
impl CertificateIssuer for EmbeddedCa {
    async fn issue(&self, order: &ClientCertificateOrder) -> Result<IssuedCertificate, IssueError> {
        let order = order.clone();
        let der = self.signing(move |authority| sign_certificate(authority, &order)).await?;
        // The device checks its certificate against the client CA that comes with it.
        let chain = vec![der.clone(), self.authority.certificate.clone()];
        Ok(IssuedCertificate { der, chain })
    }

    async fn revocation_list(&self, order: &CrlOrder) -> Result<Vec<u8>, IssueError> {
        let order = order.clone();
        self.signing(move |authority| sign_revocation_list(authority, &order)).await
    }

    fn authorities(&self) -> Vec<Vec<u8>> {
        vec![self.authority.certificate.clone()]
    }
}

impl From<CaError> for IssueError {
    fn from(error: CaError) -> Self {
        Self::Signing { cause: error.to_string() }
    }
}

fn sign_certificate(
    authority: &Authority,
    order: &ClientCertificateOrder,
) -> Result<Vec<u8>, IssueError> {
    if order.serial.as_bytes().len() < serial::MIN_LENGTH {
        return Err(IssueError::Order { rule: "the serial number has at least 64 bits" });
    }
    if order.not_after <= order.not_before {
        return Err(IssueError::Order { rule: "the validity ends after it begins" });
    }
    let subject_key = SubjectPublicKeyInfo::from_der(&order.spki)
        .map_err(|_| IssueError::Order { rule: "the key is a known public key" })?;
    let validity = Validity { not_before: order.not_before, not_after: order.not_after };
    let params = profile::device(&order.device_id, &order.serial, validity, order.trust)?;
    Ok(authority.issue(&params, &subject_key)?)
}

fn sign_revocation_list(authority: &Authority, order: &CrlOrder) -> Result<Vec<u8>, IssueError> {
    if order.number == 0 || order.next_update <= order.this_update {
        return Err(IssueError::Order { rule: "the list has a number and a next update" });
    }
    let params = CertificateRevocationListParams {
        this_update: profile::date(order.this_update)?,
        next_update: profile::date(order.next_update)?,
        crl_number: SerialNumber::from(order.number),
        issuing_distribution_point: None,
        revoked_certs: order.revoked.iter().map(entry).collect::<Result<_, _>>()?,
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let issuer = authority.issuer()?;
    let list = params.signed_by(&issuer).map_err(CaError::from)?;
    Ok(list.der().to_vec())
}

fn entry(row: &RevocationRow) -> Result<RevokedCertParams, CaError> {
    Ok(RevokedCertParams {
        serial_number: SerialNumber::from_slice(row.serial.as_bytes()),
        revocation_time: profile::date(row.revoked_at)?,
        reason_code: Some(match row.reason {
            RevocationReason::Aborted | RevocationReason::Decommissioned => {
                Reason::CessationOfOperation
            }
            RevocationReason::Superseded => Reason::Superseded,
            RevocationReason::Administrator => Reason::PrivilegeWithdrawn,
            RevocationReason::KeyCompromise => Reason::KeyCompromise,
        }),
        invalidity_date: None,
    })
}
