//! A small certificate authority for the tests; every date is relative to [`NOW`].

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use time::OffsetDateTime;
use zmon_crypto::SecretBytes;

/// The wall clock of every test: 2027-01-15T08:00:00Z.
pub(crate) const NOW: i64 = 1_800_000_000;
pub(crate) const DAY: i64 = 86_400;

/// A CA with its key.
pub(crate) struct Ca {
    pub(crate) der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

/// A leaf with its key (PKCS#8).
pub(crate) struct Leaf {
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) key: SecretBytes,
}

/// What a leaf says; the defaults pass.
pub(crate) struct Wish {
    pub(crate) serial: u64,
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    pub(crate) uses: Vec<ExtendedKeyUsagePurpose>,
}

impl Wish {
    pub(crate) fn client(serial: u64) -> Self {
        Self {
            serial,
            not_before: NOW - DAY,
            not_after: NOW + DAY,
            uses: vec![ExtendedKeyUsagePurpose::ClientAuth],
        }
    }

    pub(crate) fn server(serial: u64) -> Self {
        Self { uses: vec![ExtendedKeyUsagePurpose::ServerAuth], ..Self::client(serial) }
    }
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = at(NOW - 30 * DAY);
        params.not_after = at(NOW + 3650 * DAY);
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { der, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn issue(&self, wish: &Wish) -> Leaf {
        self.issue_with(wish, |_| {})
    }

    /// A leaf with something about it changed.
    pub(crate) fn issue_with(
        &self,
        wish: &Wish,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Leaf {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names =
            (1..=3).map(|n| SanType::IpAddress([127, 0, 0, n].into())).collect();
        params.serial_number = Some(SerialNumber::from(wish.serial));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = wish.uses.clone();
        params.not_before = at(wish.not_before);
        params.not_after = at(wish.not_after);
        params.use_authority_key_identifier_extension = true;
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        Leaf { chain: vec![leaf.der().to_vec()], key: SecretBytes::new(key.serialize_der()) }
    }

    /// A revocation list valid until `next_update`.
    pub(crate) fn revoke(&self, serials: &[u64], next_update: i64) -> Vec<u8> {
        CertificateRevocationListParams {
            this_update: at(NOW - 60),
            next_update: at(next_update),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials
                .iter()
                .map(|serial| RevokedCertParams {
                    serial_number: SerialNumber::from(*serial),
                    revocation_time: at(NOW - 60),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        }
        .signed_by(&self.issuer)
        .unwrap()
        .der()
        .to_vec()
    }
}

fn at(unix: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(unix).unwrap()
}
