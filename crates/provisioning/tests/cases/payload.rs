//! `ProvisioningPayload` of the interface document.

use core::time::Duration;

use rand_chacha::rand_core::SeedableRng;
use zmon_crypto::jws::{self, Typ};
use zmon_crypto::{Algorithms, IdentityKey};
use zmon_domain::audit::EventType;
use zmon_domain::error::{ErrorCode, Side};
use zmon_domain::role::{Actor, Role};
use zmon_provisioning::{IProvisioningService, ProvisioningPayload};

use crate::common::{Bench, pki};

#[tokio::test(start_paused = true)]
async fn an_opened_configuration_shows_its_members_and_who_signed_it() {
    let bench = Bench::new();
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    let identified = bench.claim(&service).await.unwrap();
    let document = bench.station.document(&identified);
    let (ours, theirs) = {
        let mut rng = bench.rng.lock();
        (pki::soft(&mut *rng), pki::soft(&mut *rng))
    };
    let signed = {
        let payload = document.to_json().unwrap();
        jws::sign(Typ::Config, None, &payload, &ours, &mut *bench.rng.lock()).unwrap()
    };
    let payload = ProvisioningPayload::from_jws(signed.clone().into_bytes()).unwrap();
    let fields = payload.fields().unwrap();
    assert_eq!(fields.device_id, "ZM-001");
    assert_eq!(fields.server_url, "https://station.example:8443");
    assert_eq!(fields.sync_interval.as_secs(), 10);
    assert_eq!(fields.device_label, "ICU-MON-04");
    assert_eq!(fields.measurement_unit.as_str(), "METRIC");
    assert_eq!(fields.language.as_str(), "ES");
    assert_eq!(fields.signature, signed.rsplit('.').next().unwrap());
    assert!(payload.is_valid());
    assert!(!payload.is_expired(bench.now() + Duration::from_secs(3600)));
    assert!(payload.is_expired(bench.now() + Duration::from_secs(3601)));

    let algorithms = Algorithms::rustcrypto();
    assert!(payload.verify_signature(ours.public(), &algorithms));
    assert!(!payload.verify_signature(theirs.public(), &algorithms));
    let mut tampered = signed.into_bytes();
    let last = tampered.len() - 10;
    tampered[last] = if tampered[last] == b'A' { b'B' } else { b'A' };
    let tampered = ProvisioningPayload::from_jws(tampered).unwrap();
    assert!(!tampered.verify_signature(ours.public(), &algorithms));

    // Opened, it proves nothing about this pairing: the device does not apply it.
    let code = document.pairing_code.unwrap();
    let result = service.apply_configuration(&payload, code.expose()).await;
    assert_eq!(result.error.unwrap().code(), ErrorCode::EnvelopeMalformed);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_before_the_machine_has_its_row() {
    let bench = Bench::new();
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    let code = service.generate_qr_code().await.unwrap().pairing_code().display();
    let whole = ProvisioningPayload::mock(&crate::common::device_id(), &code, bench.now());
    let spoilt = |spoil: fn(&mut zmon_provisioning::PayloadFields)| {
        let mut fields = whole.fields().unwrap().clone();
        spoil(&mut fields);
        ProvisioningPayload::from_fields(fields)
    };
    let foreign = spoilt(|fields| fields.device_id = "ZM-002".into());
    let late = spoilt(|fields| fields.timestamp = zmon_domain::time::UnixTime::EPOCH);
    let nowhere = spoilt(|fields| fields.server_url.clear());
    let cases = [
        (&whole, "000-000-00R", ErrorCode::InvalidPairingCode),
        (&whole, "000-000-000", ErrorCode::PairingCodeTypo),
        (&foreign, &code, ErrorCode::DeviceMismatch),
        (&late, &code, ErrorCode::ConfigurationExpired),
        (&nowhere, &code, ErrorCode::ConfigurationMalformed),
        (&whole, &code, ErrorCode::EnvelopeMalformed),
    ];
    for (index, (payload, typed, code)) in cases.into_iter().enumerate() {
        let error = service.apply_configuration(payload, typed).await.error.unwrap();
        assert_eq!(error.code(), code);
        let field = error.detail.map(|detail| detail.field().to_owned());
        let rows = bench.store.rows_of(EventType::ConfigurationRefused);
        assert_eq!((rows.len(), rows[index].error), (index + 1, Some(code)));
        assert_eq!(rows[index].actor, Actor::Local);
        let named = rows[index].detail.iter().find(|(key, _)| *key == "field");
        assert_eq!(named.map(|(_, value)| value.clone()), field);
    }
    assert_eq!(
        ErrorCode::InvalidPairingCode.side(),
        Side::Operator,
        "a wrong code is no station's"
    );
    // No row, no answer but that.
    bench.store.fail_next(1);
    let error = service.apply_configuration(&whole, &code).await.error.unwrap();
    assert_eq!(error.code(), ErrorCode::AuditUnavailable);
}

#[test]
fn what_is_no_configuration_is_refused() {
    for (bytes, code) in [
        (&b"nonsense"[..], ErrorCode::JwsMalformed),
        (b"", ErrorCode::JwsMalformed),
        (b"e30.e30.AAAA", ErrorCode::JwsMalformed),
    ] {
        let refused = ProvisioningPayload::from_jws(bytes.to_vec()).unwrap_err();
        assert_eq!(refused.code(), code);
    }
}

#[test]
fn the_members_nothing_works_without_make_it_valid() {
    let now = zmon_domain::time::UnixTime::EPOCH;
    let whole = ProvisioningPayload::mock(&crate::common::device_id(), "ABC-123-XYZ", now);
    assert!(whole.is_valid());
    let spoil: [fn(&mut zmon_provisioning::PayloadFields); 4] = [
        |fields| fields.device_id.clear(),
        |fields| fields.server_url.clear(),
        |fields| fields.client_certificate.clear(),
        |fields| fields.signature.clear(),
    ];
    for spoil in spoil {
        let mut fields = whole.fields().unwrap().clone();
        spoil(&mut fields);
        assert!(!ProvisioningPayload::from_fields(fields).is_valid());
    }
    let sealed = ProvisioningPayload::from_envelope(vec![1]);
    assert!(sealed.is_valid() && !sealed.is_expired(now) && sealed.fields().is_none());
    let key = pki::soft(&mut rand_chacha::ChaCha20Rng::from_seed([3; 32]));
    assert!(!whole.verify_signature(key.public(), &Algorithms::rustcrypto()));
    assert!(!format!("{whole:?} {sealed:?}").contains("ABC-123-XYZ"));
}
