//! When the audit log, the key store or the power fails.

use std::sync::{Arc, Mutex};

use crate::common::{Device, Home, device_id, event, now, number, record, rng, run, session, slot};
use rand_core::CryptoRng;
use zmon_crypto::{IdentityKey, Secret32};
use zmon_domain::audit::EventType;
use zmon_domain::ids::WindowId;
use zmon_persistence::{DEVICE_DATABASE, FileKeyStore, SqliteDeviceStore};
use zmon_protocol::device::{BootState, DeviceRecord, DeviceWrite};
use zmon_provisioning::ports::{
    AuditPage, DeviceStore, KeyStore, KeyStoreError, SettingsManager, StoreError,
};
use zmon_wire::kind::KeyProtection;

const WINDOW: WindowId = WindowId::from_bytes([7; 16]);

/// Every kind of write, each as it would come in a flow that starts with A = 1 and B = 2.
fn records() -> Vec<DeviceRecord> {
    let one = |event, writes| record(&[event], writes);
    vec![
        one(EventType::ProvisioningModeEntered, vec![DeviceWrite::OpenWindow(WINDOW)]),
        one(EventType::ConfigurationApplied, vec![DeviceWrite::StageB(slot(3))]),
        one(EventType::CommitSent, vec![DeviceWrite::MarkCommitSent(session(2))]),
        one(EventType::ProvisioningCompleted, vec![DeviceWrite::Flip, DeviceWrite::CloseWindow]),
        one(EventType::CommitAborted, vec![DeviceWrite::DropB]),
        one(EventType::DeviceDeprovisioned, vec![DeviceWrite::Deprovision]),
    ]
}

async fn provisioned(home: &Home) -> Device {
    let device = Device::create(home).await;
    for writes in [
        vec![DeviceWrite::StageB(slot(1)), DeviceWrite::Flip],
        vec![
            DeviceWrite::StageB(slot(2)),
            DeviceWrite::OpenWindow(WINDOW),
            DeviceWrite::SpendTry(WINDOW),
        ],
    ] {
        device.store.commit(&now(), &record(&[EventType::Started], writes)).await.unwrap();
    }
    device
}

fn shape(boot: &BootState) -> (Option<u64>, Option<(u64, bool)>, bool, bool) {
    (
        boot.slot_a.as_ref().map(|slot| slot.generation),
        boot.slot_b.as_ref().map(|(slot, sent)| (slot.generation, *sent)),
        boot.window_open,
        boot.deprovisioned,
    )
}

#[tokio::test]
async fn without_an_audit_row_there_is_no_operation() {
    // ABORT leaves the transaction to us; ROLLBACK ends it behind our back, as a full disk does.
    for kind in ["ABORT", "ROLLBACK", "FAIL"] {
        let home = Home::new();
        let device = provisioned(&home).await;
        let before = shape(&device.store.load().await.unwrap());
        let settings = device.store.current();
        let mut sql = home.sql(DEVICE_DATABASE).await;
        run(
            &mut sql,
            &format!(
                "CREATE TRIGGER refuse BEFORE INSERT ON security_audit_log \
                 BEGIN SELECT RAISE({kind}, 'the log is full'); END"
            ),
        )
        .await;
        let rows = number(&mut sql, "SELECT count(*) FROM security_audit_log").await;
        for record in records() {
            let answer = device.store.commit(&now(), &record).await;
            assert!(matches!(answer, Err(StoreError::Audit(_))), "{kind}: {answer:?}");
            assert_eq!(shape(&device.store.load().await.unwrap()), before, "{kind}");
            assert_eq!(device.keys.slot_generations().unwrap(), [1, 2], "{kind}");
            assert_eq!(device.store.current(), settings);
        }
        assert_eq!(number(&mut sql, "SELECT count(*) FROM security_audit_log").await, rows);
        assert_eq!(number(&mut sql, "SELECT count(*) FROM loose_secrets").await, 0);

        run(&mut sql, "DROP TRIGGER refuse").await;
        device.store.commit(&now(), &records()[1]).await.unwrap();
        let boot = device.store.load().await.unwrap();
        assert_eq!(shape(&boot), (Some(1), Some((3, false)), true, false), "{kind}: resumes");
        assert!(device.store.verify_audit().await.unwrap().is_intact());
    }
}

#[tokio::test]
async fn a_write_that_fails_takes_its_audit_row_with_it() {
    let home = Home::new();
    let device = provisioned(&home).await;
    let mut sql = home.sql(DEVICE_DATABASE).await;
    run(
        &mut sql,
        "CREATE TRIGGER refuse BEFORE INSERT ON slots \
         BEGIN SELECT RAISE(ROLLBACK, 'no room'); END",
    )
    .await;
    let before = device.store.events(AuditPage::default()).await.unwrap();
    for record in [&records()[1], &records()[3]] {
        let answer = device.store.commit(&now(), record).await;
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
        assert_eq!(device.store.events(AuditPage::default()).await.unwrap(), before);
    }
    assert_eq!(
        shape(&device.store.load().await.unwrap()),
        (Some(1), Some((2, false)), true, false)
    );
    assert_eq!(device.keys.slot_generations().unwrap(), [1, 2]);
}

/// A key store that takes a picture of the disk around every call that changes it.
struct Camera {
    inner: FileKeyStore,
    home: Arc<Home>,
    pictures: Mutex<Vec<(String, Home)>>,
}

impl Camera {
    fn shoot(&self, what: &str) {
        self.pictures.lock().unwrap().push((what.to_owned(), self.home.copy()));
    }
}

impl KeyStore for Camera {
    fn identity(&self) -> &dyn IdentityKey {
        self.inner.identity()
    }
    fn derive(&self, label: &[u8]) -> Result<Secret32, KeyStoreError> {
        self.inner.derive(label)
    }
    fn protection(&self) -> KeyProtection {
        self.inner.protection()
    }
    fn create_slot_secret(
        &self,
        generation: u64,
        rng: &mut dyn CryptoRng,
    ) -> Result<Secret32, KeyStoreError> {
        self.shoot("before a secret is made");
        let made = self.inner.create_slot_secret(generation, rng);
        self.shoot("after a secret is made");
        made
    }
    fn slot_secret(&self, generation: u64) -> Result<Option<Secret32>, KeyStoreError> {
        self.inner.slot_secret(generation)
    }
    fn destroy_slot_secret(&self, generation: u64) -> Result<(), KeyStoreError> {
        self.shoot("before a secret is destroyed");
        let destroyed = self.inner.destroy_slot_secret(generation);
        self.shoot("after a secret is destroyed");
        destroyed
    }
}

#[tokio::test]
async fn power_loss_between_database_and_key_store_leaves_wholly_old_or_wholly_new() {
    for record in records() {
        let home = Arc::new(Home::new());
        let old = shape(&provisioned(&home).await.store.load().await.unwrap());
        let dir = home.dir();
        let camera = Arc::new(Camera {
            inner: FileKeyStore::open(Arc::clone(&dir)).unwrap(),
            home: Arc::clone(&home),
            pictures: Mutex::new(Vec::new()),
        });
        let keys: Arc<dyn KeyStore> = Arc::clone(&camera) as Arc<dyn KeyStore>;
        let store = SqliteDeviceStore::open(dir, device_id(), keys, rng(3)).await.unwrap();
        camera.shoot("before the commit");
        store.commit(&now(), &record).await.unwrap();
        camera.shoot("after the commit");
        let new = shape(&store.load().await.unwrap());

        let mut seen = Vec::new();
        let pictures = std::mem::take(&mut *camera.pictures.lock().unwrap());
        for (what, picture) in pictures {
            let device = Device::open(&picture).await;
            let boot = device.store.load().await.unwrap();
            let found = shape(&boot);
            assert!(found == old || found == new, "{what}: {found:?}");
            let live: Vec<u64> = [found.0, found.1.map(|(generation, _)| generation)]
                .into_iter()
                .flatten()
                .collect();
            assert_eq!(device.keys.slot_generations().unwrap(), live, "{what}");
            assert_eq!(device.store.current().is_some(), found.0.is_some(), "{what}");
            assert!(device.store.verify_audit().await.unwrap().is_intact(), "{what}");
            assert_eq!(shape(&device.store.load().await.unwrap()), found, "{what}: twice");
            seen.push(found == new);
        }
        assert!(seen.is_sorted(), "once new, always new: {seen:?}");
        assert!(seen.last() == Some(&true) && (old == new || seen.first() == Some(&false)));
    }
}

/// A key store that cannot destroy anything, as a secure element that is busy.
struct Stubborn(FileKeyStore);

impl KeyStore for Stubborn {
    fn identity(&self) -> &dyn IdentityKey {
        self.0.identity()
    }
    fn derive(&self, label: &[u8]) -> Result<Secret32, KeyStoreError> {
        self.0.derive(label)
    }
    fn protection(&self) -> KeyProtection {
        self.0.protection()
    }
    fn create_slot_secret(
        &self,
        generation: u64,
        rng: &mut dyn CryptoRng,
    ) -> Result<Secret32, KeyStoreError> {
        self.0.create_slot_secret(generation, rng)
    }
    fn slot_secret(&self, generation: u64) -> Result<Option<Secret32>, KeyStoreError> {
        self.0.slot_secret(generation)
    }
    fn destroy_slot_secret(&self, _: u64) -> Result<(), KeyStoreError> {
        Err(KeyStoreError::Unavailable("busy".into()))
    }
}

#[tokio::test]
async fn a_secret_that_cannot_be_destroyed_is_destroyed_at_the_next_start() {
    let home = Home::new();
    drop(provisioned(&home).await);
    let dir = home.dir();
    let keys = Arc::new(Stubborn(FileKeyStore::open(Arc::clone(&dir)).unwrap()));
    let store = SqliteDeviceStore::open(dir, device_id(), keys.clone(), rng(3)).await.unwrap();
    // The record is durable: the answer is yes, whatever happens to the old secret.
    let flip = record(&[EventType::ProvisioningCompleted], vec![DeviceWrite::Flip]);
    store.commit(&now(), &flip).await.unwrap();
    // Staging needs the key store, so it is refused and nothing changes.
    let stage = record(&[EventType::ConfigurationApplied], vec![DeviceWrite::StageB(slot(3))]);
    let answer = store.commit(&now(), &stage).await;
    assert!(matches!(answer, Err(StoreError::KeyStore(_))), "{answer:?}");
    assert_eq!(keys.0.slot_generations().unwrap(), [1, 2]);
    drop((store, keys));

    let device = Device::open(&home).await;
    assert_eq!(shape(&device.store.load().await.unwrap()), (Some(2), None, true, false));
    assert_eq!(device.keys.slot_generations().unwrap(), [2]);
    let rows = device.store.events(AuditPage::default()).await.unwrap();
    let destroyed = rows.iter().filter(|row| row.event == EventType::KeyDestroyed);
    assert_eq!(destroyed.count(), 1, "written down when it was so, before any clock");
}

#[tokio::test]
async fn a_full_log_keeps_no_device_from_its_start() {
    let home = Home::new();
    drop(provisioned(&home).await);
    let dir = home.dir();
    let keys = Arc::new(Stubborn(FileKeyStore::open(Arc::clone(&dir)).unwrap()));
    let store = SqliteDeviceStore::open(dir, device_id(), keys.clone(), rng(3)).await.unwrap();
    let flip = record(&[EventType::ProvisioningCompleted], vec![DeviceWrite::Flip]);
    store.commit(&now(), &flip).await.unwrap();
    drop((store, keys));
    let device = Device::open(&home).await;
    let mut sql = home.sql(DEVICE_DATABASE).await;
    run(
        &mut sql,
        "CREATE TRIGGER refuse BEFORE INSERT ON security_audit_log \
         BEGIN SELECT RAISE(ABORT, 'the log is full'); END",
    )
    .await;
    assert_eq!(shape(&device.store.load().await.unwrap()), (Some(2), None, true, false));
    assert_eq!(device.keys.slot_generations().unwrap(), [2], "destroyed all the same");
    run(&mut sql, "DROP TRIGGER refuse").await;
    device.store.load().await.unwrap();
    let rows = device.store.events(AuditPage::default()).await.unwrap();
    assert_eq!(rows.last().unwrap().event, EventType::KeyDestroyed, "and told when it can be");
}

#[tokio::test]
async fn a_lost_slot_secret_is_damage_and_not_an_empty_slot() {
    let home = Home::new();
    drop(provisioned(&home).await);
    std::fs::remove_file(home.file("slots/1.key")).unwrap();
    let device = Device::open(&home).await;
    assert!(matches!(device.store.load().await, Err(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn a_database_of_another_device_or_root_is_refused() {
    let home = Home::new();
    drop(provisioned(&home).await);
    let dir = home.dir();
    let keys: Arc<dyn KeyStore> = Arc::new(FileKeyStore::open(Arc::clone(&dir)).unwrap());
    let other = zmon_domain::ids::DeviceId::parse("ZM-002").unwrap();
    let opened = SqliteDeviceStore::open(dir, other, keys, rng(3)).await;
    assert!(matches!(opened.map_err(StoreError::from), Err(StoreError::Corrupt(_))));

    let stranger = Home::new();
    drop(Device::create(&stranger).await);
    std::fs::copy(home.file(DEVICE_DATABASE), stranger.file(DEVICE_DATABASE)).unwrap();
    let dir = stranger.dir();
    std::fs::remove_file(stranger.file("root.key")).unwrap();
    std::fs::remove_file(stranger.file("identity.key")).unwrap();
    let suite = zmon_crypto::Suite::P256;
    let keys =
        FileKeyStore::create(Arc::clone(&dir), suite, &mut crate::common::seeded(77)).unwrap();
    let opened = SqliteDeviceStore::open(dir, device_id(), Arc::new(keys), rng(3)).await;
    assert!(matches!(opened.map_err(StoreError::from), Err(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn an_edited_state_is_found_whichever_table_it_is_in() {
    let edits = [
        "UPDATE device_state SET commit_sent = 1",
        "UPDATE device_state SET deprovisioned = 1",
        "UPDATE device_state SET generation = 9",
        "UPDATE device_state SET window_id = NULL",
        "UPDATE device_state SET window_tries = 0",
        "UPDATE device_state SET floor = 5",
        "UPDATE device_state SET recovery_counter = 1",
        "DELETE FROM device_state",
        "UPDATE settings SET bed_id = 'ICU-9'",
        "DELETE FROM settings",
        "INSERT INTO site_floors VALUES ('site-9', 1)",
        "INSERT INTO loose_secrets VALUES (1)",
    ];
    for edit in edits {
        let home = Home::new();
        let device = provisioned(&home).await;
        run(&mut home.sql(DEVICE_DATABASE).await, edit).await;
        assert!(matches!(device.store.load().await, Err(StoreError::Corrupt(_))), "{edit}");
        let row = DeviceRecord { audit: vec![event(EventType::Started)], writes: vec![] };
        assert!(device.store.commit(&now(), &row).await.is_err(), "{edit}");
    }
}

#[tokio::test]
async fn an_edited_slot_is_found() {
    let edits = [
        "DELETE FROM slots WHERE slot = 'A'",
        "UPDATE slots SET generation = 9 WHERE slot = 'A'",
        "UPDATE slots SET sealed = (SELECT sealed FROM slots WHERE slot = 'B') WHERE slot = 'A'",
        "UPDATE slots SET sealed = substr(sealed, 1, length(sealed) - 1) WHERE slot = 'B'",
        "UPDATE slots SET sealed = zeroblob(64) WHERE slot = 'B'",
    ];
    for edit in edits {
        let home = Home::new();
        let device = provisioned(&home).await;
        run(&mut home.sql(DEVICE_DATABASE).await, edit).await;
        assert!(matches!(device.store.load().await, Err(StoreError::Corrupt(_))), "{edit}");
    }
}
