//! Enrolment by EST (RFC 7030): who gets a certificate without a configuration, and when it counts.

#[cfg(test)]
mod common;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use common::{FakeDevice, World, administrator, technician};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use zmon_crypto::x509::{csr, spki_of, trust_level_of};
use zmon_crypto::{IdentityKey, SoftIdentity, Suite};
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, Serial, Thumbprint};
use zmon_domain::role::Actor;
use zmon_domain::state::ProvisioningState;
use zmon_station::ports::{
    CertificateRow, CertificateState, DeviceRow, DeviceStatus, Enrolment, RevocationReason,
    SessionPhase, StationStore,
};
use zmon_station::{EnrolmentPolicy, PairOutcome};
use zmon_wire::heartbeat::Heartbeat;
use zmon_wire::kind::{Method, TrustLevel};
use zmon_wire::retire::{RetireReason, RetireStatement};

#[cfg(test)]
const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 50, 1));

#[cfg(test)]
async fn world(policy: EnrolmentPolicy) -> World {
    World::with(|station| station.enrolment = policy).await
}

/// A paired device and the serial number of its certificate.
#[cfg(test)]
async fn paired(world: &World) -> (Arc<FakeDevice>, Serial) {
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let outcome = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    assert!(matches!(outcome, PairOutcome::Paired(_)));
    (device, world.store.certificates().pop().unwrap().serial)
}

#[cfg(test)]
fn key(seed: u64) -> SoftIdentity {
    SoftIdentity::generate(Suite::P256, &mut ChaCha20Rng::seed_from_u64(seed)).unwrap()
}

/// A request for this key that asks to be another device's.
#[cfg(test)]
fn request(key: &SoftIdentity) -> Vec<u8> {
    let other = DeviceId::parse("ZM-666").unwrap();
    csr::create(key, &other, &mut ChaCha20Rng::seed_from_u64(9)).unwrap()
}

#[cfg(test)]
fn row(world: &World, der: &[u8]) -> CertificateRow {
    world.store.certificates().into_iter().find(|row| row.der == der).unwrap()
}

#[cfg(test)]
fn state(world: &World, serial: &Serial) -> CertificateState {
    world.store.certificates().iter().find(|row| row.serial == *serial).unwrap().state
}

#[cfg(test)]
async fn beat(world: &World, serial: &Serial) -> Result<(), ErrorCode> {
    let heartbeat = Heartbeat {
        sequence: 1,
        uptime_seconds: 1,
        bytes_sent: 1,
        errors: 0,
        state: ProvisioningState::Provisioned,
        audit_checkpoint: None,
    };
    world.station.heartbeat(serial, &heartbeat).await.map(drop).map_err(|error| error.code())
}

#[cfg(test)]
async fn reenrol(world: &World, serial: &Serial, key: &SoftIdentity) -> Result<Vec<u8>, ErrorCode> {
    world.station.reenrol(HERE, serial, &request(key)).await.map_err(|error| error.code())
}

/// With what somebody shows as name and password.
#[cfg(test)]
async fn enrol(
    world: &World,
    (name, word): (&str, &str),
    key: &SoftIdentity,
) -> Result<Vec<u8>, ErrorCode> {
    let right = world.station.admit_credential(HERE, name, word).await;
    let right = right.map_err(|error| error.code())?;
    world.station.enrol(HERE, right, &request(key)).await.map_err(|error| error.code())
}

#[cfg(test)]
async fn permit(world: &World, device: &FakeDevice) -> String {
    let answer = world.station.permit_enrolment(&administrator(), &device.id).await.unwrap();
    assert_eq!(answer.device_id, device.id);
    answer.credential.expose().to_owned()
}

#[tokio::test(start_paused = true)]
async fn what_a_device_reenrols_with_counts_from_its_first_ordinary_use() {
    let world = world(EnrolmentPolicy::Reenroll).await;
    let (device, old) = paired(&world).await;
    let key = key(1);
    let der = reenrol(&world, &old, &key).await.unwrap();
    let new = row(&world, &der);
    assert_eq!(new.state, CertificateState::Pending);
    assert_eq!(spki_of(&der).unwrap(), key.public().spki_der());
    assert_eq!(trust_level_of(&der).unwrap(), Some(TrustLevel::Anchored));
    assert_eq!(new.config_version, 1, "a certificate alone is no new configuration");
    let parsed = Certificate::from_der(&der).unwrap();
    let (_, names): (bool, SubjectAltName) =
        parsed.tbs_certificate().get_extension().unwrap().unwrap();
    let names = format!("{names:?}");
    assert!(names.contains(&format!("urn:zp:device:{}", device.id)), "{names}");
    assert!(!names.contains("ZM-666"), "names come from the record: {names}");

    // A test changes nothing: whoever tests may still go back.
    world.station.test(&new.serial).await.unwrap();
    beat(&world, &old).await.unwrap();
    assert_eq!(state(&world, &new.serial), CertificateState::Pending);
    beat(&world, &new.serial).await.unwrap();
    assert_eq!(state(&world, &new.serial), CertificateState::Current);
    assert_eq!(state(&world, &old), CertificateState::Revoked);
    assert_eq!(beat(&world, &old).await, Err(ErrorCode::CertificateRevoked));
    beat(&world, &new.serial).await.unwrap();
    let session = world.store.session(&new.session).await.unwrap().unwrap();
    assert!(!session.reserved && session.phase == SessionPhase::Paired);
    assert_eq!(session.enrolment, Some(Enrolment::Certificate));
    let events = world.store.audit_events();
    let of = |event| {
        let mut rows = events.iter().filter(|row| row.session == Some(new.session));
        rows.find(|row| row.event == event).unwrap()
    };
    assert_eq!(of(EventType::SessionOpened).actor, Actor::Peer);
    for event in [EventType::SessionOpened, EventType::CertificateIssued] {
        assert!(of(event).detail.contains(&("method", "est".to_owned())));
    }
    assert!(of(EventType::CommitConfirmed).success);
    // And again, from the new one.
    assert!(reenrol(&world, &new.serial, &self::key(2)).await.is_ok());
    assert_eq!(reenrol(&world, &old, &self::key(3)).await, Err(ErrorCode::CertificateRevoked));
}

#[tokio::test(start_paused = true)]
async fn a_retry_gets_the_same_certificate_and_another_key_takes_its_place() {
    let world = world(EnrolmentPolicy::Reenroll).await;
    let (_device, old) = paired(&world).await;
    let first = reenrol(&world, &old, &key(1)).await.unwrap();
    assert_eq!(reenrol(&world, &old, &key(1)).await.unwrap(), first);
    assert_eq!(world.store.certificates().len(), 2, "nothing was minted twice");
    let second = reenrol(&world, &old, &key(2)).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(row(&world, &first).revoked.unwrap().1, RevocationReason::Aborted);
    assert_eq!(row(&world, &second).state, CertificateState::Pending);
    let serial = row(&world, &first).serial;
    assert_eq!(beat(&world, &serial).await, Err(ErrorCode::CertificateRevoked));
    // Not in time: the old one stays the one there is.
    let late = world.station.policy().session.pending_lifetime + Duration::from_secs(1);
    tokio::time::advance(late).await;
    world.station.round().await.unwrap();
    assert_eq!(row(&world, &second).state, CertificateState::Revoked);
    assert_eq!(state(&world, &old), CertificateState::Current);
    assert!(world.store.sessions().iter().all(|row| !row.reserved && row.phase.is_final()));
    let third = reenrol(&world, &old, &key(2)).await.unwrap();
    assert_ne!(second, third, "the same key, after its time, is asked anew");
}

#[tokio::test(start_paused = true)]
async fn many_at_once_make_one_certificate() {
    let world = world(EnrolmentPolicy::Reenroll).await;
    let (_device, old) = paired(&world).await;
    let key = key(1);
    let asked = (0..16).map(|_| reenrol(&world, &old, &key));
    let answers: Vec<_> = futures_of(asked).await;
    let first = answers[0].as_ref().unwrap();
    assert!(answers.iter().all(|answer| answer.as_ref() == Ok(first)));
    assert_eq!(world.store.certificates().len(), 2);
}

#[cfg(test)]
async fn futures_of<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut pinned: Vec<_> = all.map(Box::pin).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|cx| {
        pinned.retain_mut(|future| match future.as_mut().poll(cx) {
            std::task::Poll::Ready(answer) => {
                done.push(answer);
                false
            }
            std::task::Poll::Pending => true,
        });
        if pinned.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}

#[tokio::test(start_paused = true)]
async fn what_its_device_gave_up_or_an_administrator_revoked_is_replaced_by_nothing() {
    let world = world(EnrolmentPolicy::Reenroll).await;
    let (device, old) = paired(&world).await;
    let pending = reenrol(&world, &old, &key(1)).await.unwrap();
    let statement = RetireStatement {
        v: zmon_wire::kind::V1::default(),
        device_id: device.id.clone(),
        serials: vec![old],
        reason: RetireReason::Deprovisioned,
        counter: 1,
    };
    let statement = zmon_wire::strict::to_vec(&statement).unwrap();
    let statement = device.sign(zmon_crypto::jws::Typ::Retire, &statement);
    world.station.retire(HERE, statement.as_bytes()).await.unwrap();
    let serial = row(&world, &pending).serial;
    assert_eq!(state(&world, &serial), CertificateState::Pending);
    assert_eq!(beat(&world, &serial).await, Err(ErrorCode::CertificateRevoked));
    assert_eq!(state(&world, &serial), CertificateState::Revoked);
    assert!(world.store.sessions().iter().all(|row| !row.reserved && row.phase.is_final()));
}

#[tokio::test(start_paused = true)]
async fn revoking_the_current_one_revokes_what_was_fetched_with_it_and_ends_its_session() {
    let world = world(EnrolmentPolicy::Reenroll).await;
    let (_device, old) = paired(&world).await;
    let pending = reenrol(&world, &old, &key(1)).await.unwrap();
    let reason = RevocationReason::KeyCompromise;
    world.station.revoke(&administrator(), &old, reason).await.unwrap();
    assert_eq!(row(&world, &pending).state, CertificateState::Revoked);
    world.station.round().await.unwrap();
    assert!(world.store.sessions().iter().all(|row| !row.reserved && row.phase.is_final()));
    assert_eq!(reenrol(&world, &old, &key(2)).await, Err(ErrorCode::CertificateRevoked));
}

#[tokio::test(start_paused = true)]
async fn a_pairing_goes_before_an_enrolment_and_ends_it() {
    let world = world(EnrolmentPolicy::Reenroll).await;
    let (device, old) = paired(&world).await;
    let pending = reenrol(&world, &old, &key(1)).await.unwrap();
    device.open_window();
    let scanned = world.station.scan(&technician(), device.scan_request()).await;
    assert!(scanned.is_ok(), "a person at the device goes before");
    assert_eq!(row(&world, &pending).revoked.unwrap().1, RevocationReason::Aborted);
    let refused = world.station.reenrol(HERE, &old, &request(&key(2))).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::SessionReserved);
    assert!(refused.retry_after.is_some(), "and the device is told when to come back");
}

#[tokio::test(start_paused = true)]
async fn a_credential_lets_its_device_enrol_once() {
    let world = world(EnrolmentPolicy::Enroll).await;
    let (device, old) = paired(&world).await;
    let refused = world.station.permit_enrolment(&technician(), &device.id).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NotPermitted);
    let before = permit(&world, &device).await;
    let name = device.id.as_str();
    let reason = RevocationReason::Administrator;
    world.station.revoke(&administrator(), &old, reason).await.unwrap();
    let failed = Err(ErrorCode::AuthenticationFailed);
    assert_eq!(enrol(&world, (name, &before), &key(1)).await, failed, "it ended with the other");
    let stale = permit(&world, &device).await;
    let word = permit(&world, &device).await;
    for wrong in [("ZM-666", word.as_str()), (name, ""), (name, "x"), (name, &stale), ("", "")] {
        assert_eq!(enrol(&world, wrong, &key(1)).await, failed, "{wrong:?}");
    }
    let der = enrol(&world, (name, &word), &key(1)).await.unwrap();
    assert_eq!(enrol(&world, (name, &word), &key(1)).await.unwrap(), der, "a lost answer");
    assert_eq!(enrol(&world, (name, &word), &key(2)).await, failed, "it is spent");
    assert_eq!(world.store.certificates().len(), 2);
    let new = row(&world, &der);
    assert_eq!(new.state, CertificateState::Pending);
    beat(&world, &new.serial).await.unwrap();
    assert_eq!(state(&world, &new.serial), CertificateState::Current);
    assert_eq!(enrol(&world, (name, &word), &key(1)).await.unwrap(), der, "public, and its own");
    world.station.revoke(&administrator(), &new.serial, reason).await.unwrap();
    assert_eq!(enrol(&world, (name, &word), &key(1)).await, failed, "spent is spent");
    let given = world.store.audit_events();
    let given: Vec<_> =
        given.iter().filter(|row| row.event == EventType::EnrolmentPermitted).collect();
    assert_eq!(given.len(), 3);
    let rows = format!("{:?}", world.store.audit_events());
    assert!(!rows.contains(&word) && !rows.contains(&stale), "no secret in the log");
}

#[tokio::test(start_paused = true)]
async fn a_credential_dies_of_age() {
    let world = world(EnrolmentPolicy::Enroll).await;
    let (device, _old) = paired(&world).await;
    let word = permit(&world, &device).await;
    tokio::time::advance(zmon_domain::limits::ENROLMENT_CREDENTIAL.default * 2).await;
    let late = enrol(&world, (device.id.as_str(), &word), &key(1)).await;
    assert_eq!(late, Err(ErrorCode::AuthenticationFailed));
}

#[tokio::test(start_paused = true)]
async fn enrolment_is_no_way_around_pairing() {
    let world = world(EnrolmentPolicy::Enroll).await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let permit = async |id: &DeviceId| {
        let answer = world.station.permit_enrolment(&administrator(), id).await;
        answer.map(drop).map_err(|error| error.code())
    };
    assert_eq!(permit(&device.id).await, Err(ErrorCode::EnrolmentUnavailable), "never paired");
    let nobody = DeviceId::parse("ZM-999").unwrap();
    assert_eq!(permit(&nobody).await, Err(ErrorCode::DeviceUnknown));
    world.station.pair(&technician(), device.pair_request()).await.unwrap();
    let word = self::permit(&world, &device).await;
    let old = world.store.certificates().pop().unwrap().serial;
    let pending = reenrol(&world, &old, &key(7)).await.unwrap();

    // Another key by an administrator's word: what the old one could do it can no more, not even for who was
    // let in before.
    let admit = async || world.station.admit_credential(HERE, device.id.as_str(), &word).await;
    let (first, second) = (admit().await.unwrap(), admit().await.unwrap());
    let mut manifest = device.manifest_row();
    manifest.identity_key = device.impostor(9).manifest_row().identity_key;
    let lines = zmon_wire::manifest::to_lines(&[manifest]).unwrap();
    world.station.rekey(&administrator(), &device.id, &lines).await.unwrap();
    assert_eq!(row(&world, &pending).state, CertificateState::Revoked);
    assert_eq!(permit(&device.id).await, Err(ErrorCode::EnrolmentUnavailable));
    let late = enrol(&world, (device.id.as_str(), &word), &key(1)).await;
    assert_eq!(late, Err(ErrorCode::AuthenticationFailed), "it ended with the key");
    let refused = world.station.enrol(HERE, first, &request(&key(1))).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::EnrolmentUnavailable);
    world.station.decommission(&administrator(), &device.id).await.unwrap();
    assert_eq!(permit(&device.id).await, Err(ErrorCode::DeviceDecommissioned));
    let late = enrol(&world, (device.id.as_str(), &word), &key(1)).await;
    assert_eq!(late, Err(ErrorCode::AuthenticationFailed));
    let refused = world.station.enrol(HERE, second, &request(&key(1))).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::DeviceDecommissioned);
    assert_eq!(world.store.count(EventType::RenewalFailed), 2, "each refusal has its row");
}

/// What an administrator does while a certificate is being issued cannot name it; its first use looks again.
#[tokio::test(start_paused = true)]
async fn what_was_issued_beside_a_rekey_or_a_decommission_never_counts() {
    let rekeyed = |row: &mut DeviceRow| row.identity = Thumbprint::from_bytes([9; 32]);
    let retired = |row: &mut DeviceRow| row.status = DeviceStatus::Decommissioned;
    for change in [rekeyed as fn(&mut DeviceRow), retired] {
        let world = world(EnrolmentPolicy::Enroll).await;
        let (device, old) = paired(&world).await;
        let reason = RevocationReason::Administrator;
        world.station.revoke(&administrator(), &old, reason).await.unwrap();
        let word = permit(&world, &device).await;
        let der = enrol(&world, (device.id.as_str(), &word), &key(1)).await.unwrap();
        let serial = row(&world, &der).serial;
        let known = world.store.device(&device.id).await.unwrap().unwrap();
        let mut other = known.clone();
        change(&mut other);
        world.store.put_device(other).await;
        assert_eq!(beat(&world, &serial).await, Err(ErrorCode::CertificateRevoked));
        assert_eq!(row(&world, &der).revoked.unwrap().1, RevocationReason::Aborted);
        assert!(world.store.sessions().iter().all(|row| !row.reserved && row.phase.is_final()));
        assert_eq!(world.store.count(EventType::CommitConfirmed), 1, "the pairing's alone");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_policy_nobody_enrols() {
    let world = world(EnrolmentPolicy::Off).await;
    let (device, old) = paired(&world).await;
    let off = Err(ErrorCode::EnrolmentUnavailable);
    assert_eq!(reenrol(&world, &old, &key(1)).await, off);
    let refused = world.station.permit_enrolment(&administrator(), &device.id).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::EnrolmentUnavailable);
    let world = world.restart_with(|policy| policy.enrolment = EnrolmentPolicy::Reenroll).await;
    let refused = world.station.permit_enrolment(&administrator(), &device.id).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::EnrolmentUnavailable);
    assert!(reenrol(&world, &old, &key(1)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_its_key_did_not_sign_gets_nothing() {
    let world = world(EnrolmentPolicy::Reenroll).await;
    let (_device, old) = paired(&world).await;
    let mut forged = request(&key(1));
    *forged.last_mut().unwrap() ^= 1;
    for bad in [forged, Vec::new(), vec![0x30; 5000]] {
        let refused = world.station.reenrol(HERE, &old, &bad).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::CsrInvalid);
    }
    assert_eq!(world.store.certificates().len(), 1);
    assert_eq!(world.store.count(EventType::RenewalFailed), 3);
}

#[tokio::test(start_paused = true)]
async fn without_its_row_nothing_is_issued_and_a_restart_keeps_what_was() {
    let world = world(EnrolmentPolicy::Reenroll).await;
    let (_device, old) = paired(&world).await;
    world.store.fail_on(Some(EventType::CertificateIssued));
    assert_eq!(reenrol(&world, &old, &key(1)).await, Err(ErrorCode::AuditUnavailable));
    assert_eq!(world.store.certificates().len(), 1);
    world.store.fail_on(None);
    let der = reenrol(&world, &old, &key(1)).await.unwrap();
    let serial = row(&world, &der).serial;
    world.store.fail_on(Some(EventType::CommitConfirmed));
    assert_eq!(beat(&world, &serial).await, Err(ErrorCode::AuditUnavailable));
    assert_eq!(state(&world, &old), CertificateState::Current);
    world.store.fail_on(None);
    let world = world.restart_with(|policy| policy.enrolment = EnrolmentPolicy::Reenroll).await;
    assert_eq!(reenrol(&world, &old, &key(1)).await.unwrap(), der);
    beat(&world, &serial).await.unwrap();
    assert_eq!(state(&world, &serial), CertificateState::Current);
    assert_eq!(state(&world, &old), CertificateState::Revoked);
}

/// The device's own renewal and its enrolment end each other: it has one certificate under way.
#[tokio::test(start_paused = true)]
async fn a_renewal_takes_the_place_of_an_enrolment() {
    let world = world(EnrolmentPolicy::Reenroll).await;
    let (device, old) = paired(&world).await;
    let der = reenrol(&world, &old, &key(1)).await.unwrap();
    let pull = device.signed_pull(Method::Renewal, &old, None, &device.identity);
    world.station.renew(HERE, &old, pull.as_bytes()).await.unwrap();
    assert_eq!(row(&world, &der).state, CertificateState::Revoked);
    let again = reenrol(&world, &old, &key(2)).await.unwrap();
    assert_eq!(row(&world, &again).state, CertificateState::Pending);
    let open = |row: &zmon_station::ports::SessionRow| row.reserved;
    assert_eq!(world.store.sessions().into_iter().filter(open).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_asks_and_asks_is_told_to_wait() {
    let world = world(EnrolmentPolicy::Reenroll).await;
    let (_device, old) = paired(&world).await;
    let most = u64::from(zmon_domain::limits::ENROLMENTS_HOURLY.default);
    for seed in 0..most {
        reenrol(&world, &old, &key(seed)).await.unwrap();
    }
    let rows = world.store.certificates().len();
    let refused = world.station.reenrol(HERE, &old, &request(&key(most))).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::TooManyRequests);
    let wait = refused.retry_after.unwrap();
    assert_eq!(world.store.count(EventType::RenewalFailed), 1, "and it is told");
    assert!(reenrol(&world, &old, &key(most - 1)).await.is_ok(), "what it has it gets again");
    assert_eq!(world.store.certificates().len(), rows);
    tokio::time::advance(wait).await;
    assert!(reenrol(&world, &old, &key(most)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_was_not_issued_counts_against_nobody() {
    let world = world(EnrolmentPolicy::Reenroll).await;
    let (_device, old) = paired(&world).await;
    let most = u64::from(zmon_domain::limits::ENROLMENTS_HOURLY.default);
    reenrol(&world, &old, &key(0)).await.unwrap();
    world.store.fail_on(Some(EventType::CertificateIssued));
    for seed in 1..=most {
        let refused = reenrol(&world, &old, &key(seed)).await;
        assert_eq!(refused, Err(ErrorCode::AuditUnavailable));
    }
    world.store.fail_on(None);
    for seed in 1..most {
        reenrol(&world, &old, &key(seed)).await.unwrap();
    }
    assert_eq!(reenrol(&world, &old, &key(most)).await, Err(ErrorCode::TooManyRequests));
}

/// Several processes of one station on one record: whichever is asked, there is one certificate under way.
#[tokio::test(start_paused = true)]
async fn whichever_process_is_asked_the_device_has_one_certificate_under_way() {
    let north = world(EnrolmentPolicy::Reenroll).await;
    let (_device, old) = paired(&north).await;
    let south = north
        .beside_with("south", |parts| parts.policy.enrolment = EnrolmentPolicy::Reenroll)
        .await;
    let first = reenrol(&north, &old, &key(1)).await.unwrap();
    assert_eq!(reenrol(&south, &old, &key(1)).await.unwrap(), first);
    let mut answers = Vec::new();
    for seed in 2..6 {
        let (n, s) = (key(seed), key(seed + 10));
        let both = [(&north, &n), (&south, &s)];
        answers.extend(futures_of(both.map(|(at, key)| reenrol(at, &old, key)).into_iter()).await);
    }
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let rows = south.store.certificates();
    let pending = |row: &&CertificateRow| row.state == CertificateState::Pending;
    let [last] = rows.iter().filter(pending).collect::<Vec<_>>()[..] else { panic!("{rows:?}") };
    assert_eq!(rows.iter().filter(|row| row.state == CertificateState::Current).count(), 1);
    // What one has fetched the other sees in use.
    let (at_north, at_south) = tokio::join!(beat(&north, &last.serial), beat(&south, &last.serial));
    assert_eq!((at_north, at_south), (Ok(()), Ok(())));
    assert_eq!(state(&north, &last.serial), CertificateState::Current);
    beat(&south, &last.serial).await.unwrap();
    assert_eq!(state(&south, &old), CertificateState::Revoked);
    assert_eq!(north.store.count(EventType::CommitConfirmed), 2, "the pairing's, and one of these");
}
