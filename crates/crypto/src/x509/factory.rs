//! The factory certificate of a device: its maker's word for its identity key (D9).
//!
//! The authorities of makers are a store of their own. They vouch for devices and for nothing else: no
//! anchor of a site and no client CA is among them, and none of them signs for a station.

use alloc::string::String;
use alloc::vec::Vec;

use rustls_pki_types::{CertificateDer, TrustAnchor};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::name::DirectoryString;
use zmon_domain::ids::{DeviceId, DeviceSerial, Thumbprint};
use zmon_domain::time::UnixTime;

use super::leaf::Fields;
use super::path::{self, ValidityWindow};
use super::{
    AnchorError, CLIENT_AUTH, CertificateChain, CertificateError, CertificateRole, Fault,
    URN_DEVICE,
};
use crate::algorithms::Algorithms;
use crate::hash::sha256;
use crate::identity::IdentityPublic;

/// `id-at-serialNumber` of RFC 5280 §4.1.2.4: where 802.1AR puts a device's serial number.
const SERIAL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.5");

/// The authorities of makers whose devices are believed (D9).
#[derive(Debug, Clone, Default)]
pub struct FactoryAnchors {
    roots: Vec<TrustAnchor<'static>>,
    facts: Vec<(Vec<u8>, ValidityWindow)>,
}

impl FactoryAnchors {
    /// No maker at all: every chain is refused.
    #[must_use]
    pub const fn new() -> Self {
        Self { roots: Vec::new(), facts: Vec::new() }
    }

    /// Adds the CA certificate (DER) of a maker.
    ///
    /// # Errors
    ///
    /// [`AnchorError`] for what is no certificate authority, is a simulated station's, or has the key
    /// of one that is there.
    pub fn insert(&mut self, ca_der: &[u8]) -> Result<(), AnchorError> {
        let der = CertificateDer::from(ca_der);
        let fields = Fields::parse(&der)?;
        if fields.trust_level.is_some() {
            return Err(AnchorError::Simulated);
        }
        let may_sign = fields.key_usage.is_none_or(|usage| usage.key_cert_sign());
        if !fields.is_authority || !may_sign {
            return Err(AnchorError::NotAuthority);
        }
        if self.holds_key(&fields.spki) {
            return Err(AnchorError::Duplicate);
        }
        let root = webpki::anchor_from_trusted_cert(&der).map_err(|_| AnchorError::Malformed)?;
        self.roots.push(root.to_owned());
        self.facts.push((fields.spki, fields.validity));
        Ok(())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.roots.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// Whether `spki` (DER) is the key of one of them.
    #[must_use]
    pub fn holds_key(&self, spki: &[u8]) -> bool {
        self.facts.iter().any(|(own, _)| own == spki)
    }

    /// The validity of the certificate that `root` was made from.
    fn validity(&self, root: &TrustAnchor<'_>) -> Option<ValidityWindow> {
        let same = |own: &TrustAnchor<'_>| {
            own.subject == root.subject
                && own.subject_public_key_info == root.subject_public_key_info
        };
        let found = self.roots.iter().zip(&self.facts).find(|(own, _)| same(own));
        found.map(|(_, (_, validity))| *validity)
    }
}

/// What the device says of itself, which its factory certificate must say as well.
#[derive(Debug, Clone, Copy)]
pub struct FactoryExpectation<'a> {
    /// The device's id.
    pub device_id: &'a DeviceId,
    /// Its serial number.
    pub serial: &'a DeviceSerial,
    /// The identity key that the certificate must be for.
    pub public_key: &'a IdentityPublic,
}

/// A factory certificate that passed path validation and comparison with the device.
#[derive(Debug, Clone)]
pub struct FactoryCertificate {
    fingerprint: Thumbprint,
}

impl FactoryCertificate {
    /// SHA-256 of the leaf certificate, for the audit log.
    #[must_use]
    pub const fn fingerprint(&self) -> Thumbprint {
        self.fingerprint
    }
}

/// Validates the factory chain of a device.
///
/// The path must lead to a maker's authority and be valid at `now`. The leaf is no CA, may sign if it
/// says anything about key usage, is for client authentication if it says anything about purposes, is
/// for the identity key, and names the device: by the SAN URI `urn:zp:device:ID`, by `serialNumber` of
/// the subject, or both; each that is there must be right. Other names are passed over.
///
/// # Errors
///
/// [`CertificateError`] of role [`CertificateRole::Factory`].
pub fn verify_factory_chain(
    chain: &CertificateChain,
    anchors: &FactoryAnchors,
    expected: &FactoryExpectation<'_>,
    now: UnixTime,
    algorithms: &Algorithms,
) -> Result<FactoryCertificate, CertificateError> {
    check(chain, anchors, expected, now, algorithms)
        .map_err(|fault| CertificateError::new(CertificateRole::Factory, fault))
}

fn check(
    chain: &CertificateChain,
    anchors: &FactoryAnchors,
    expected: &FactoryExpectation<'_>,
    now: UnixTime,
    algorithms: &Algorithms,
) -> Result<FactoryCertificate, Fault> {
    let end_entity = path::end_entity(chain.leaf())?;
    let purpose = CLIENT_AUTH.as_bytes();
    let roots = &anchors.roots;
    let verified = path::validate(&end_entity, chain.issuers(), roots, now, purpose, algorithms)?;
    anchors.validity(verified.anchor()).ok_or(Fault::NotAnchored)?.check(now)?;
    let leaf = Fields::parse(chain.leaf())?;
    if leaf.is_authority {
        return Err(Fault::IsAuthority);
    }
    if !leaf.key_usage.is_none_or(|usage| usage.digital_signature()) {
        return Err(Fault::KeyUsage);
    }
    if leaf.spki != expected.public_key.spki_der() {
        return Err(Fault::Key);
    }
    check_names(&leaf, &subject_serials(chain.leaf())?, expected)?;
    Ok(FactoryCertificate { fingerprint: Thumbprint::from_bytes(sha256(chain.leaf())) })
}

/// At least one name of ours, none of them twice, and each the device's.
fn check_names(
    leaf: &Fields,
    serials: &[Option<String>],
    expected: &FactoryExpectation<'_>,
) -> Result<(), Fault> {
    let mut ids = leaf.names.iter().flatten().filter_map(|name| name.strip_prefix(URN_DEVICE));
    let (id, serial) = match (ids.next(), ids.next(), serials) {
        (id, None, []) => (id, None),
        (id, None, [Some(serial)]) => (id, Some(serial.as_str())),
        _ => return Err(Fault::Names),
    };
    if id.is_none() && serial.is_none() {
        return Err(Fault::Names);
    }
    let id = id.is_none_or(|id| id == expected.device_id.as_str());
    let serial = serial.is_none_or(|serial| serial == expected.serial.as_str());
    if id && serial { Ok(()) } else { Err(Fault::Device) }
}

/// Every `serialNumber` of the subject; `None` for one that is no text.
fn subject_serials(der: &CertificateDer<'_>) -> Result<Vec<Option<String>>, Fault> {
    let certificate = Certificate::from_der(der).map_err(|_| Fault::Malformed)?;
    let subject = certificate.tbs_certificate().subject();
    let attributes = subject.iter().filter(|attribute| attribute.oid == SERIAL_NUMBER);
    let texts = attributes.map(|attribute| DirectoryString::try_from(&attribute.value));
    Ok(texts.map(|text| text.ok().map(String::from)).collect())
}
