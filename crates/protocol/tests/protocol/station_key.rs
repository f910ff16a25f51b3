//! Client keys that the station makes (D6): only where both sides mean it, sealed to the device.

use zmon_crypto::envelope::client_key::{self, Binding};
use zmon_crypto::{IdentityKey, KemPublic, Suite, TlsKey, x509};
use zmon_domain::audit::EventType as E;
use zmon_domain::error::ErrorCode;
use zmon_protocol::device::{DeviceInput, DeviceReply, StateKind};
use zmon_protocol::station::{SessionPhase, StationAction};
use zmon_wire::configuration::ConfigurationDocument;
use zmon_wire::pem::PemBase64;
use zmon_wire::secret::SecretText;

use crate::common::{Forge, Pair};

fn pair(suite: Suite) -> Pair {
    let mut pair = Pair::with_suite(61, suite);
    pair.device.profile.station_made_keys = true;
    pair.station.policy.station_made_keys = true;
    pair.enter();
    pair
}

/// The key in slot A is that of the certificate in it.
fn key_in_force(pair: &Pair) -> Vec<u8> {
    let slot = pair.device.stored.slot_a.as_ref().unwrap();
    let key = TlsKey::from_pkcs8(slot.client_key.expose()).unwrap();
    let credentials = slot.credentials().unwrap();
    let certified = x509::spki_of(&credentials.client_chain[0]).unwrap();
    assert_eq!(key.public().spki_der(), certified);
    slot.client_key.expose().to_vec()
}

fn configuration(pair: &Pair) -> ConfigurationDocument {
    let slot = pair.device.stored.slot_a.as_ref().unwrap();
    ConfigurationDocument::parse(slot.configuration.expose()).unwrap()
}

#[test]
fn where_both_sides_allow_it_the_station_makes_the_key() {
    for suite in [Suite::P256, Suite::Rsa2048] {
        let mut pair = pair(suite);
        assert_eq!(pair.pair(), SessionPhase::Paired, "{suite:?}");
        let key = key_in_force(&pair);
        let sealed = configuration(&pair).client_private_key.unwrap();
        // The answer of `pair` has the document's member, and ciphertext only.
        let answer = pair.station.machine.as_ref().unwrap().answer().unwrap();
        let answered = answer.configuration.client_private_key.unwrap();
        assert_eq!(answered.expose(), sealed.expose());
        let bytes = zmon_wire::b64::decode_url(sealed.expose()).unwrap();
        assert!(!bytes.windows(32).any(|part| key.windows(32).any(|secret| secret == part)));
    }
}

#[test]
fn every_session_has_another_key_and_a_renewal_too() {
    let mut pair = pair(Suite::P256);
    assert_eq!(pair.pair(), SessionPhase::Paired);
    let first = key_in_force(&pair);
    pair.renew();
    let second = key_in_force(&pair);
    assert!(configuration(&pair).client_private_key.is_some());
    assert_ne!(first, second);
}

/// The pairing fails with this code before anything is issued.
fn refused(device: bool, station: bool, cause: ErrorCode) {
    let mut pair = pair(Suite::P256);
    pair.device.profile.station_made_keys = device;
    pair.station.policy.station_made_keys = station;
    assert_eq!(pair.pair(), SessionPhase::Failed);
    let told = pair
        .station
        .audit
        .iter()
        .any(|row| (row.event, row.error) == (E::IdentityRefused, Some(cause)));
    assert!(told, "{cause}");
    assert!(pair.station.certificates.is_empty(), "nothing was issued");
    assert!(!pair.station.actions.iter().any(|a| matches!(a, StationAction::Issue { .. })));
    assert!(pair.device.stored.slot_a.is_none());
}

#[test]
fn where_one_side_only_allows_it_the_pairing_is_refused() {
    refused(false, true, ErrorCode::StationKeyNotAllowed);
    refused(true, false, ErrorCode::StationKeyNotOffered);
}

/// A claimed device that takes its key from the station, and the station's key with its certificate.
fn waiting() -> (Pair, Forge, TlsKey, Vec<Vec<u8>>) {
    let mut pair = pair(Suite::P256);
    let forge = Forge::claim(&mut pair);
    assert!(forge.identity.csr.is_none());
    let key = TlsKey::generate(&mut pair.station.rng).unwrap();
    let now = pair.now().wall.unwrap();
    let id = forge.identity.device_id.clone();
    let (chain, _) = pair.station.ca.issue(key.public().spki_der(), &id, now);
    (pair, forge, key, chain)
}

/// What an honest station would send, with this `clientPrivateKey`; the device's answer, and nothing
/// of what follows from it.
fn deliver(
    pair: &mut Pair,
    forge: &Forge,
    chain: &[Vec<u8>],
    sealed: Option<String>,
) -> DeviceReply {
    let own = TlsKey::generate(&mut pair.station.rng).unwrap();
    let mut document = forge.document_for(pair, own.public().spki_der());
    let chain = zmon_crypto::CertificateChain::from_der(chain.to_vec()).unwrap();
    document.client_certificate = PemBase64::from_pem(&chain.to_pem()).unwrap();
    document.client_private_key = sealed.map(SecretText::from_string);
    let envelope = forge.envelope(pair, &document);
    let now = pair.now();
    pair.device.input(&now, DeviceInput::Configuration { envelope }).unwrap()
}

fn seal(pair: &mut Pair, forge: &Forge, key: &TlsKey, certificate: &[u8]) -> String {
    let binding = Binding {
        session_id: forge.hello.session_id,
        transcript: &forge.transcript,
        keys: &forge.keys,
        certificate,
    };
    let kem = KemPublic::parse(&forge.identity.kem_key).unwrap();
    let sealed = client_key::seal(&binding, &kem, key, &mut pair.station.rng).unwrap();
    zmon_wire::b64::encode_url(&sealed)
}

#[test]
fn a_key_that_is_missing_unreadable_or_another_certificate_s_is_not_installed() {
    type Make = fn(&mut Pair, &Forge, &TlsKey, &[u8]) -> Option<String>;
    let cases: [(ErrorCode, Make); 5] = [
        (ErrorCode::StationKeyNotOffered, |_, _, _, _| None),
        (ErrorCode::ClientKeyUnreadable, |_, _, _, _| Some("sealed".to_owned())),
        (ErrorCode::ClientKeyUnreadable, |_, _, _, _| Some("not base64url!".to_owned())),
        (ErrorCode::ClientKeyUnreadable, |pair, forge, key, _| {
            Some(seal(pair, forge, key, b"another certificate"))
        }),
        (ErrorCode::ClientKeyMismatch, |pair, forge, _, certificate| {
            let other = TlsKey::generate(&mut pair.station.rng).unwrap();
            Some(seal(pair, forge, &other, certificate))
        }),
    ];
    for (cause, make) in cases {
        let (mut pair, forge, key, chain) = waiting();
        let sealed = make(&mut pair, &forge, &key, &chain[0]);
        let reply = deliver(&mut pair, &forge, &chain, sealed);
        assert!(matches!(reply, DeviceReply::Status(_)));
        assert_eq!(pair.snapshot().last_error.unwrap().code, cause);
        assert_eq!(pair.device.machine.kind(), StateKind::Error);
        assert!(pair.device.stored.slot_b.is_none());
    }
    // And the right one is.
    let (mut pair, forge, key, chain) = waiting();
    let sealed = seal(&mut pair, &forge, &key, &chain[0]);
    assert_eq!(deliver(&mut pair, &forge, &chain, Some(sealed)), DeviceReply::Pending);
}
