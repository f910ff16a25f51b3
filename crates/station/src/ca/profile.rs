//! The certificate profiles of D8 as `rcgen` parameters.
//!
//! `rcgen`'s defaults are set aside one by one: a common name of its own, no authority key
//! identifier, no `basicConstraints` in leaves, and the years 1975–4096 as validity.

use core::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType, SerialNumber,
};
use time::OffsetDateTime;
use zmon_crypto::x509::{
    OID_CONFIG_SIGNING_ARCS, OID_TRUST_LEVEL_ARCS, URN_DEVICE, URN_SITE, URN_STATION,
    trust_level_extension,
};
use zmon_domain::ids::{DeviceId, Serial, SiteId, StationId};
use zmon_domain::time::UnixTime;
use zmon_wire::kind::TrustLevel;

use super::{CaError, ServerName};

/// First and last second of validity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: UnixTime,
    pub(super) not_after: UnixTime,
}

impl Validity {
    /// Starts `skew` before `now`, so that a peer whose clock is a little slow accepts it at once,
    /// and lasts `lifetime` in all.
    pub(super) fn starting(now: UnixTime, skew: Duration, lifetime: Duration) -> Self {
        let not_before = now - skew;
        Self { not_before, not_after: not_before + lifetime }
    }
}

/// The anchor root: signs certificates only, at most leaves below it.
pub(super) fn anchor(
    name: &str,
    site: &SiteId,
    serial: &Serial,
    validity: Validity,
) -> Result<CertificateParams, CaError> {
    let mut params = base(&format!("{name} anchor"), serial, validity)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.subject_alt_names = vec![uri(URN_SITE, site.as_str())?];
    Ok(params)
}

/// The client CA: signs device certificates and their revocation list; EKU clientAuth limits
/// everything below it.
pub(super) fn client_ca(
    name: &str,
    serial: &Serial,
    validity: Validity,
) -> Result<CertificateParams, CaError> {
    let mut params = base(&format!("{name} devices"), serial, validity)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

/// The configuration-signing leaf: key usage exactly digitalSignature, EKU exactly one private OID.
pub(super) fn signing(
    name: &str,
    station: &StationId,
    site: &SiteId,
    serial: &Serial,
    validity: Validity,
) -> Result<CertificateParams, CaError> {
    let mut params = leaf(&format!("{name} configuration"), serial, validity)?;
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::Other(OID_CONFIG_SIGNING_ARCS.to_vec())];
    params.subject_alt_names =
        vec![uri(URN_STATION, station.as_str())?, uri(URN_SITE, site.as_str())?];
    Ok(params)
}

/// The TLS server leaf.
pub(super) fn server(
    name: &str,
    names: &[ServerName],
    serial: &Serial,
    validity: Validity,
) -> Result<CertificateParams, CaError> {
    if names.is_empty() {
        return Err(CaError::Name("a TLS server needs at least one name".to_owned()));
    }
    let mut params = leaf(&format!("{name} server"), serial, validity)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.subject_alt_names = names
        .iter()
        .map(|name| match name {
            ServerName::Ip(ip) => Ok(SanType::IpAddress(*ip)),
            ServerName::Dns(dns) => dns
                .as_str()
                .try_into()
                .map(SanType::DnsName)
                .map_err(|_| CaError::Name(dns.clone())),
        })
        .collect::<Result<_, _>>()?;
    Ok(params)
}

/// A device's TLS client certificate; it says on what ground the device believes the station.
pub(super) fn device(
    device: &DeviceId,
    serial: &Serial,
    validity: Validity,
    trust: TrustLevel,
) -> Result<CertificateParams, CaError> {
    let mut params = leaf(device.as_str(), serial, validity)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names = vec![uri(URN_DEVICE, device.as_str())?];
    let level =
        trust_level_extension(trust).map_err(|error| CaError::Library(error.to_string()))?;
    params.custom_extensions = vec![CustomExtension::from_oid_content(OID_TRUST_LEVEL_ARCS, level)];
    Ok(params)
}

/// The same certificate, saying this level in place of any other (D8, D20); as it is without one.
pub(super) fn at_level(
    mut params: CertificateParams,
    level: Option<TrustLevel>,
) -> Result<CertificateParams, CaError> {
    if let Some(level) = level {
        let content = trust_level_extension(level).map_err(|_| CaError::Certificate("own"))?;
        let oid = OID_TRUST_LEVEL_ARCS;
        params.custom_extensions.retain(|own| !own.oid_components().eq(oid.iter().copied()));
        params.custom_extensions.push(CustomExtension::from_oid_content(oid, content));
    }
    Ok(params)
}

/// `UnixTime` as the library's own date type.
pub(super) fn date(at: UnixTime) -> Result<OffsetDateTime, CaError> {
    OffsetDateTime::from_unix_timestamp(at.unix()).map_err(|_| CaError::NoDate)
}

fn leaf(name: &str, serial: &Serial, validity: Validity) -> Result<CertificateParams, CaError> {
    let mut params = base(name, serial, validity)?;
    // `NoCa` would leave out basicConstraints and the subject key identifier altogether.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn base(name: &str, serial: &Serial, validity: Validity) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    // RFC 5280 appendix A.1: a common name has at most 64 characters.
    subject.push(DnType::CommonName, name.chars().take(64).collect::<String>());
    params.distinguished_name = subject;
    params.serial_number = Some(SerialNumber::from_slice(serial.as_bytes()));
    params.not_before = date(validity.not_before)?;
    params.not_after = date(validity.not_after)?;
    Ok(params)
}

fn uri(prefix: &str, id: &str) -> Result<SanType, CaError> {
    let text = format!("{prefix}{id}");
    text.as_str().try_into().map(SanType::URI).map_err(|_| CaError::Name(text))
}
