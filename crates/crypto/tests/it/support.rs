//! Certificate authorities for the tests, made with `rcgen`.

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
    SubjectPublicKeyInfo,
};
use time::OffsetDateTime;
use zmon_crypto::x509::{OID_CONFIG_SIGNING_ARCS, OID_TRUST_LEVEL_ARCS, trust_level_extension};
use zmon_crypto::{Anchor, IdentityPublic};
use zmon_domain::ids::SiteId;
use zmon_domain::time::UnixTime;
use zmon_wire::kind::TrustLevel;

pub const DAY: i64 = 86_400;
/// 2026-11-23T00:00:00Z.
pub const NOW: i64 = 1_795_392_000;

pub type Ca = CertifiedIssuer<'static, KeyPair>;

pub fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

pub fn at(seconds: i64) -> UnixTime {
    UnixTime::from_unix(seconds).unwrap()
}

pub fn site(text: &str) -> SiteId {
    SiteId::parse(text).unwrap()
}

pub fn config_signing() -> ExtendedKeyUsagePurpose {
    ExtendedKeyUsagePurpose::Other(OID_CONFIG_SIGNING_ARCS.to_vec())
}

/// Parameters with a name, validity and nothing else.
pub fn params(name: &str, from: i64, to: i64) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = OffsetDateTime::from_unix_timestamp(from).unwrap();
    params.not_after = OffsetDateTime::from_unix_timestamp(to).unwrap();
    params.serial_number = Some(SerialNumber::from_slice(&[0x5a, 0x01]));
    params
}

pub fn ca_params(name: &str, usages: Vec<ExtendedKeyUsagePurpose>) -> CertificateParams {
    let mut params = params(name, NOW - 1000 * DAY, NOW + 1000 * DAY);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = usages;
    params
}

pub fn root(params: CertificateParams) -> Ca {
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

pub fn intermediate(params: CertificateParams, issuer: &Ca) -> Ca {
    CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), issuer).unwrap()
}

pub fn anchor(ca: &Ca, site_text: &str) -> Anchor {
    Anchor::parse(ca.der(), site(site_text)).unwrap()
}

/// The right parameters of a configuration-signing leaf.
pub fn signing_params() -> CertificateParams {
    let mut params = params("station", NOW - DAY, NOW + 89 * DAY);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![config_signing()];
    params.subject_alt_names = uris(&["urn:zp:station:CS-1", "urn:zp:site:SITE-A"]);
    params
}

/// The right parameters of a client leaf.
pub fn client_params() -> CertificateParams {
    let mut params = params("device", NOW - DAY, NOW + 89 * DAY);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names = uris(&["urn:zp:device:MON-1"]);
    params.custom_extensions = vec![trust(TrustLevel::Anchored)];
    params
}

/// The extension of a client leaf that says this level.
pub fn trust(level: TrustLevel) -> CustomExtension {
    CustomExtension::from_oid_content(OID_TRUST_LEVEL_ARCS, trust_level_extension(level).unwrap())
}

pub fn uris(names: &[&str]) -> Vec<SanType> {
    names.iter().map(|name| SanType::URI((*name).try_into().unwrap())).collect()
}

/// Issues a leaf for `key`.
pub fn issue(params: &CertificateParams, key: &IdentityPublic, issuer: &Ca) -> Vec<u8> {
    let spki = SubjectPublicKeyInfo::from_der(key.spki_der()).unwrap();
    params.signed_by(&spki, issuer).unwrap().der().to_vec()
}

/// An extension that no profile knows.
pub fn unknown_extension(critical: bool) -> CustomExtension {
    let mut extension =
        CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 58888, 9], vec![0x05, 0x00]);
    extension.set_criticality(critical);
    extension
}

/// An extended key usage without a purpose: `SEQUENCE {}`.
pub fn empty_key_purposes() -> CustomExtension {
    CustomExtension::from_oid_content(&[2, 5, 29, 37], vec![0x30, 0x00])
}

/// A CA whose paths end with it: only leaves may follow.
pub fn last_ca(name: &str) -> Ca {
    let mut params = ca_params(name, vec![]);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    root(params)
}
