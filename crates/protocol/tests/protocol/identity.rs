//! Who answered the station's hello: nonce, ids, key, policy, request (D9).

use zmon_crypto::jws::Typ;
use zmon_crypto::x509::csr;
use zmon_crypto::{IdentityKey, KemKey, SoftIdentity, Suite};
use zmon_domain::audit::EventType as E;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, DeviceSerial, SessionId, Thumbprint};
use zmon_protocol::station::{SessionInput, SessionPhase, StationAction};

use crate::common::Pair;
use crate::common::liar::{Liar, answer, dialling};

fn refused_identity(code: ErrorCode, bend: impl FnOnce(&mut Pair, &mut Liar)) {
    let (mut pair, mut liar) = dialling();
    bend(&mut pair, &mut liar);
    answer(&mut pair, &liar, Typ::Identity);
    assert_eq!(pair.phase(), SessionPhase::Failed, "{code}");
    let rows: Vec<_> = pair.station.audit.iter().map(|row| (row.event, row.error)).collect();
    assert!(rows.contains(&(E::IdentityRefused, Some(code))), "{rows:?}");
    assert!(rows.contains(&(E::PairingFailed, Some(code))), "{rows:?}");
    assert!(pair.station.reservation.is_none() && pair.station.certificates.is_empty());
    let issues = pair.station.actions.iter().any(|a| matches!(a, StationAction::Issue { .. }));
    assert!(!issues, "{code}: nothing is issued");
}

#[test]
fn an_honest_identity_is_believed() {
    let (mut pair, liar) = dialling();
    answer(&mut pair, &liar, Typ::Identity);
    assert_eq!(pair.phase(), SessionPhase::Issuing);
}

#[test]
fn an_identity_document_is_checked_in_every_field() {
    refused_identity(ErrorCode::SessionMismatch, |_, liar| liar.document.hello_hash = [0; 32]);
    refused_identity(ErrorCode::SessionMismatch, |_, liar| {
        liar.document.session_id = SessionId::from_bytes([1; 16]);
    });
    refused_identity(ErrorCode::DeviceMismatch, |_, liar| {
        liar.document.device_id = DeviceId::parse("ZM-002").unwrap();
    });
    refused_identity(ErrorCode::DeviceMismatch, |_, liar| {
        liar.document.device_serial = DeviceSerial::parse("SN-2").unwrap();
    });
    refused_identity(ErrorCode::SuiteUnsupported, |_, liar| {
        liar.document.suite = zmon_wire::kind::Suite::Rsa2048;
    });
    refused_identity(ErrorCode::SuiteUnsupported, |pair, _| pair.station.policy.suites.clear());
    refused_identity(ErrorCode::SuiteUnsupported, |pair, liar| {
        let kem = KemKey::generate(Suite::Rsa2048, &mut pair.device.rng).unwrap();
        liar.document.kem_key = kem.public().to_bytes();
    });
    refused_identity(ErrorCode::IdentityInvalid, |pair, _| {
        pair.station.policy.require_hardware_keys = true;
    });
    refused_identity(ErrorCode::IdentityInvalid, |_, liar| liar.document.kem_key = vec![1, 2, 3]);
    refused_identity(ErrorCode::IdentityInvalid, |_, liar| liar.document.identity_key.clear());
    refused_identity(ErrorCode::CsrInvalid, |_, liar| liar.document.csr = Some(vec![0x30, 0]));
    refused_identity(ErrorCode::CsrInvalid, |_, liar| {
        *liar.document.csr.as_mut().unwrap().last_mut().unwrap() ^= 1;
    });
    refused_identity(ErrorCode::CsrInvalid, |pair, liar| {
        // The identity key only signs: it is never certified for TLS.
        let id = &liar.document.device_id;
        liar.document.csr = Some(csr::create(&liar.key, id, &mut pair.device.rng).unwrap());
    });
}

#[test]
fn another_key_is_refused_whatever_vouches() {
    refused_identity(ErrorCode::DeviceKeyMismatch, |pair, liar| {
        liar.key = SoftIdentity::generate(Suite::P256, &mut pair.device.rng).unwrap();
        liar.document.identity_key = liar.key.public().spki_der().to_vec();
    });
    // Signed by another key than the one it names.
    refused_identity(ErrorCode::IdentityInvalid, |pair, liar| {
        liar.key = SoftIdentity::generate(Suite::P256, &mut pair.device.rng).unwrap();
    });
}

#[test]
fn a_key_that_shares_only_its_left_half_is_alarmed() {
    let mut pair = Pair::new(104);
    pair.enter();
    let mut bytes = *pair.device.identity.public().thumbprint().as_bytes();
    bytes[31] ^= 1;
    pair.station.registry.as_mut().unwrap().identity_key = Thumbprint::from_bytes(bytes);
    assert_eq!(pair.pair(), SessionPhase::Failed);
    assert_eq!(pair.station.rows(E::DeviceKeyConflict).len(), 1);
    let identity = pair.station.rows(E::IdentityRefused)[0];
    assert_eq!(identity.error, Some(ErrorCode::DeviceKeyConflict));
}

#[test]
fn an_identity_of_another_type_or_of_no_type_is_refused() {
    let (mut pair, liar) = dialling();
    answer(&mut pair, &liar, Typ::Status);
    assert_eq!(pair.phase(), SessionPhase::Failed);
    let (mut pair, _) = dialling();
    let now = pair.now();
    pair.station.input(&now, SessionInput::Identity(b"junk".to_vec())).unwrap();
    assert_eq!(pair.phase(), SessionPhase::Failed);
}
