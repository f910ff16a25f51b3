//! A certificate authority in memory: anchor, configuration signing, server leaf, client CA.

use core::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PublicKeyData, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use time::OffsetDateTime;
use zmon_crypto::SoftIdentity;
use zmon_crypto::x509::{
    Anchor, OID_CONFIG_SIGNING_ARCS, OID_TRUST_LEVEL_ARCS, URN_DEVICE, URN_SITE, URN_STATION,
    trust_level_extension,
};
use zmon_domain::ids::{DeviceId, Serial, SiteId};
use zmon_domain::time::UnixTime;
use zmon_wire::kind::TrustLevel;

const DAY: Duration = Duration::from_secs(86_400);

/// What a configuration-signing certificate shall say.
#[derive(Clone)]
pub(crate) struct SigningOrder {
    pub(crate) station: String,
    pub(crate) site: String,
    pub(crate) not_before: UnixTime,
    pub(crate) not_after: UnixTime,
    pub(crate) purpose: Vec<u64>,
    pub(crate) is_ca: bool,
    pub(crate) usages: Vec<KeyUsagePurpose>,
}

pub(crate) struct TestCa {
    pub(crate) site: SiteId,
    anchor_key: KeyPair,
    anchor_der: Vec<u8>,
    client_key: KeyPair,
    client_der: Vec<u8>,
    pub(crate) signer: SoftIdentity,
    pub(crate) signing_chain: Vec<Vec<u8>>,
    pub(crate) anchor_pem: String,
    pub(crate) server_pem: String,
    next_serial: u64,
    /// What its client certificates say.
    pub(crate) trust: TrustLevel,
}

impl TestCa {
    /// An authority whose certificates began a day before `now`.
    pub(crate) fn new(site: &str, station: &str, now: UnixTime) -> Self {
        let begun = now - DAY;
        let anchor_key = key();
        let mut params = base("Anchor", 1, begun, begun + DAY * 3650);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let anchor = params.self_signed(&anchor_key).unwrap();

        let client_key = key();
        let mut params = base("Devices", 2, begun, begun + DAY * 3650);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let client = params.self_signed(&client_key).unwrap();

        let server_key = key();
        let mut params = base("Server", 3, begun, begun + DAY * 365);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let issuer = Issuer::from_ca_cert_der(anchor.der(), &anchor_key).unwrap();
        let server = params.signed_by(&server_key, &issuer).unwrap();
        drop(issuer);

        let (signing_key, signer) = signing_key();
        let mut ca = Self {
            site: SiteId::parse(site).unwrap(),
            anchor_pem: anchor.pem(),
            anchor_der: anchor.der().to_vec(),
            anchor_key,
            client_der: client.der().to_vec(),
            client_key,
            signer,
            signing_chain: Vec::new(),
            server_pem: server.pem(),
            next_serial: 100,
            trust: TrustLevel::Anchored,
        };
        ca.signing_chain = ca.sign_leaf(&ca.order(station, now), &signing_key);
        ca
    }

    /// The usual order for a signing certificate: 60 days, from a day before `now`.
    pub(crate) fn order(&self, station: &str, now: UnixTime) -> SigningOrder {
        SigningOrder {
            station: station.into(),
            site: self.site.as_str().into(),
            not_before: now - DAY,
            not_after: now + DAY * 59,
            purpose: OID_CONFIG_SIGNING_ARCS.to_vec(),
            is_ca: false,
            usages: vec![KeyUsagePurpose::DigitalSignature],
        }
    }

    /// A fresh signing key with a certificate made to order, below this anchor.
    pub(crate) fn signer(&self, order: &SigningOrder) -> (SoftIdentity, Vec<Vec<u8>>) {
        let (pair, signer) = signing_key();
        let chain = self.sign_leaf(order, &pair);
        (signer, chain)
    }

    /// From now on the station signs with this.
    pub(crate) fn use_signer(&mut self, order: &SigningOrder) {
        (self.signer, self.signing_chain) = self.signer(order);
    }

    fn sign_leaf(&self, order: &SigningOrder, subject: &impl PublicKeyData) -> Vec<Vec<u8>> {
        let mut params = base("Signing", 4, order.not_before, order.not_after);
        if order.is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        }
        params.key_usages.clone_from(&order.usages);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(order.purpose.clone())];
        params.subject_alt_names = vec![
            uri(&format!("{URN_STATION}{}", order.station)),
            uri(&format!("{URN_SITE}{}", order.site)),
        ];
        let der = self.anchor_der.clone().into();
        let issuer = Issuer::from_ca_cert_der(&der, &self.anchor_key).unwrap();
        vec![params.signed_by(subject, &issuer).unwrap().der().to_vec()]
    }

    pub(crate) fn anchor(&self) -> Anchor {
        Anchor::parse(&self.anchor_der, self.site.clone()).unwrap()
    }

    /// A client certificate for 90 days from an hour before `now`.
    pub(crate) fn issue(
        &mut self,
        spki: &[u8],
        device: &DeviceId,
        now: UnixTime,
    ) -> (Vec<Vec<u8>>, Serial) {
        let from = now - Duration::from_secs(3600);
        self.issue_for(spki, device, from, from + DAY * 90, ExtendedKeyUsagePurpose::ClientAuth)
    }

    pub(crate) fn issue_for(
        &mut self,
        spki: &[u8],
        device: &DeviceId,
        from: UnixTime,
        to: UnixTime,
        purpose: ExtendedKeyUsagePurpose,
    ) -> (Vec<Vec<u8>>, Serial) {
        self.next_serial += 1;
        let mut params = base("Device", self.next_serial, from, to);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.subject_alt_names = vec![uri(&format!("{URN_DEVICE}{device}"))];
        let level = trust_level_extension(self.trust).unwrap();
        params.custom_extensions =
            vec![CustomExtension::from_oid_content(OID_TRUST_LEVEL_ARCS, level)];
        let subject = SubjectPublicKeyInfo::from_der(spki).unwrap();
        let der = self.client_der.clone().into();
        let issuer = Issuer::from_ca_cert_der(&der, &self.client_key).unwrap();
        let leaf = params.signed_by(&subject, &issuer).unwrap().der().to_vec();
        (vec![leaf, self.client_der.clone()], serial(self.next_serial))
    }
}

fn serial(number: u64) -> Serial {
    let bytes = number.to_be_bytes();
    let first = bytes.iter().position(|byte| *byte != 0).unwrap();
    Serial::from_bytes(&bytes[first..]).unwrap()
}

fn base(name: &str, number: u64, from: UnixTime, to: UnixTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from_slice(serial(number).as_bytes()));
    params.not_before = OffsetDateTime::from_unix_timestamp(from.unix()).unwrap();
    params.not_after = OffsetDateTime::from_unix_timestamp(to.unix()).unwrap();
    params
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

fn signing_key() -> (KeyPair, SoftIdentity) {
    let pair = key();
    let signer = SoftIdentity::from_pkcs8(pair.serialized_der()).unwrap();
    (pair, signer)
}
