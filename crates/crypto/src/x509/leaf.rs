//! The fields of one certificate that the profiles look at.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use rustls_pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
};
use zmon_domain::time::UnixTime;
use zmon_wire::kind::TrustLevel;

use super::path::ValidityWindow;
use super::{Fault, trust_level};

/// A certificate's fields, read once.
pub(super) struct Fields {
    pub(super) serial: Vec<u8>,
    pub(super) validity: ValidityWindow,
    pub(super) spki: Vec<u8>,
    pub(super) is_authority: bool,
    /// How many CAs may follow this one on a path; `None` for any number.
    pub(super) path_length: Option<u8>,
    /// `None` if the extension is absent.
    pub(super) key_usage: Option<KeyUsage>,
    /// `None` if the extension is absent.
    pub(super) extended_key_usage: Option<Vec<ObjectIdentifier>>,
    /// Every subject alternative name; anything but a URI stands as `None`.
    pub(super) names: Vec<Option<String>>,
    pub(super) self_issued: bool,
    /// `None` if the extension is absent.
    pub(super) trust_level: Option<TrustLevel>,
}

impl Fields {
    /// Reads the fields. A repeated extension refuses the certificate.
    pub(super) fn parse(der: &CertificateDer<'_>) -> Result<Self, Fault> {
        let certificate = Certificate::from_der(der).map_err(|_| Fault::Malformed)?;
        let tbs = certificate.tbs_certificate();
        let basic = tbs.get_extension::<BasicConstraints>().map_err(|_| Fault::Malformed)?;
        let key_usage = tbs.get_extension::<KeyUsage>().map_err(|_| Fault::Malformed)?;
        let purposes = tbs.get_extension::<ExtendedKeyUsage>().map_err(|_| Fault::Malformed)?;
        let names = tbs.get_extension::<SubjectAltName>().map_err(|_| Fault::Malformed)?;
        let validity = tbs.validity();
        let serial = tbs.serial_number().as_bytes();
        // Negative numbers (RFC 5280 §4.1.2.2 forbids them) would read like other, positive ones.
        if serial.first().is_some_and(|byte| byte & 0x80 != 0) {
            return Err(Fault::Malformed);
        }
        Ok(Self {
            serial: serial.to_vec(),
            validity: ValidityWindow::new(
                unix_time(validity.not_before.to_unix_duration())?,
                unix_time(validity.not_after.to_unix_duration())?,
            ),
            spki: tbs.subject_public_key_info().to_der().map_err(|_| Fault::Malformed)?,
            is_authority: basic.as_ref().is_some_and(|(_, basic)| basic.ca),
            path_length: basic.and_then(|(_, basic)| basic.path_len_constraint),
            key_usage: key_usage.map(|(_, usage)| usage),
            extended_key_usage: purposes.map(|(_, purposes)| purposes.0),
            names: names.map(|(_, names)| names.0.iter().map(uri).collect()).unwrap_or_default(),
            self_issued: tbs.issuer() == tbs.subject(),
            trust_level: trust_level::read(tbs)?,
        })
    }

    /// Whether the key usage extension is there and allows exactly digital signatures.
    pub(super) fn signs_only(&self) -> bool {
        self.key_usage.is_some_and(|usage| usage.0 == KeyUsages::DigitalSignature)
    }

    /// Whether the extended key usage extension is there and lists exactly `purpose`.
    pub(super) fn is_exactly_for(&self, purpose: ObjectIdentifier) -> bool {
        self.extended_key_usage.as_deref() == Some(&[purpose])
    }

    /// Whether the extended key usage extension is there and lists `purpose` among others.
    pub(super) fn allows(&self, purpose: ObjectIdentifier) -> bool {
        self.extended_key_usage.as_deref().is_some_and(|list| list.contains(&purpose))
    }
}

fn uri(name: &GeneralName) -> Option<String> {
    if let GeneralName::UniformResourceIdentifier(uri) = name {
        Some(uri.as_str().to_string())
    } else {
        None
    }
}

fn unix_time(since_epoch: Duration) -> Result<UnixTime, Fault> {
    let seconds = i64::try_from(since_epoch.as_secs()).map_err(|_| Fault::Malformed)?;
    UnixTime::from_unix(seconds).ok_or(Fault::Malformed)
}
