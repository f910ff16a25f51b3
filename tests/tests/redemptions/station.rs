//! Redeemers: stations of one hospital, each with a hello and a claim of its own for one QR code.

use rand_chacha::ChaCha20Rng;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SubjectPublicKeyInfo, date_time_ymd,
};
use rustls_pki_types::CertificateDer;
use zmon_crypto::jws::{self, Typ};
use zmon_crypto::schedule::Prk;
use zmon_crypto::token::PairingToken;
use zmon_crypto::x509::{Anchor, OID_CONFIG_SIGNING_ARCS, URN_SITE, URN_STATION};
use zmon_crypto::{IdentityKey, SoftIdentity, Suite};
use zmon_domain::ids::{SessionId, SiteId, StationId, StationName};
use zmon_domain::time::UnixTime;
use zmon_wire::hello::Hello;
use zmon_wire::kind::{Method, V1};
use zmon_wire::qr::QrContent;
use zmon_wire::session::SessionOpen;
use zmon_wire::strict;

/// 2026-03-01 00:00 UTC.
pub(crate) const START: i64 = 1_772_323_200;

const SITE: &str = "north";
const STATION: &str = "cs-1";

/// Who signs for all of them: the race is for the code, not for who is believed.
pub(crate) struct Redeemers {
    anchor: Anchor,
    signer: SoftIdentity,
    leaf: Vec<u8>,
    rng: ChaCha20Rng,
}

impl Redeemers {
    /// Their anchor and signing certificate are good at [`START`].
    pub(crate) fn new(mut rng: ChaCha20Rng) -> Self {
        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) =
            (date_time_ymd(2026, 1, 1), date_time_ymd(2028, 1, 1));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        let anchor = params.self_signed(&key).expect("an anchor");

        let signer = SoftIdentity::generate(Suite::P256, &mut rng).expect("a key");
        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) =
            (date_time_ymd(2026, 2, 1), date_time_ymd(2026, 4, 15));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::Other(OID_CONFIG_SIGNING_ARCS.to_vec())];
        let uri = |text: String| SanType::URI(text.try_into().expect("a URI"));
        params.subject_alt_names =
            vec![uri(format!("{URN_STATION}{STATION}")), uri(format!("{URN_SITE}{SITE}"))];
        let subject = SubjectPublicKeyInfo::from_der(signer.public().spki_der()).expect("a key");
        let issuer = Issuer::from_ca_cert_der(anchor.der(), &key).expect("an issuer");
        let leaf = params.signed_by(&subject, &issuer).expect("a certificate").der().to_vec();
        let site = SiteId::parse(SITE).expect("a site");
        let anchor = Anchor::parse(anchor.der(), site).expect("an anchor");
        Self { anchor, signer, leaf, rng }
    }

    /// What the device must believe.
    pub(crate) fn anchor(&self) -> Anchor {
        self.anchor.clone()
    }

    /// A claim that nobody else has made.
    pub(crate) fn claim(&mut self, qr: &QrContent, now: UnixTime) -> SessionOpen {
        let token = PairingToken::parse_base64url(qr.pairing_token.expose()).expect("a token");
        let session_id = SessionId::generate(&mut self.rng);
        let hello = Hello {
            v: V1::default(),
            session_id,
            station_id: StationId::parse(STATION).expect("a station"),
            station_name: StationName::parse("North").expect("a name"),
            site_id: SiteId::parse(SITE).expect("a site"),
            method: Method::Qr,
            device_id: qr.device_id.clone(),
            window_ref: *token.id().as_bytes(),
            device_key16: token.thumbprint16(),
            station_nonce: [7; 32],
            iat: now,
        };
        let payload = strict::to_vec(&hello).expect("JSON");
        let chain = [CertificateDer::from(self.leaf.as_slice())];
        let hello = jws::sign(Typ::Hello, Some(&chain), &payload, &self.signer, &mut self.rng);
        let hello = hello.expect("a signature");
        let claim_mac = Prk::from_token(hello.as_bytes(), &token).claim_mac(hello.as_bytes());
        SessionOpen { hello, claim_mac }
    }
}
