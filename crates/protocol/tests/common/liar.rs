//! A device that can be made to lie about who it is.

use zmon_crypto::jws::{Typ, sign};
use zmon_crypto::x509::csr;
use zmon_crypto::{IdentityKey, KemKey, SoftIdentity, Suite, TlsKey, sha256};
use zmon_protocol::station::{SessionInput, StationAction};
use zmon_wire::hello::Hello;
use zmon_wire::identity::IdentityDocument;
use zmon_wire::kind::{KeyProtection, TrustLevel, V1};
use zmon_wire::strict;

use super::pair::Pair;
use super::station::details;

/// A device that answers a hello as it likes.
pub(crate) struct Liar {
    pub(crate) key: SoftIdentity,
    pub(crate) document: IdentityDocument,
}

/// A session in `Dialling`, and the document an honest device would answer.
pub(crate) fn dialling() -> (Pair, Liar) {
    let mut pair = Pair::new(101);
    pair.enter();
    let qr = pair.qr();
    let request = pair.station.request(&qr, Some(details("ICU-3B")));
    let now = pair.now();
    pair.station.open(&now, request).unwrap();
    let Some(StationAction::SendSession { hello, .. }) = pair.station.actions.pop_front() else {
        panic!("the device is dialled")
    };
    let jws = zmon_crypto::jws::Unverified::parse(hello.as_bytes()).unwrap();
    let parsed: Hello = strict::parse(jws.payload_unverified(), 65_536).unwrap();
    let key = SoftIdentity::from_pkcs8(pair.device.identity.to_pkcs8().unwrap().expose()).unwrap();
    let rng = &mut pair.device.rng;
    let kem = KemKey::generate(Suite::P256, rng).unwrap();
    let tls = TlsKey::generate(rng).unwrap();
    let document = IdentityDocument {
        v: V1::default(),
        session_id: parsed.session_id,
        hello_hash: sha256(hello.as_bytes()),
        device_id: pair.device.profile.device_id.clone(),
        device_serial: pair.device.profile.serial.clone(),
        firmware_version: pair.device.profile.firmware.clone(),
        suite: zmon_wire::kind::Suite::P256,
        identity_key: key.public().spki_der().to_vec(),
        kem_key: kem.public().to_bytes(),
        csr: Some(csr::create(&tls, &parsed.device_id, rng).unwrap()),
        device_nonce: [1; 32],
        key_protection: KeyProtection::File,
        clock_quality: zmon_domain::time::ClockQuality::Synced,
        audit_checkpoint: None,
        factory_chain: None,
        station_trust: TrustLevel::Anchored,
    };
    (pair, Liar { key, document })
}

pub(crate) fn answer(pair: &mut Pair, liar: &Liar, typ: Typ) {
    let payload = strict::to_vec(&liar.document).unwrap();
    let signed = sign(typ, None, &payload, &liar.key, &mut pair.device.rng).unwrap();
    let now = pair.now();
    pair.station.input(&now, SessionInput::Identity(signed.into_bytes())).unwrap();
}
