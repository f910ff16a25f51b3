//! What arrives in an envelope, from size and syntax to the client certificate (§3, D4–D6, D14).

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use rcgen::ExtendedKeyUsagePurpose;
use zmon_crypto::jws::{Typ, Unverified, sign};
use zmon_crypto::x509::{CertificateChain, csr};
use zmon_crypto::{Algorithms, IdentityKey, SoftIdentity, Suite};
use zmon_domain::audit::EventType as E;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, DeviceSerial, SessionId, StationId, Thumbprint};
use zmon_domain::time::ClockQuality;
use zmon_protocol::device::{DeviceInput, DeviceReply, StateKind};
use zmon_protocol::station::SessionPhase;
use zmon_wire::checkpoint::{Checkpoint, LaneHead};
use zmon_wire::configuration::ConfigurationDocument;
use zmon_wire::kind;
use zmon_wire::pem::PemBase64;
use zmon_wire::secret::SecretText;
use zmon_wire::session::StatusDocument;
use zmon_wire::strict;

use crate::common::ca::TestCa;
use crate::common::clock::start;
use crate::common::{Forge, Pair, forge, seconds};

/// A checkpoint over a log of so many rows, signed by the station's audit key.
fn checkpoint(rows: u64) -> String {
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let key = SoftIdentity::generate(Suite::P256, &mut rng).unwrap();
    let head = LaneHead { hash: [7; 32], lane: "station:cs-1".to_owned(), seq: rows };
    let statement = Checkpoint {
        heads: vec![head],
        previous: None,
        rows,
        timestamp: None,
        v: kind::V1::default(),
    };
    let payload = strict::to_vec(&statement).unwrap();
    sign(Typ::Checkpoint, None, &payload, &key, &mut rng).unwrap()
}

fn claimed() -> (Pair, Forge) {
    let mut pair = Pair::new(31);
    pair.enter();
    let forge = Forge::claim(&mut pair);
    (pair, forge)
}

fn status(text: &str) -> StatusDocument {
    let jws = Unverified::parse(text.as_bytes()).unwrap();
    strict::parse(jws.payload_unverified(), 65_536).unwrap()
}

/// This envelope ends the session with this cause: nothing staged, a signed status, precise rows.
fn final_refusal(pair: &mut Pair, forge: &Forge, envelope: Vec<u8>, cause: ErrorCode) {
    let from = pair.device.audit.len();
    let reply = forge.deliver(pair, envelope.clone()).unwrap();
    let DeviceReply::Status(text) = reply.clone() else { panic!("{reply:?}") };
    let status = status(&text);
    assert_eq!((status.success, status.code), (false, Some(cause)));
    assert_eq!(status.session_id, forge.hello.session_id);
    assert_eq!(
        pair.device.log_since(from),
        [(E::ConfigurationRefused, Some(cause)), (E::ProvisioningFailed, Some(cause))],
    );
    assert_eq!(pair.device.machine.kind(), StateKind::Error);
    assert_eq!(pair.snapshot().last_error.unwrap().code, cause);
    assert!(pair.device.stored.slot_b.is_none() && pair.device.stored.slot_a.is_none());
    assert_eq!(pair.tested, 0, "nothing was applied");
    assert!(!pair.listening);
    // The same envelope again gets the same answer and does nothing.
    assert_eq!(forge.deliver(pair, envelope).unwrap(), reply);
    assert_eq!(pair.device.last().event, E::ConfigurationReplayed);
}

fn refused_document(cause: ErrorCode, bend: impl FnOnce(&mut ConfigurationDocument)) {
    let (mut pair, forge) = claimed();
    let mut document = forge.document(&mut pair);
    bend(&mut document);
    let envelope = forge.envelope(&mut pair, &document);
    final_refusal(&mut pair, &forge, envelope, cause);
}

/// This envelope is refused, and the session lives on.
fn survives(pair: &mut Pair, forge: &Forge, envelope: Vec<u8>, cause: ErrorCode) {
    let rows = pair.device.audit.len();
    assert_eq!(forge.deliver(pair, envelope).unwrap_err().code, cause);
    assert_eq!(pair.device.log_since(rows), [(E::ConfigurationRefused, Some(cause))]);
    assert_eq!(pair.device.machine.kind(), StateKind::Pairing);
}

#[test]
fn an_honest_configuration_is_applied_once() {
    let (mut pair, forge) = claimed();
    let document = forge.document(&mut pair);
    let envelope = forge.envelope(&mut pair, &document);
    assert_eq!(forge.deliver(&mut pair, envelope.clone()).unwrap(), DeviceReply::Pending);
    assert_eq!(pair.device.machine.kind(), StateKind::Provisioned);
    let answer = pair.last_status.clone().unwrap();
    let (rows, slot) = (pair.device.audit.len(), pair.device.stored.slot_a.clone().unwrap());
    let again = forge.deliver(&mut pair, envelope.clone()).unwrap();
    assert_eq!(again, DeviceReply::Status(answer.clone()), "the same status, byte for byte");
    assert!(status(&answer).success);
    assert_eq!(status(&answer).configuration_hash, Some(slot.configuration_hash));
    assert_eq!(
        pair.device.log_since(rows),
        [(E::ConfigurationReplayed, Some(ErrorCode::ConfigurationReplayed))]
    );
    assert_eq!(pair.device.stored.slot_a.as_ref().unwrap().generation, slot.generation);
    // Anything else is a stranger's.
    let mut other = envelope;
    other.push(0);
    assert_eq!(forge.deliver(&mut pair, other).unwrap_err(), ErrorCode::ClaimRefused.into());
}

#[test]
fn a_delivery_that_repeats_while_it_is_applied_waits_for_the_same_answer() {
    let (mut pair, forge) = claimed();
    let document = forge.document(&mut pair);
    let envelope = forge.envelope(&mut pair, &document);
    let now = pair.now();
    for _ in 0..2 {
        let input = DeviceInput::Configuration { envelope: envelope.clone() };
        assert_eq!(pair.device.input(&now, input).unwrap(), DeviceReply::Pending);
    }
    assert_eq!(pair.device.machine.kind(), StateKind::Configuring);
    let other = forge.envelope(&mut pair, &document);
    let input = DeviceInput::Configuration { envelope: other };
    assert_eq!(pair.device.input(&now, input).unwrap_err().code, ErrorCode::StateConflict);
    pair.settle();
    assert_eq!(pair.device.machine.kind(), StateKind::Provisioned);
}

#[test]
fn damaged_envelopes_are_refused_and_the_session_survives() {
    let (mut pair, forge) = claimed();
    let document = forge.document(&mut pair);
    let good = forge.envelope(&mut pair, &document);
    for length in [35, 60, good.len() - 1] {
        survives(&mut pair, &forge, good[..length].to_vec(), ErrorCode::EnvelopeMalformed);
    }
    let mut long = good.clone();
    long.push(0);
    survives(&mut pair, &forge, long, ErrorCode::EnvelopeMalformed);
    let mut version = good.clone();
    version[0] = 2;
    survives(&mut pair, &forge, version, ErrorCode::EnvelopeMalformed);
    for index in [20, good.len() / 2, good.len() - 1] {
        let mut bent = good.clone();
        bent[index] ^= 1;
        survives(&mut pair, &forge, bent, ErrorCode::EnvelopeMacInvalid);
    }
    forge.deliver(&mut pair, good).unwrap();
    assert_eq!(pair.device.machine.kind(), StateKind::Provisioned);
}

#[test]
fn strangers_get_the_uniform_answer_and_are_counted() {
    let (mut pair, forge) = claimed();
    let document = forge.document(&mut pair);
    let good = forge.envelope(&mut pair, &document);
    let rows = pair.device.audit.len();
    let mut elsewhere = good.clone();
    elsewhere[5] ^= 1;
    for envelope in [Vec::new(), vec![0; 10], b"{}".to_vec(), vec![1; 70_000], elsewhere] {
        let report = forge.deliver(&mut pair, envelope).unwrap_err();
        assert_eq!(report, ErrorCode::ClaimRefused.into());
    }
    assert_eq!(pair.device.audit.len(), rows, "counted, not written");
    pair.pass(seconds(60));
    let row = pair.device.rows(E::JunkRefused)[0];
    assert_eq!(row.error, Some(ErrorCode::SessionUnknown));
    assert!(row.detail.contains(&("count", "5".into())));
}

#[test]
fn the_third_envelope_that_does_not_open_ends_the_session() {
    let (mut pair, forge) = claimed();
    let wrong = forge.for_another_key();
    for _ in 0..2 {
        let envelope = wrong.seal(&mut pair, b"anything");
        survives(&mut pair, &forge, envelope, ErrorCode::EnvelopeOpenFailed);
    }
    let envelope = wrong.seal(&mut pair, b"anything");
    final_refusal(&mut pair, &forge, envelope, ErrorCode::TooManyOpens);
}

#[test]
fn the_signature_must_be_the_stations() {
    let (mut pair, forge) = claimed();
    let payload = forge.document(&mut pair).to_json().unwrap();
    let mut signed = forge::sign(&mut pair, Typ::Config, None, &payload);
    let index = signed.len() - 20;
    signed[index] = if signed[index] == b'A' { b'B' } else { b'A' };
    let envelope = forge.seal(&mut pair, &signed);
    final_refusal(&mut pair, &forge, envelope, ErrorCode::SignatureInvalid);

    let (mut pair, forge) = claimed();
    let envelope = forge.seal(&mut pair, b"no jws");
    final_refusal(&mut pair, &forge, envelope, ErrorCode::JwsMalformed);

    let (mut pair, forge) = claimed();
    let payload = forge.document(&mut pair).to_json().unwrap();
    let signed = forge::sign(&mut pair, Typ::Hello, None, &payload);
    let envelope = forge.seal(&mut pair, &signed);
    final_refusal(&mut pair, &forge, envelope, ErrorCode::JwsMalformed);
}

#[test]
fn the_signer_must_be_anchored_and_the_one_who_claimed() {
    let (mut pair, forge) = claimed();
    let rogue = TestCa::new("north", "cs-1", start());
    let payload = forge.document(&mut pair).to_json().unwrap();
    let key = (&rogue.signer as &dyn IdentityKey, rogue.signing_chain.as_slice());
    let signed = forge::sign(&mut pair, Typ::Config, Some(key), &payload);
    let envelope = forge.seal(&mut pair, &signed);
    final_refusal(&mut pair, &forge, envelope, ErrorCode::StationNotAnchored);

    let (mut pair, forge) = claimed();
    let order = pair.station.ca.order("cs-2", start());
    let (signer, chain) = pair.station.ca.signer(&order);
    let payload = forge.document(&mut pair).to_json().unwrap();
    let key = (&signer as &dyn IdentityKey, chain.as_slice());
    let signed = forge::sign(&mut pair, Typ::Config, Some(key), &payload);
    let envelope = forge.seal(&mut pair, &signed);
    final_refusal(&mut pair, &forge, envelope, ErrorCode::SigningProfileViolation);

    let (mut pair, forge) = claimed();
    let mut order = pair.station.ca.order("cs-1", start());
    order.not_before = order.not_before - seconds(60);
    let (signer, chain) = pair.station.ca.signer(&order);
    let payload = forge.document(&mut pair).to_json().unwrap();
    let key = (&signer as &dyn IdentityKey, chain.as_slice());
    let signed = forge::sign(&mut pair, Typ::Config, Some(key), &payload);
    let envelope = forge.seal(&mut pair, &signed);
    final_refusal(&mut pair, &forge, envelope, ErrorCode::SigningCertificateRolledBack);
}

#[test]
fn a_signing_certificate_renewed_in_between_is_taken() {
    let (mut pair, forge) = claimed();
    let mut order = pair.station.ca.order("cs-1", start());
    order.not_before = start() - seconds(10);
    pair.station.ca.use_signer(&order);
    let document = forge.document(&mut pair);
    let envelope = forge.envelope(&mut pair, &document);
    forge.deliver(&mut pair, envelope).unwrap();
    assert_eq!(pair.device.machine.kind(), StateKind::Provisioned);
}

#[test]
fn every_binding_is_compared() {
    refused_document(ErrorCode::SessionMismatch, |d| d.session = [1; 32]);
    refused_document(ErrorCode::SessionMismatch, |d| {
        d.session_id = SessionId::from_bytes([1; 16]);
    });
    refused_document(ErrorCode::SessionMismatch, |d| {
        d.station_id = StationId::parse("cs-2").unwrap();
    });
    refused_document(ErrorCode::SessionMismatch, |d| d.method = kind::Method::Typed);
    refused_document(ErrorCode::DeviceMismatch, |d| {
        d.device_id = DeviceId::parse("ZM-002").unwrap();
    });
    refused_document(ErrorCode::DeviceMismatch, |d| {
        d.device_serial = DeviceSerial::parse("SN-2").unwrap();
    });
    refused_document(ErrorCode::DeviceMismatch, |d| {
        d.device_key = Thumbprint::from_bytes([1; 32]);
    });
    refused_document(ErrorCode::DeviceMismatch, |d| d.suite = kind::Suite::Rsa2048);
    for code in [Some("000-000-00R"), Some("nonsense"), Some(""), None] {
        refused_document(ErrorCode::PairingCodeMismatch, |d| {
            d.pairing_code = code.map(SecretText::new);
        });
    }
}

#[test]
fn spelling_of_the_code_does_not_matter() {
    let (mut pair, forge) = claimed();
    let mut document = forge.document(&mut pair);
    let text = forge.code.to_lowercase().replace('-', " ");
    document.pairing_code = Some(SecretText::new(&text));
    let envelope = forge.envelope(&mut pair, &document);
    assert!(forge.deliver(&mut pair, envelope).is_ok());
    assert_eq!(pair.device.machine.kind(), StateKind::Provisioned);
}

#[test]
fn time_is_compared_by_a_synchronised_clock_only() {
    refused_document(ErrorCode::ConfigurationExpired, |d| {
        d.timestamp = start() - seconds(7200);
        d.expires_at = start() - seconds(301);
    });
    refused_document(ErrorCode::ConfigurationExpired, |d| {
        d.timestamp = start() + seconds(301);
        d.expires_at = start() + seconds(7200);
    });
    refused_document(ErrorCode::ConfigurationMalformed, |d| {
        d.expires_at = d.timestamp - seconds(1);
    });
    for (quality, timestamp) in [
        (ClockQuality::Synced, start() - seconds(3900)),
        (ClockQuality::None, start() - seconds(3600)),
        (ClockQuality::Signed, start() + seconds(86_400 * 20)),
    ] {
        let (mut pair, forge) = claimed();
        pair.clock.quality = quality;
        let mut document = forge.document(&mut pair);
        document.timestamp = timestamp;
        document.expires_at = timestamp + seconds(3600);
        let envelope = forge.envelope(&mut pair, &document);
        forge.deliver(&mut pair, envelope).unwrap();
        assert_eq!(pair.device.machine.kind(), StateKind::Provisioned, "{quality:?}");
    }
}

#[test]
fn a_configuration_from_the_future_is_not_understood() {
    refused_document(ErrorCode::SchemaUnsupported, |d| d.crit = vec!["newThing".into()]);
    for (from, to, cause) in [
        ("\"schemaVersion\":1", "\"schemaVersion\":2", ErrorCode::SchemaUnsupported),
        ("https://10.1.1.1", "http://10.1.1.1", ErrorCode::ConfigurationMalformed),
        ("\"syncInterval\":10", "\"syncInterval\":0", ErrorCode::ConfigurationMalformed),
        ("METRIC", "CUBITS", ErrorCode::ConfigurationMalformed),
        ("\"bedId\":", "\"bedId\":\"x\",\"bedId\":", ErrorCode::ConfigurationMalformed),
    ] {
        let (mut pair, forge) = claimed();
        let json = forge.document(&mut pair).to_json().unwrap();
        let json = String::from_utf8(json.to_vec()).unwrap();
        assert!(json.contains(from), "{from}");
        let signed = forge::sign(&mut pair, Typ::Config, None, json.replace(from, to).as_bytes());
        let envelope = forge.seal(&mut pair, &signed);
        final_refusal(&mut pair, &forge, envelope, cause);
        assert!(pair.snapshot().last_error.unwrap().detail.is_some(), "the field is named");
    }
}

#[test]
fn unknown_members_are_ignored() {
    let (mut pair, forge) = claimed();
    let json = forge.document(&mut pair).to_json().unwrap();
    let json = String::from_utf8(json.to_vec()).unwrap();
    let json = json.replacen('{', "{\"newThing\":[1,2],", 1);
    let signed = forge::sign(&mut pair, Typ::Config, None, json.as_bytes());
    let envelope = forge.seal(&mut pair, &signed);
    forge.deliver(&mut pair, envelope).unwrap();
    assert_eq!(pair.device.machine.kind(), StateKind::Provisioned);
    let stored = &pair.device.stored.slot_a.as_ref().unwrap().configuration;
    assert_eq!(stored.expose(), json.as_bytes(), "the exact signed bytes are kept");
}

fn spki(forge: &Forge) -> Vec<u8> {
    let request = forge.identity.csr.as_ref().unwrap();
    csr::verify(request, &Algorithms::rustcrypto()).unwrap().spki_der().to_vec()
}

/// A client certificate made to order, instead of the honest one.
fn refused_certificate(cause: ErrorCode, make: impl FnOnce(&mut Pair, &Forge) -> Vec<Vec<u8>>) {
    let (mut pair, forge) = claimed();
    let mut document = forge.document(&mut pair);
    let chain = CertificateChain::from_der(make(&mut pair, &forge)).unwrap();
    document.client_certificate = PemBase64::from_pem(&chain.to_pem()).unwrap();
    let envelope = forge.envelope(&mut pair, &document);
    final_refusal(&mut pair, &forge, envelope, cause);
}

#[test]
fn the_client_certificate_is_checked() {
    let id = || DeviceId::parse("ZM-001").unwrap();
    let (from, to) = (start() - seconds(60), start() + seconds(86_400));
    refused_certificate(ErrorCode::ClientKeyMismatch, |pair, _| {
        let other = SoftIdentity::generate(Suite::P256, &mut pair.station.rng).unwrap();
        pair.station.ca.issue(other.public().spki_der(), &id(), start()).0
    });
    refused_certificate(ErrorCode::ClientCertificateInvalid, |pair, forge| {
        let other = DeviceId::parse("ZM-002").unwrap();
        pair.station.ca.issue(&spki(forge), &other, start()).0
    });
    refused_certificate(ErrorCode::CertificateExpired, |pair, forge| {
        let purpose = ExtendedKeyUsagePurpose::ClientAuth;
        let end = start() - seconds(1);
        pair.station.ca.issue_for(&spki(forge), &id(), end - seconds(60), end, purpose).0
    });
    refused_certificate(ErrorCode::ClientCertificateInvalid, |pair, forge| {
        let purpose = ExtendedKeyUsagePurpose::ServerAuth;
        pair.station.ca.issue_for(&spki(forge), &id(), from, to, purpose).0
    });
    refused_certificate(ErrorCode::ClientCertificateInvalid, |pair, forge| {
        let mut chain = pair.station.ca.issue(&spki(forge), &id(), start()).0;
        chain.truncate(1);
        chain
    });
    refused_certificate(ErrorCode::ClientCertificateInvalid, |pair, forge| {
        let mut other = TestCa::new("north", "cs-1", start());
        let mut chain = pair.station.ca.issue(&spki(forge), &id(), start()).0;
        chain[1] = other.issue(&spki(forge), &id(), start()).0[1].clone();
        chain
    });
}

#[test]
fn a_key_made_by_the_station_is_not_taken() {
    refused_document(ErrorCode::StationKeyNotAllowed, |d| {
        d.client_private_key = Some(SecretText::new("sealed"));
    });
}

#[test]
fn certificates_that_cannot_be_read_are_named() {
    let junk = || PemBase64::from_pem("-----BEGIN CERTIFICATE-----\nAAAA\n").unwrap();
    refused_document(ErrorCode::ConfigurationMalformed, |d| d.ca_certificate = junk());
    refused_document(ErrorCode::ConfigurationMalformed, |d| d.server_certificate = Some(junk()));
    refused_document(ErrorCode::ClientCertificateInvalid, |d| d.client_certificate = junk());
}

#[test]
fn without_a_server_certificate_there_is_no_pin() {
    let (mut pair, forge) = claimed();
    let mut document = forge.document(&mut pair);
    document.server_certificate = None;
    let envelope = forge.envelope(&mut pair, &document);
    let now = pair.now();
    pair.device.input(&now, DeviceInput::Configuration { envelope }).unwrap();
    let (slot, sent) = pair.device.stored.slot_b.as_ref().unwrap();
    assert!(slot.credentials().unwrap().server_pin.is_none());
    assert!(!sent);
}

#[test]
fn an_envelope_of_another_device_does_not_fit() {
    let (mut a, forge_a) = claimed();
    let mut b = Pair::new(32);
    b.enter();
    let forge_b = Forge::claim(&mut b);
    let document = forge_b.document(&mut b);
    let envelope = forge_b.envelope(&mut b, &document);
    assert_eq!(forge_a.deliver(&mut a, envelope).unwrap_err(), ErrorCode::ClaimRefused.into());
    assert_eq!(a.device.machine.kind(), StateKind::Pairing);
}

#[test]
fn a_station_s_checkpoint_has_a_form() {
    for junk in ["", "checkpoint", "a.b.c"] {
        refused_document(ErrorCode::ConfigurationMalformed, |document| {
            document.audit_checkpoint = Some(junk.to_owned());
        });
    }
}

#[test]
fn a_station_whose_log_was_set_back_is_written_down_and_not_refused() {
    let mut pair = Pair::new(33);
    pair.station.checkpoint = Some(checkpoint(7));
    pair.enter();
    assert_eq!(pair.pair(), SessionPhase::Paired);
    for (next, told) in [(Some(9), false), (Some(8), true), (None, true), (Some(2), false)] {
        let before = pair.device.rows(E::CheckpointReceived).len();
        pair.station.checkpoint = next.map(checkpoint);
        pair.reprovision();
        assert_eq!(pair.pair(), SessionPhase::Paired, "{next:?}");
        assert_eq!(pair.device.machine.kind(), StateKind::Provisioned);
        let rows = pair.device.rows(E::CheckpointReceived);
        assert_eq!(rows.len() > before, told, "{next:?}: against the configuration before it");
        assert!(rows.iter().all(|row| row.error == Some(ErrorCode::AuditRolledBack)));
    }
}
