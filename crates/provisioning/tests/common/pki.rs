//! A hospital's certificates, made for one test.

use core::str::FromStr;
use core::time::Duration;

use p256::ecdsa::signature::Keypair;
use p256::pkcs8::Document;
use rand_core::CryptoRng;
use x509_cert::AlgorithmIdentifier;
use x509_cert::TbsCertificate;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder, CertificateBuilder};
use x509_cert::der::asn1::{BitString, Ia5String, ObjectIdentifier, OctetString};
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{
    DynSignatureAlgorithmIdentifier, EncodePublicKey, SubjectPublicKeyInfoOwned,
    SubjectPublicKeyInfoRef,
};
use x509_cert::time::{Time, Validity};
use zmon_crypto::identity::es256_to_der;
use zmon_crypto::x509::{
    CertificateChain, OID_CONFIG_SIGNING, OID_TRUST_LEVEL, trust_level_extension,
};
use zmon_crypto::{IdentityKey, IdentityPublic, SoftIdentity, Suite};
use zmon_domain::time::UnixTime;
use zmon_wire::kind::TrustLevel;

/// `id-kp-clientAuth`.
pub(crate) const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";

/// A certificate authority.
pub(crate) struct Authority {
    name: Name,
    key: SoftIdentity,
    /// What its certificates say, the own one included (D20).
    pub(crate) level: Option<TrustLevel>,
    /// Its own certificate.
    pub(crate) der: Vec<u8>,
}

/// What a certificate is for.
pub(crate) struct Profile {
    subject: Name,
    issuer: Name,
    authority: bool,
    usage: Option<ObjectIdentifier>,
    uris: Vec<String>,
    level: Option<TrustLevel>,
}

impl Authority {
    /// A self-signed authority, good around `now` for three years.
    pub(crate) fn new(
        common_name: &str,
        level: Option<TrustLevel>,
        now: UnixTime,
        rng: &mut dyn CryptoRng,
    ) -> Self {
        let name = Name::from_str(&format!("CN={common_name}")).unwrap();
        let key = soft(rng);
        let profile = Profile {
            subject: name.clone(),
            issuer: name.clone(),
            authority: true,
            usage: None,
            uris: Vec::new(),
            level,
        };
        let days = Duration::from_secs(86_400);
        let validity = validity(now - days * 365, now + days * 730);
        let der = issue(profile, key.public().spki_der(), validity, &key, rng);
        Self { name, key, level, der }
    }

    /// A leaf for the key in `spki`, good from a day before `now` for `days`.
    pub(crate) fn leaf(
        &self,
        spki: &[u8],
        usage: &str,
        uris: &[String],
        (now, days): (UnixTime, u32),
        rng: &mut dyn CryptoRng,
    ) -> Vec<u8> {
        let profile = Profile {
            subject: Name::from_str("CN=leaf").unwrap(),
            issuer: self.name.clone(),
            authority: false,
            usage: Some(ObjectIdentifier::new(usage).unwrap()),
            uris: uris.to_vec(),
            level: self.level.or((usage == CLIENT_AUTH).then_some(TrustLevel::Anchored)),
        };
        let day = Duration::from_secs(86_400);
        let validity = validity(now - day, now + day * (days - 1));
        issue(profile, spki, validity, &self.key, rng)
    }

    /// A configuration-signing leaf (D8).
    pub(crate) fn signing_leaf(
        &self,
        spki: &[u8],
        station: &str,
        site: &str,
        now: UnixTime,
        rng: &mut dyn CryptoRng,
    ) -> Vec<u8> {
        let uris = [format!("urn:zp:station:{station}"), format!("urn:zp:site:{site}")];
        self.leaf(spki, OID_CONFIG_SIGNING, &uris, (now, 80), rng)
    }
}

impl BuilderProfile for Profile {
    fn get_issuer(&self, _subject: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        _spk: SubjectPublicKeyInfoRef<'_>,
        _issuer_spk: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        let subject = tbs.subject();
        let constraints = BasicConstraints { ca: self.authority, path_len_constraint: None };
        let usage = if self.authority {
            KeyUsages::KeyCertSign | KeyUsages::CRLSign
        } else {
            KeyUsages::DigitalSignature.into()
        };
        let mut extensions = vec![
            constraints.to_extension(subject, &[])?,
            KeyUsage(usage).to_extension(subject, &[])?,
        ];
        if let Some(usage) = self.usage {
            extensions.push(ExtendedKeyUsage(vec![usage]).to_extension(subject, &[])?);
        }
        if !self.uris.is_empty() {
            let names = self
                .uris
                .iter()
                .map(|uri| Ok(GeneralName::UniformResourceIdentifier(Ia5String::new(uri)?)))
                .collect::<Result<_, x509_cert::der::Error>>()?;
            extensions.push(SubjectAltName(names).to_extension(subject, &[])?);
        }
        if let Some(level) = self.level {
            let level = trust_level_extension(level).unwrap();
            extensions.push(Extension {
                extn_id: ObjectIdentifier::new_unwrap(OID_TRUST_LEVEL),
                critical: false,
                extn_value: OctetString::new(level)?,
            });
        }
        Ok(extensions)
    }
}

/// A fresh P-256 key.
pub(crate) fn soft(rng: &mut dyn CryptoRng) -> SoftIdentity {
    SoftIdentity::generate(Suite::P256, rng).unwrap()
}

/// A chain as the configuration carries it.
pub(crate) fn base64_pem(chain: &[&[u8]]) -> String {
    let chain = chain.iter().map(|der| der.to_vec());
    CertificateChain::from_der(chain).unwrap().to_base64_pem()
}

fn issue(
    profile: Profile,
    spki: &[u8],
    validity: Validity,
    key: &SoftIdentity,
    rng: &mut dyn CryptoRng,
) -> Vec<u8> {
    let spki = SubjectPublicKeyInfoOwned::from_der(spki).unwrap();
    let serial = SerialNumber::generate(rng);
    let mut builder = CertificateBuilder::new(profile, serial, validity, spki).unwrap();
    let public = Public(key.public().clone());
    let message = builder.finalize(&public).unwrap();
    let signature = es256_to_der(&key.sign(&message, rng).unwrap()).unwrap();
    let signature = BitString::from_bytes(&signature).unwrap();
    builder.assemble(signature, &public).unwrap().to_der().unwrap()
}

/// The issuer's key as the builder asks for it.
#[derive(Clone)]
struct Public(IdentityPublic);

impl Keypair for Public {
    type VerifyingKey = Self;

    fn verifying_key(&self) -> Self {
        self.clone()
    }
}

impl EncodePublicKey for Public {
    fn to_public_key_der(&self) -> x509_cert::spki::Result<Document> {
        Ok(Document::try_from(self.0.spki_der())?)
    }
}

impl DynSignatureAlgorithmIdentifier for Public {
    fn signature_algorithm_identifier(&self) -> x509_cert::spki::Result<AlgorithmIdentifier> {
        // ecdsa-with-SHA256, no parameters (RFC 5758).
        let oid = ObjectIdentifier::new("1.2.840.10045.4.3.2").unwrap();
        Ok(AlgorithmIdentifier { oid, parameters: None })
    }
}

fn validity(from: UnixTime, to: UnixTime) -> Validity {
    let time = |at: UnixTime| {
        let since_epoch = Duration::from_secs(u64::try_from(at.unix()).unwrap());
        Time::from(x509_cert::der::DateTime::from_unix_duration(since_epoch).unwrap())
    };
    Validity::new(time(from), time(to))
}
