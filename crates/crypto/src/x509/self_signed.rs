//! The self-signed certificate of the device's provisioning listener (D17).

use alloc::vec;
use alloc::vec::Vec;
use core::str::FromStr;

use rand_core::CryptoRng;
use x509_cert::TbsCertificate;
use x509_cert::builder::CertificateBuilder;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::der::DateTime;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef};
use x509_cert::time::{Time, Validity};

use super::{SERVER_AUTH, signer};
use crate::identity::{IdentityKey, KeyError};

/// Common name of every listener certificate. It names no device: a scan of the network shall not
/// read an inventory.
const COMMON_NAME: &str = "CN=Z Monitor provisioning";

/// Makes a certificate for `key`, signed by `key`.
///
/// Nobody relies on its dates or names: the station pins the key (the token's thumbprint) and
/// checks TLS's proof of possession. So it is valid from 1970 to 9999, and a device without a clock
/// can make one.
///
/// # Errors
///
/// [`KeyError`] if the key fails.
pub fn self_signed(key: &dyn IdentityKey, rng: &mut dyn CryptoRng) -> Result<Vec<u8>, KeyError> {
    let subject = Name::from_str(COMMON_NAME).map_err(|_| KeyError::Malformed)?;
    let spki = SubjectPublicKeyInfoOwned::from_der(key.public().spki_der())
        .map_err(|_| KeyError::Malformed)?;
    let epoch = DateTime::new(1970, 1, 1, 0, 0, 0).map_err(|_| KeyError::Malformed)?;
    let validity = Validity::new(Time::from(epoch), Time::INFINITY);
    let serial = SerialNumber::generate(rng);
    let builder = CertificateBuilder::new(Listener(subject), serial, validity, spki)
        .map_err(|_| KeyError::Malformed)?;
    signer::build(builder, key, rng)
}

struct Listener(Name);

impl BuilderProfile for Listener {
    fn get_issuer(&self, subject: &Name) -> Name {
        subject.clone()
    }

    fn get_subject(&self) -> Name {
        self.0.clone()
    }

    fn build_extensions(
        &self,
        _spk: SubjectPublicKeyInfoRef<'_>,
        _issuer_spk: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        let subject = tbs.subject();
        Ok(vec![
            BasicConstraints { ca: false, path_len_constraint: None }.to_extension(subject, &[])?,
            KeyUsage(KeyUsages::DigitalSignature.into()).to_extension(subject, &[])?,
            ExtendedKeyUsage(vec![SERVER_AUTH]).to_extension(subject, &[])?,
        ])
    }
}

#[cfg(test)]
mod tests;
