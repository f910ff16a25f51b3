//! A new identity after a factory reset, and a power cut at every step of making it (D21).

use zmon_domain::audit::EventType;
use zmon_domain::ids::Thumbprint;
use zmon_persistence::{FileKeyStore, make_new_identity};
use zmon_protocol::device::{DeviceWrite, Retirement};
use zmon_provisioning::ports::{DeviceStore, KeyStore};

use crate::common::{Device, Home, SERVER_URL, device_id, now, record, rng, slot};

const FILES: [&str; 2] = ["root.key", "identity.key"];
const STAGED: [&str; 2] = ["root.key.new", "identity.key.new"];

fn statement() -> Retirement {
    Retirement {
        counter: 1,
        statement: "signed.by-the-old.key".to_owned(),
        server_url: SERVER_URL.parse().unwrap(),
        ca: vec![vec![0x30; 40]],
        server_pin: Some(Thumbprint::from_bytes([7; 32])),
    }
}

async fn commit(device: &Device, writes: Vec<DeviceWrite>) {
    device.store.commit(&now(), &record(&[EventType::Started], writes)).await.unwrap();
}

/// A device that was reset with a new identity; the erasure is over, or not.
async fn reset(erased: bool) -> Home {
    let home = Home::new();
    let device = Device::create(&home).await;
    commit(&device, vec![DeviceWrite::StageB(slot(1)), DeviceWrite::Flip]).await;
    device.store.write_checkpoint(&now()).await.unwrap();
    let reset = [
        DeviceWrite::QueueRetire(statement()),
        DeviceWrite::FactoryReset,
        DeviceWrite::NewIdentity,
    ];
    commit(&device, reset.into()).await;
    if erased {
        commit(&device, vec![DeviceWrite::EraseDone]).await;
    }
    drop(device);
    home
}

async fn make(home: &Home) -> bool {
    make_new_identity(&home.dir(), &device_id(), &rng(9), &now()).await.unwrap()
}

fn identity(home: &Home) -> Thumbprint {
    FileKeyStore::open(home.dir()).unwrap().identity().public().thumbprint()
}

/// The device as its next start finds it: whole, under this identity, nothing half done.
async fn is_whole(home: &Home, expected: Thumbprint) {
    assert_eq!(identity(home), expected);
    assert!(STAGED.iter().all(|name| !home.file(name).exists()));
    let device = Device::open(home).await;
    let boot = device.store.load().await.unwrap();
    assert!(!boot.new_identity && !boot.erasing && boot.slot_a.is_none());
    assert_eq!(boot.retirements, [statement()], "the old key's last words");
    let log = device.store.audit_log().verify().await.unwrap();
    assert_eq!(log.damage(), None, "the old key's checkpoints are vouched for by the new one's");
    assert!(log.checkpoints >= 2);
    drop(device);
    assert!(!make(home).await, "made once");
}

fn copy(from: &Home, name: &str, to: &Home, as_name: &str) {
    std::fs::copy(from.file(name), to.file(as_name)).unwrap();
}

#[tokio::test]
async fn a_new_identity_is_made_when_it_was_asked_for_and_the_erasure_is_over() {
    let home = Home::new();
    assert!(!make(&home).await, "no device yet");
    drop(Device::create(&home).await);
    assert!(!make(&home).await, "nobody asked");
    let pending = reset(false).await;
    let old = identity(&pending);
    assert!(!make(&pending).await, "the erasure comes first");
    assert_eq!(identity(&pending), old);

    let home = reset(true).await;
    let (old, root) = (identity(&home), std::fs::read(home.file("root.key")).unwrap());
    assert!(make(&home).await);
    let new = identity(&home);
    assert_ne!(new, old);
    assert_ne!(std::fs::read(home.file("root.key")).unwrap(), root, "the root secret too");
    is_whole(&home, new).await;
}

#[tokio::test]
async fn a_power_cut_at_any_step_ends_in_the_new_identity() {
    let before = reset(true).await;
    let done = before.copy();
    assert!(make(&done).await);
    let new = identity(&done);

    // Half staged: it is begun again.
    let half = before.copy();
    copy(&done, "root.key", &half, "root.key.new");
    assert!(make(&half).await);
    is_whole(&half, identity(&half)).await;

    // Staged, and the database still under the old root.
    let staged = before.copy();
    for (name, as_name) in FILES.into_iter().zip(STAGED) {
        copy(&done, name, &staged, as_name);
    }
    assert!(make(&staged).await);
    is_whole(&staged, new).await;

    // The database under the new root; none, or one, of the files in place.
    for installed in [0, 1] {
        let cut = done.copy();
        for (place, (name, as_name)) in FILES.into_iter().zip(STAGED).enumerate() {
            copy(&done, name, &cut, as_name);
            if place >= installed {
                copy(&before, name, &cut, name);
            }
        }
        assert!(make(&cut).await);
        is_whole(&cut, new).await;
    }

    // All in place, and a staged file not yet destroyed.
    let late = done.copy();
    copy(&done, "root.key", &late, "root.key.new");
    assert!(!make(&late).await);
    is_whole(&late, new).await;
}

#[tokio::test]
async fn an_unsigned_tail_is_not_vouched_for() {
    let home = reset(true).await;
    assert!(make(&home).await);
    let before: (i64, String) = {
        let mut sql = home.sql(zmon_persistence::DEVICE_DATABASE).await;
        sqlx::query_as("SELECT row_count, jws FROM audit_checkpoints ORDER BY id LIMIT 1")
            .fetch_one(&mut sql)
            .await
            .unwrap()
    };
    let device = Device::open(&home).await;
    let mut sql = home.sql(zmon_persistence::DEVICE_DATABASE).await;
    sqlx::query("INSERT INTO audit_checkpoints (timestamp, row_count, jws) VALUES (0, $1, $2)")
        .bind(before.0)
        .bind(&before.1)
        .execute(&mut sql)
        .await
        .unwrap();
    let found = device.store.audit_log().verify().await.unwrap();
    assert!(found.damage().is_some(), "an old key's checkpoint at the end proves nothing");
}
