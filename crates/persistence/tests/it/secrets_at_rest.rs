//! T35, T36: what is secret is nowhere on disk in clear, before a wipe and after it.

use std::sync::Arc;

use crate::common::{Device, Home, PRIVATE_KEY, SERVER_URL, now, record, rng, slot};
use zmon_domain::audit::EventType;
use zmon_domain::ids::OperatorId;
use zmon_persistence::{FileAuthenticator, HashCost};
use zmon_protocol::device::DeviceWrite;
use zmon_provisioning::ports::{Authenticator, DeviceStore, Pin};

const PIN: &str = "8675309421";

async fn hits(home: &Home) -> Vec<(&'static str, usize)> {
    let needles: [(&str, &[u8]); 5] = [
        ("private key", PRIVATE_KEY),
        ("half a private key", &PRIVATE_KEY[..24]),
        ("server URL", SERVER_URL.as_bytes()),
        ("pairing code", b"ABC-123-XYZ"),
        ("PIN", PIN.as_bytes()),
    ];
    needles.map(|(name, needle)| (name, home.count_files_with(needle))).to_vec()
}

async fn commit(device: &Device, writes: Vec<DeviceWrite>) {
    device.store.commit(&now(), &record(&[EventType::Started], writes)).await.unwrap();
}

#[tokio::test]
async fn nothing_secret_is_readable_at_any_stage() {
    let home = Home::new();
    let device = Device::create(&home).await;
    commit(&device, vec![DeviceWrite::StageB(slot(1))]).await;
    assert_clear(&home, "staged").await;
    commit(&device, vec![DeviceWrite::Flip]).await;
    assert_clear(&home, "active").await;
    commit(&device, vec![DeviceWrite::StageB(slot(2)), DeviceWrite::Flip]).await;
    assert_clear(&home, "rotated").await;
    commit(&device, vec![DeviceWrite::Deprovision]).await;
    assert_clear(&home, "wiped").await;
    drop(device);
    assert_clear(&home, "closed").await;
}

#[tokio::test]
async fn a_pin_is_nowhere_not_even_typed_into_the_name_field() {
    let home = Home::new();
    let device = Device::create(&home).await;
    let dir = Arc::clone(&device.dir);
    let keys = device.keys.as_ref();
    let authenticator = FileAuthenticator::open_with(dir, keys, rng(4), HashCost::LEAST).unwrap();
    let tess = OperatorId::parse("tess").unwrap();
    authenticator.create_administrator(tess.clone(), Pin::parse(PIN).unwrap()).await.unwrap();
    assert!(authenticator.authenticate(&tess, Pin::parse(PIN).unwrap(), &now()).await.is_ok());
    let slip = OperatorId::parse(PIN).unwrap();
    assert!(authenticator.authenticate(&slip, Pin::parse(PIN).unwrap(), &now()).await.is_err());
    assert_clear(&home, "after a slip").await;
    assert_eq!(home.count_files_with(b"tess"), 1, "positive control");
}

async fn assert_clear(home: &Home, stage: &str) {
    for (name, count) in hits(home).await {
        assert_eq!(count, 0, "{stage}: the {name} is readable");
    }
    // Positive control: the search finds what is there.
    let marker = home.file("control");
    std::fs::write(&marker, [b"..", PRIVATE_KEY, b".."].concat()).unwrap();
    assert_eq!(home.count_files_with(PRIVATE_KEY), 1);
    std::fs::remove_file(marker).unwrap();
}

#[tokio::test]
async fn a_destroyed_secret_does_not_open_a_copy_of_the_database() {
    let home = Home::new();
    let device = Device::create(&home).await;
    commit(&device, vec![DeviceWrite::StageB(slot(1)), DeviceWrite::Flip]).await;
    let backup = home.copy();
    commit(&device, vec![DeviceWrite::Deprovision]).await;
    drop(device);
    // An old backup of the database with the keys as they are now.
    for name in ["device.db", "device.db-wal", "device.db-shm"] {
        if home.file(name).exists() {
            std::fs::remove_file(home.file(name)).unwrap();
        }
        if backup.file(name).exists() {
            std::fs::copy(backup.file(name), home.file(name)).unwrap();
        }
    }
    let restored = Device::open(&home).await;
    assert!(restored.store.load().await.is_err(), "the wiped configuration came back");
}

#[tokio::test]
async fn after_a_wipe_not_even_the_sealed_bytes_are_left() {
    let home = Home::new();
    let device = Device::create(&home).await;
    commit(&device, vec![DeviceWrite::StageB(slot(1)), DeviceWrite::Flip]).await;
    let sealed: Vec<u8> = sqlx::query_scalar("SELECT sealed FROM slots")
        .fetch_one(&mut home.sql("device.db").await)
        .await
        .unwrap();
    let secret = std::fs::read(home.file("slots/1.key")).unwrap();
    let parts = [&sealed[..32], &sealed[sealed.len() - 32..], &secret[..32]];
    for part in parts {
        assert!(home.count_files_with(part) > 0, "positive control");
    }
    commit(&device, vec![DeviceWrite::Deprovision]).await;
    for part in parts {
        assert_eq!(home.count_files_with(part), 0);
    }
}

#[tokio::test]
async fn sealed_slots_differ_although_their_content_is_the_same() {
    let home = Home::new();
    let device = Device::create(&home).await;
    let mut sealed = Vec::new();
    for generation in [1, 2] {
        let mut slot = slot(1);
        slot.generation = generation;
        commit(&device, vec![DeviceWrite::StageB(slot)]).await;
        let mut sql = home.sql("device.db").await;
        let bytes: Vec<u8> =
            sqlx::query_scalar("SELECT sealed FROM slots").fetch_one(&mut sql).await.unwrap();
        sealed.push(bytes);
    }
    assert_ne!(sealed[0][..12], sealed[1][..12], "nonces repeat");
    assert_eq!(sealed[0].len(), sealed[1].len());
    let same = sealed[0].iter().zip(&sealed[1]).filter(|(a, b)| a == b).count();
    assert!(same < sealed[0].len() / 16, "{same} bytes of {} agree", sealed[0].len());
}
