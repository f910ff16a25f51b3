//! The anchors: which certificate authorities a device believes, and for which site (D8).

use alloc::vec::Vec;

use rustls_pki_types::{CertificateDer, TrustAnchor};
use zmon_domain::ids::{SiteId, Thumbprint};
use zmon_wire::kind::TrustLevel;

use super::leaf::Fields;
use super::path::ValidityWindow;
use super::{CONFIG_SIGNING, Fault};
use crate::hash::sha256;

/// Why a certificate cannot be an anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnchorError {
    /// The bytes are no certificate.
    #[error("the anchor is no certificate")]
    Malformed,
    /// It is no certificate authority, or may not sign certificates.
    #[error("the anchor is not a certificate authority")]
    NotAuthority,
    /// It is limited to other purposes, as a client CA is.
    #[error("the anchor is limited to other purposes than signing configurations")]
    OtherPurpose,
    /// It is a simulated station's, or is not where only such a one counts (D20).
    #[error("anchors of simulated stations and of real ones do not mix")]
    Simulated,
    /// The same key is already an anchor.
    #[error("the same key is already an anchor")]
    Duplicate,
}

impl From<Fault> for AnchorError {
    fn from(_: Fault) -> Self {
        Self::Malformed
    }
}

/// One certificate authority and the site it speaks for.
#[derive(Debug, Clone)]
pub struct Anchor {
    der: CertificateDer<'static>,
    site_id: SiteId,
    root: TrustAnchor<'static>,
    spki: Vec<u8>,
    validity: ValidityWindow,
    path_length: Option<u8>,
    simulated: bool,
}

impl Anchor {
    /// Reads a CA certificate in DER.
    ///
    /// It must be a CA, may sign certificates if it says anything about key usage, and must not be
    /// limited to purposes other than signing configurations: a client CA is never an anchor.
    /// Validity is checked when a path is, since nothing here knows the time. The authority of a
    /// simulated station is refused.
    ///
    /// # Errors
    ///
    /// [`AnchorError`].
    pub fn parse(ca_der: &[u8], site_id: SiteId) -> Result<Self, AnchorError> {
        Self::read(ca_der, site_id, false)
    }

    /// Reads the CA certificate of a simulated station, and no other (D20). Only development builds
    /// have this.
    ///
    /// # Errors
    ///
    /// [`AnchorError`].
    #[cfg(feature = "simulate")]
    pub fn parse_simulated(ca_der: &[u8], site_id: SiteId) -> Result<Self, AnchorError> {
        Self::read(ca_der, site_id, true)
    }

    fn read(ca_der: &[u8], site_id: SiteId, simulated: bool) -> Result<Self, AnchorError> {
        let der = CertificateDer::from(ca_der.to_vec());
        let fields = Fields::parse(&der)?;
        if (fields.trust_level == Some(TrustLevel::Simulated)) != simulated {
            return Err(AnchorError::Simulated);
        }
        let may_sign = fields.key_usage.is_none_or(|usage| usage.key_cert_sign());
        if !fields.is_authority || !may_sign {
            return Err(AnchorError::NotAuthority);
        }
        if fields.extended_key_usage.is_some() && !fields.allows(CONFIG_SIGNING) {
            return Err(AnchorError::OtherPurpose);
        }
        let root =
            webpki::anchor_from_trusted_cert(&der).map_err(|_| AnchorError::Malformed)?.to_owned();
        let Fields { spki, validity, path_length, .. } = fields;
        Ok(Self { root, site_id, spki, validity, path_length, der, simulated })
    }

    /// The site that the anchor speaks for.
    #[must_use]
    pub fn site_id(&self) -> &SiteId {
        &self.site_id
    }

    /// The certificate in DER.
    #[must_use]
    pub fn ca_der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the certificate: the fingerprint that an administrator compares.
    #[must_use]
    pub fn fingerprint(&self) -> Thumbprint {
        Thumbprint::from_bytes(sha256(&self.der))
    }

    /// The anchor's own validity.
    #[must_use]
    pub fn validity(&self) -> ValidityWindow {
        self.validity
    }

    pub(super) fn root(&self) -> &TrustAnchor<'static> {
        &self.root
    }

    /// How many CAs may stand between it and a leaf.
    pub(super) const fn path_length(&self) -> Option<u8> {
        self.path_length
    }
}

/// The anchors of a device, prepared for path validation.
#[derive(Debug, Clone, Default)]
pub struct AnchorSet {
    anchors: Vec<Anchor>,
    /// The roots again, side by side, as path validation takes them.
    roots: Vec<TrustAnchor<'static>>,
}

impl AnchorSet {
    /// No anchor at all: every station is refused.
    #[must_use]
    pub const fn new() -> Self {
        Self { anchors: Vec::new(), roots: Vec::new() }
    }

    /// Adds an anchor.
    ///
    /// # Errors
    ///
    /// [`AnchorError::Duplicate`] if its key is an anchor already: one key speaks for one site;
    /// [`AnchorError::Simulated`] if the others are of the other kind.
    pub fn insert(&mut self, anchor: Anchor) -> Result<(), AnchorError> {
        if self.anchors.first().is_some_and(|first| first.simulated != anchor.simulated) {
            return Err(AnchorError::Simulated);
        }
        if self.holds_key(&anchor.spki) {
            return Err(AnchorError::Duplicate);
        }
        self.roots.push(anchor.root.clone());
        self.anchors.push(anchor);
        Ok(())
    }

    /// Builds a set of several.
    ///
    /// # Errors
    ///
    /// As [`AnchorSet::insert`].
    pub fn from_anchors(anchors: impl IntoIterator<Item = Anchor>) -> Result<Self, AnchorError> {
        let mut set = Self::new();
        anchors.into_iter().try_for_each(|anchor| set.insert(anchor))?;
        Ok(set)
    }

    /// The anchors.
    pub fn iter(&self) -> impl Iterator<Item = &Anchor> {
        self.anchors.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.anchors.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    /// Whether these are the anchors of a simulated station: then its certificates count, and no
    /// others do (D20).
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.anchors.first().is_some_and(|anchor| anchor.simulated)
    }

    /// Whether the level of a certificate is the one that counts with these anchors.
    pub(super) fn check_level(&self, level: Option<TrustLevel>) -> Result<(), Fault> {
        match (level == Some(TrustLevel::Simulated), self.is_simulated()) {
            (true, true) | (false, false) => Ok(()),
            (true, false) => Err(Fault::Simulated),
            (false, true) => Err(Fault::NotAnchored),
        }
    }

    /// Whether `spki` (DER) is the key of an anchor.
    #[must_use]
    pub fn holds_key(&self, spki: &[u8]) -> bool {
        self.anchors.iter().any(|anchor| anchor.spki == spki)
    }

    pub(super) fn roots(&self) -> &[TrustAnchor<'static>] {
        &self.roots
    }

    /// The anchor that `root` was made from.
    pub(super) fn by_root(&self, root: &TrustAnchor<'_>) -> Option<&Anchor> {
        self.anchors.iter().find(|anchor| {
            let own = anchor.root();
            own.subject == root.subject
                && own.subject_public_key_info == root.subject_public_key_info
        })
    }
}
