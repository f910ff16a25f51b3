//! What a wipe leaves, what it may not touch, and a configuration laid down by hand (D21, [W §14]).

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use zmon_crypto::x509::CertificateChain;
use zmon_crypto::{sha256, x509};
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{OperatorId, Thumbprint};
use zmon_domain::role::Role;
use zmon_persistence::{
    CLINICAL_FOLDER, ClinicalFolder, DEVICE_DATABASE, FileAuthenticator, HashCost, ManualFolder,
};
use zmon_protocol::device::{DeviceWrite, Retirement};
use zmon_provisioning::ports::{
    Authenticator, ClinicalData, DeviceStore, LocalOperators, ManualConfiguration, Pin,
    SettingsManager, StoreError,
};

use crate::common::{
    Device, Home, SERVER_URL, files, identity, now, number, record, rng, run, seeded, slot,
};

const STATEMENT: &str = "header.statement-of-the-device.signature";

fn retirement(counter: u64) -> Retirement {
    Retirement {
        counter,
        statement: format!("{STATEMENT}.{counter}"),
        server_url: SERVER_URL.parse().unwrap(),
        ca: vec![vec![0x30; 40], vec![0x31; 3]],
        server_pin: (counter % 2 == 1).then(|| Thumbprint::from_bytes([7; 32])),
    }
}

async fn commit(device: &Device, writes: Vec<DeviceWrite>) -> Result<(), StoreError> {
    device.store.commit(&now(), &record(&[EventType::Started], writes)).await
}

async fn provisioned(home: &Home) -> Device {
    let device = Device::create(home).await;
    commit(&device, vec![DeviceWrite::StageB(slot(1)), DeviceWrite::Flip]).await.unwrap();
    device
}

fn wipe(counter: u64) -> Vec<DeviceWrite> {
    vec![DeviceWrite::QueueRetire(retirement(counter)), DeviceWrite::Deprovision]
}

#[tokio::test]
async fn statements_outlive_the_wipe_and_are_readable_by_the_device_alone() {
    let home = Home::new();
    let device = provisioned(&home).await;
    commit(&device, wipe(1)).await.unwrap();
    commit(&device, vec![DeviceWrite::QueueRetire(retirement(2))]).await.unwrap();
    for needle in [SERVER_URL.as_bytes(), STATEMENT.as_bytes(), &[0x30; 40]] {
        assert_eq!(home.count_files_with(needle), 0, "nothing says where the device belonged");
    }
    drop(device);
    let device = Device::open(&home).await;
    let boot = device.store.load().await.unwrap();
    assert!(boot.slot_a.is_none() && boot.deprovisioned);
    assert_eq!((boot.retirements, boot.retire_counter), (vec![retirement(1), retirement(2)], 2));
    let sealed: Vec<u8> = sqlx::query_scalar("SELECT sealed FROM retire_queue WHERE counter = 1")
        .fetch_one(&mut home.sql(DEVICE_DATABASE).await)
        .await
        .unwrap();

    commit(&device, vec![DeviceWrite::FactoryReset]).await.unwrap();
    assert_eq!(device.store.load().await.unwrap().retirements.len(), 2, "and a factory reset");
    commit(&device, vec![DeviceWrite::RetireDelivered(1)]).await.unwrap();
    let boot = device.store.load().await.unwrap();
    assert_eq!((boot.retirements, boot.retire_counter), (vec![retirement(2)], 2));
    let again = commit(&device, vec![DeviceWrite::QueueRetire(retirement(2))]).await;
    assert!(again.is_err(), "a counter is used once");
    let mut sql = home.sql(DEVICE_DATABASE).await;
    run(&mut sql, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    drop(sql);
    drop(device);
    assert_eq!(home.count_files_with(&sealed), 0, "a delivered statement leaves no page behind");
}

#[tokio::test]
async fn a_statement_and_the_wipe_are_one_transaction() {
    let home = Home::new();
    let device = provisioned(&home).await;
    let mut sql = home.sql(DEVICE_DATABASE).await;
    for table in ["security_audit_log", "retire_queue"] {
        let refuse = format!(
            "CREATE TRIGGER refuse BEFORE INSERT ON {table} \
             BEGIN SELECT RAISE(ROLLBACK, 'no room'); END"
        );
        run(&mut sql, &refuse).await;
        commit(&device, wipe(1)).await.unwrap_err();
        let boot = device.store.load().await.unwrap();
        assert!(boot.slot_a.is_some() && boot.retirements.is_empty(), "{table}");
        assert_eq!(boot.retire_counter, 0);
        assert_eq!(device.keys.slot_generations().unwrap(), [1], "{table}: the secret lives");
        run(&mut sql, "DROP TRIGGER refuse").await;
    }
    commit(&device, wipe(1)).await.unwrap();
    assert_eq!(device.keys.slot_generations().unwrap(), Vec::<u64>::new());
    assert_eq!(number(&mut sql, "SELECT count(*) FROM retire_queue").await, 1);
}

#[tokio::test]
async fn a_queue_that_was_tampered_with_is_damage() {
    for statement in [
        "DELETE FROM retire_queue",
        "UPDATE retire_queue SET counter = 9",
        "UPDATE retire_queue SET sealed = zeroblob(64)",
        "UPDATE device_state SET retire_counter = 0",
        "UPDATE device_state SET erasing = 1",
        "UPDATE device_state SET migrating = 1",
    ] {
        let home = Home::new();
        let device = provisioned(&home).await;
        commit(&device, wipe(1)).await.unwrap();
        let mut sql = home.sql(DEVICE_DATABASE).await;
        run(&mut sql, statement).await;
        let loaded = device.store.load().await;
        assert!(matches!(loaded, Err(StoreError::Corrupt(_))), "{statement}: {loaded:?}");
    }
}

#[tokio::test]
async fn a_factory_reset_keeps_what_guards_against_roll_back_and_the_log() {
    let home = Home::new();
    let device = provisioned(&home).await;
    let site = "st-mary".parse().unwrap();
    let (floor, since) = (crate::common::at(1_800_000_000), crate::common::at(1_700_000_000));
    commit(
        &device,
        vec![
            DeviceWrite::RaiseFloor(floor),
            DeviceWrite::RememberSite(site, since),
            DeviceWrite::Migrating(true),
        ],
    )
    .await
    .unwrap();
    assert!(device.store.load().await.unwrap().migrating);
    let rows = device.store.verify_audit().await.unwrap().rows();
    assert!(device.store.current().is_some());
    commit(&device, vec![DeviceWrite::FactoryReset]).await.unwrap();
    assert!(device.store.current().is_none(), "the settings are gone");
    for bed in [b"ICU-1".as_slice(), b"Monitor 1"] {
        assert_eq!(home.count_files_with(bed), 0, "the bed is nowhere");
    }
    drop(device);
    let device = Device::open(&home).await;
    let boot = device.store.load().await.unwrap();
    assert!(boot.erasing && !boot.migrating && !boot.deprovisioned && boot.slot_a.is_none());
    assert_eq!((boot.floor, boot.generation), (Some(floor), 1));
    assert_eq!(boot.site_not_before.len(), 1);
    let report = device.store.verify_audit().await.unwrap();
    assert!(report.is_intact() && report.rows() > rows);
    commit(&device, vec![DeviceWrite::EraseDone]).await.unwrap();
    assert!(!device.store.load().await.unwrap().erasing);
}

#[tokio::test]
async fn clinical_data_go_whole_and_the_folder_stays() {
    let home = Home::new();
    let dir = home.dir();
    let clinical = ClinicalFolder::open(Arc::clone(&dir)).unwrap();
    let folder = home.file(CLINICAL_FOLDER);
    let deep = folder.join("trends/2026");
    std::fs::create_dir_all(&deep).unwrap();
    let outside = home.file("outside");
    std::fs::write(&outside, "not a patient's").unwrap();
    symlink(&outside, folder.join("link")).unwrap();
    symlink(home.path(), folder.join("trends/up")).unwrap();
    for (path, mode) in [(folder.join("alarms"), 0o644), (deep.join("ecg"), 0o400)] {
        std::fs::write(&path, "PATIENT-DATA").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }
    assert_eq!(home.count_files_with(b"PATIENT-DATA"), 2, "positive control");
    for _ in 0..2 {
        clinical.erase().await.unwrap();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        assert_eq!(home.count_files_with(b"PATIENT-DATA"), 0);
    }
    assert_eq!(std::fs::read_to_string(outside).unwrap(), "not a patient's", "no link is followed");
    // Opening it again finds it as it was.
    drop(ClinicalFolder::open(dir).unwrap());
}

#[tokio::test]
async fn without_operators_only_the_first_administrator_can_be_made() {
    let home = Home::new();
    let device = Device::create(&home).await;
    let keys = device.keys.as_ref();
    let open =
        || FileAuthenticator::open_with(Arc::clone(&device.dir), keys, rng(4), HashCost::LEAST);
    let operators = open().unwrap();
    let pin = || Pin::parse("8675309421").unwrap();
    let [ada, tess] = ["ada", "tess"].map(|name| OperatorId::parse(name).unwrap());
    operators.create_administrator(ada.clone(), pin()).await.unwrap();
    let proof = operators.authenticate(&ada, pin(), &now()).await.unwrap();
    operators.add_operator(&proof, &now(), tess.clone(), Role::Technician, pin()).await.unwrap();
    operators.authenticate(&tess, Pin::parse("000000").unwrap(), &now()).await.unwrap_err();
    for _ in 0..2 {
        operators.forget_all().await.unwrap();
        let refused = operators.authenticate(&ada, pin(), &now()).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::NoOperators);
        assert_eq!(home.count_files_with(b"tess"), 0);
    }
    // As after a restart, and as in the same run.
    assert!(open().unwrap().list().await.is_empty());
    operators.create_administrator(tess.clone(), pin()).await.unwrap();
    assert!(operators.authenticate(&tess, pin(), &now()).await.is_ok());
}

/// A configuration laid down by hand, whole and valid.
fn lay_down(folder: &Path) {
    let key = identity(7);
    let der = x509::self_signed(&key, &mut seeded(8)).unwrap();
    let pem = CertificateChain::from_der([der]).unwrap().to_pem();
    let pkcs8 = zmon_wire::b64::encode_standard(key.to_pkcs8().unwrap().expose());
    std::fs::create_dir(folder).unwrap();
    std::fs::set_permissions(folder, Permissions::from_mode(0o700)).unwrap();
    for (name, text) in [
        ("server.url", "https://old.hospital.example:8443\n".to_owned()),
        ("ca.pem", pem.clone()),
        ("client.pem", pem),
        (
            "client.key",
            format!("-----BEGIN PRIVATE KEY-----\n{pkcs8}\n-----END PRIVATE KEY-----\n"),
        ),
        ("settings.json", r#"{"deviceLabel":"ICU-OLD","language":"DE"}"#.to_owned()),
    ] {
        write(folder, name, &text);
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
    std::fs::set_permissions(folder.join(name), Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn a_manual_configuration_is_found_with_its_settings_and_removed_whole() {
    let home = Home::new();
    let folder = home.file("manual");
    let manual = ManualFolder::new(folder.clone());
    assert_eq!(manual.find().await.unwrap(), None, "no folder");
    manual.remove().await.unwrap();
    lay_down(&folder);
    let hashes =
        || files(&folder).iter().map(|file| sha256(&std::fs::read(file).unwrap())).collect();
    let before: Vec<_> = hashes();
    let found = manual.find().await.unwrap().unwrap();
    assert_eq!(found.server_url.as_str(), "https://old.hospital.example:8443");
    assert_eq!(found.settings.label.unwrap().as_str(), "ICU-OLD");
    assert_eq!(found.settings.language.as_str(), "DE");
    assert_eq!(hashes(), before, "looking changes nothing");
    let key = std::fs::read(folder.join("client.key")).unwrap();
    manual.remove().await.unwrap();
    assert!(!folder.exists());
    assert_eq!(home.count_files_with(&key[40..80]), 0);
    manual.remove().await.unwrap();
    assert_eq!(manual.find().await.unwrap(), None);
    // A folder that holds other things as well stays, with them.
    lay_down(&folder);
    write(&folder, "notes.txt", "of the technician");
    manual.remove().await.unwrap();
    assert_eq!(files(&folder), [folder.join("notes.txt")]);
    assert_eq!(manual.find().await.unwrap(), None);
}

#[tokio::test]
async fn a_removal_that_was_cut_short_is_finished() {
    let home = Home::new();
    for gone in [&["client.key"][..], &["client.key", "client.pem", "ca.pem", "server.url"]] {
        let folder = home.file("manual");
        lay_down(&folder);
        gone.iter().for_each(|name| std::fs::remove_file(folder.join(name)).unwrap());
        let manual = ManualFolder::new(folder.clone());
        assert!(manual.find().await.is_err(), "half of it is no configuration");
        manual.remove().await.unwrap();
        assert!(!folder.exists());
    }
}

#[tokio::test]
async fn a_broken_manual_configuration_is_refused_by_file_and_rule() {
    let cases: [(&str, Option<&str>, &str); 9] = [
        ("server.url", Some("http://old.hospital.example"), "server.url"),
        ("server.url", None, "server.url must be there"),
        ("ca.pem", Some("no certificate"), "ca.pem must be certificates"),
        ("client.pem", Some(""), "client.pem must be certificates"),
        ("client.key", Some("no key"), "client.key must be one PKCS#8 private key"),
        ("client.key", None, "client.key must be there"),
        ("settings.json", Some(r#"{"language":"klingon"}"#), "settings.json language must be"),
        ("settings.json", Some(r#"{"langage":"DE"}"#), "langage"),
        ("settings.json", Some("{"), ""),
    ];
    for (file, text, rule) in cases {
        let home = Home::new();
        let folder = home.file("manual");
        lay_down(&folder);
        match text {
            Some(text) => write(&folder, file, text),
            None => std::fs::remove_file(folder.join(file)).unwrap(),
        }
        let left = files(&folder);
        let refused = ManualFolder::new(folder.clone()).find().await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::ManualConfigurationInvalid, "{file}");
        assert!(refused.message().contains(rule), "{rule}: {}", refused.message());
        assert_eq!(files(&folder), left, "nothing is lost");
    }
    // A key of another certificate, a key others can read, a link.
    let home = Home::new();
    let folder = home.file("manual");
    lay_down(&folder);
    let manual = ManualFolder::new(folder.clone());
    let other = zmon_wire::b64::encode_standard(identity(9).to_pkcs8().unwrap().expose());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{other}\n-----END PRIVATE KEY-----\n");
    write(&folder, "client.key", &pem);
    let refused = manual.find().await.unwrap_err();
    assert!(refused.message().contains("client.key must be the key of"), "{refused}");
    assert!(!refused.message().contains(&other[..16]));
    let key = folder.join("client.key");
    std::fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    assert_eq!(manual.find().await.unwrap_err().code, ErrorCode::KeyFileModeTooWide);
    std::fs::remove_file(&key).unwrap();
    symlink(folder.join("client.pem"), &key).unwrap();
    assert_eq!(manual.find().await.unwrap_err().code, ErrorCode::KeyFileIsSymlink);
    std::fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    assert_eq!(manual.find().await.unwrap_err().code, ErrorCode::KeyFileModeTooWide);
}

#[tokio::test]
async fn a_database_of_the_schema_before_opens_with_its_state() {
    let home = Home::new();
    drop(provisioned(&home).await);
    let mut sql = home.sql(DEVICE_DATABASE).await;
    run(
        &mut sql,
        "DROP TABLE retire_queue; \
         ALTER TABLE device_state DROP COLUMN retire_counter; \
         ALTER TABLE device_state DROP COLUMN erasing; \
         ALTER TABLE device_state DROP COLUMN migrating; \
         ALTER TABLE device_state DROP COLUMN new_identity; \
         DELETE FROM _sqlx_migrations WHERE version >= 5; \
         PRAGMA user_version = 2",
    )
    .await;
    drop(sql);
    let device = Device::open(&home).await;
    let boot = device.store.load().await.unwrap();
    assert!(boot.slot_a.is_some() && boot.retirements.is_empty());
    commit(&device, wipe(1)).await.unwrap();
    assert_eq!(device.store.load().await.unwrap().retirements, [retirement(1)]);
}
