//! An anchor that an administrator imports while the device runs (D8).
//!
//! Anchors and log are two media: the intent comes before the change and the outcome after it, and
//! without the intent nothing is changed.

use std::sync::Arc;

use zmon_crypto::x509::{Anchor, AnchorError, AnchorSet};
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::{ErrorCode, ErrorReport, FieldError};
use zmon_domain::ids::{SiteId, Thumbprint};
use zmon_domain::role::{Action, OperatorProof};
use zmon_domain::time::Now;
use zmon_protocol::device::{DeviceRecord, StationTrust};

use super::{Driver, projection};
use crate::ports::AnchorStore;

/// What an administrator asks to be believed.
#[derive(Debug, Clone)]
pub struct AnchorImport {
    /// The CA certificate, DER.
    pub certificate: Vec<u8>,
    /// The site that it speaks for.
    pub site: SiteId,
    /// The fingerprint that the administrator has compared.
    pub fingerprint: Thumbprint,
}

impl Driver {
    /// The anchor counts from the moment that it is durable, and proximity, if that was the ground on
    /// which stations were believed, counts no more: an anchor always comes before it.
    pub(super) async fn import_anchor(
        &mut self,
        proof: &OperatorProof,
        import: &AnchorImport,
        store: &Arc<dyn AnchorStore>,
    ) -> Result<(), ErrorReport> {
        let now = self.parts.clock.now();
        let event = EventType::AnchorInstalled;
        let (fingerprint, site) = (import.fingerprint, import.site.clone());
        let row = |row: AuditEvent| row.with("anchor", fingerprint).with("site", &site);
        let (anchor, anchors) = match self.admit_anchor(proof, import, &now) {
            Ok(admitted) => admitted,
            Err(report) => {
                let refused = AuditEvent::failed(event, proof.actor(), report.code);
                self.record(&now, row(refused)).await?;
                return Err(report);
            }
        };
        let intent = AuditEvent::new(event, proof.actor()).with("stage", "intent");
        self.record(&now, row(intent)).await?;
        let kept = store.add(&anchor).await;
        let outcome = match &kept {
            Ok(()) => AuditEvent::new(event, proof.actor()),
            Err(report) => AuditEvent::failed(event, proof.actor(), report.code),
        };
        if kept.is_ok() {
            self.parts.anchors = anchors;
            if self.parts.profile.trust == StationTrust::Proximity {
                self.parts.profile.trust = StationTrust::Anchored;
            }
        }
        self.record(&now, row(outcome.with("stage", "outcome"))).await?;
        kept
    }

    /// The anchor, and the set with it. Nothing of a pairing that is under way is judged by two sets.
    fn admit_anchor(
        &self,
        proof: &OperatorProof,
        import: &AnchorImport,
        now: &Now,
    ) -> Result<(Anchor, AnchorSet), ErrorReport> {
        proof.authorise(Action::ImportAnchor, now.mono)?;
        let snapshot = self.machine.snapshot(now);
        if snapshot.erasing {
            return Err(ErrorCode::ErasePending.into());
        }
        if projection::window_is_open(snapshot.state) || snapshot.session_id.is_some() {
            return Err(ErrorCode::StateConflict.into());
        }
        let anchor = Anchor::parse(&import.certificate, import.site.clone()).map_err(invalid)?;
        if anchor.fingerprint() != import.fingerprint {
            return Err(ErrorCode::AnchorFingerprintMismatch.into());
        }
        let mut anchors = self.parts.anchors.clone();
        anchors.insert(anchor.clone()).map_err(invalid)?;
        Ok((anchor, anchors))
    }

    async fn record(&self, now: &Now, row: AuditEvent) -> Result<(), ErrorReport> {
        let audit = vec![row.device(&self.parts.profile.device_id)];
        let record = DeviceRecord { audit, ..DeviceRecord::default() };
        Ok(self.parts.store.commit(now, &record).await?)
    }
}

fn invalid(error: AnchorError) -> ErrorReport {
    let rule = match error {
        AnchorError::Malformed => "must be a certificate of X.509 v3",
        AnchorError::NotAuthority => "must be a certificate authority's",
        AnchorError::OtherPurpose => "must not be limited to other purposes",
        AnchorError::Simulated => "must not be mixed with a simulated station's",
        AnchorError::Duplicate => "must have a key that is no anchor yet",
        _ => "must be one that can be an anchor",
    };
    ErrorReport::field(ErrorCode::AnchorInvalid, FieldError::new("certificate", rule))
}
