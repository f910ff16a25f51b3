//! Database files that are not as they should be: refused with a code, never a panic, never half.

use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;

use crate::common::{Device, Home, device_id, number, record, rng, run, slot};
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::StationId;
use zmon_persistence::{
    AuditLog, DEVICE_DATABASE, FileKeyStore, PersistenceError, PrivateDir, STATION_DATABASE,
    SqlStationStore, SqliteDeviceStore,
};
use zmon_protocol::device::DeviceWrite;
use zmon_provisioning::ports::{DeviceStore, SettingsManager, StoreError};

async fn open(home: &Home) -> Result<SqliteDeviceStore, PersistenceError> {
    let dir = home.dir();
    let keys = FileKeyStore::open(Arc::clone(&dir))?;
    SqliteDeviceStore::open(dir, device_id(), Arc::new(keys), rng(3)).await
}

async fn code(home: &Home) -> ErrorCode {
    open(home).await.expect_err("it opened").code()
}

/// A provisioned device with a staged second configuration, closed and with its log emptied.
async fn provisioned() -> Home {
    let home = Home::new();
    let device = Device::create(&home).await;
    for writes in
        [vec![DeviceWrite::StageB(slot(1)), DeviceWrite::Flip], vec![DeviceWrite::StageB(slot(2))]]
    {
        let record = record(&[EventType::ConfigurationApplied], writes);
        device.store.commit(&crate::common::now(), &record).await.unwrap();
    }
    drop(device);
    let mut sql = home.sql(DEVICE_DATABASE).await;
    number(&mut sql, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    sqlx::Connection::close(sql).await.unwrap();
    home
}

fn mode(home: &Home, name: &str) -> u32 {
    std::fs::metadata(home.file(name)).unwrap().permissions().mode() & 0o7777
}

fn chmod(home: &Home, name: &str, mode: u32) {
    std::fs::set_permissions(home.file(name), std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn files_are_made_for_the_owner_only() {
    let home = provisioned().await;
    let _open = open(&home).await.unwrap();
    assert_eq!(mode(&home, ""), 0o700);
    assert_eq!(mode(&home, "slots"), 0o700);
    for file in crate::common::files(&home.path()) {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{}", file.display());
    }
    assert!(home.file("device.db-wal").exists(), "the log is among them");
}

#[tokio::test]
async fn a_wide_mode_is_refused() {
    for (name, wide) in [
        (DEVICE_DATABASE, 0o640),
        (DEVICE_DATABASE, 0o604),
        (DEVICE_DATABASE, 0o660),
        ("device.db-wal", 0o644),
    ] {
        let home = provisioned().await;
        if !home.file(name).exists() {
            std::fs::write(home.file(name), b"").unwrap();
        }
        chmod(&home, name, wide);
        assert_eq!(code(&home).await, ErrorCode::KeyFileModeTooWide, "{name} {wide:o}");
    }
}

#[tokio::test]
async fn a_directory_others_may_enter_is_refused() {
    for wide in [0o755, 0o710, 0o701, 0o770] {
        let home = provisioned().await;
        chmod(&home, "", wide);
        let opened = PrivateDir::open(&home.path());
        assert_eq!(opened.err().unwrap().code(), ErrorCode::KeyFileModeTooWide, "{wide:o}");
    }
}

#[tokio::test]
async fn links_are_refused() {
    let home = provisioned().await;
    std::fs::rename(home.file(DEVICE_DATABASE), home.file("elsewhere")).unwrap();
    symlink(home.file("elsewhere"), home.file(DEVICE_DATABASE)).unwrap();
    assert_eq!(code(&home).await, ErrorCode::KeyFileIsSymlink);

    let home = provisioned().await;
    std::fs::hard_link(home.file(DEVICE_DATABASE), home.file("second-name")).unwrap();
    assert_eq!(code(&home).await, ErrorCode::KeyStoreUnavailable);

    let home = provisioned().await;
    let link = home.path().with_file_name("link");
    symlink(home.path(), &link).unwrap();
    let opened = PrivateDir::open(&link);
    assert_eq!(opened.err().unwrap().code(), ErrorCode::KeyFileIsSymlink);
    let absent = PrivateDir::open(&home.path().with_file_name("absent"));
    assert_eq!(absent.err().unwrap().code(), ErrorCode::NotInitialised);
    let file = PrivateDir::open(&home.file(DEVICE_DATABASE));
    assert_eq!(file.err().unwrap().code(), ErrorCode::StorageUnavailable);
}

#[tokio::test]
async fn one_process_works_in_a_directory() {
    let home = provisioned().await;
    let held = home.dir();
    let second = PrivateDir::open(&home.path());
    assert_eq!(second.err().unwrap().code(), ErrorCode::StateConflict);
    // Reading the audit log beside it is possible.
    assert!(AuditLog::open_device(&home.path()).await.unwrap().verify().await.is_ok());
    drop(held);
    assert!(PrivateDir::open(&home.path()).is_ok());
}

#[tokio::test]
async fn a_newer_schema_is_refused_unread() {
    // Raw header: SQLite itself never sees the file, so the rest may be anything.
    let home = provisioned().await;
    let path = home.file(DEVICE_DATABASE);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
    bytes[100..].fill(0xA5);
    std::fs::write(&path, &bytes).unwrap();
    let error = StoreError::from(open(&home).await.err().unwrap());
    assert_eq!(error, StoreError::SchemaNewer { found: 99, supported: 8 });
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "the file was written to");

    // Only in the write-ahead log: the newer program died before it emptied it.
    let home = provisioned().await;
    let mut sql = home.sql(DEVICE_DATABASE).await;
    run(&mut sql, "PRAGMA user_version = 98").await;
    let error = StoreError::from(open(&home).await.err().unwrap());
    assert_eq!(error, StoreError::SchemaNewer { found: 98, supported: 8 });

    // Only in the list of migrations.
    let home = provisioned().await;
    let mut sql = home.sql(DEVICE_DATABASE).await;
    run(
        &mut sql,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (97, 'later', 1, x'00', 0)",
    )
    .await;
    let error = StoreError::from(open(&home).await.err().unwrap());
    assert_eq!(error, StoreError::SchemaNewer { found: 97, supported: 8 });
    assert_eq!(error.code(), ErrorCode::SchemaNewer);
    let opened = AuditLog::open_device(&home.path()).await;
    assert_eq!(opened.err().unwrap().code(), ErrorCode::SchemaNewer);
}

#[tokio::test]
async fn an_edited_migration_is_damage() {
    let home = provisioned().await;
    run(&mut home.sql(DEVICE_DATABASE).await, "UPDATE _sqlx_migrations SET checksum = x'00'").await;
    assert_eq!(code(&home).await, ErrorCode::StorageCorrupt);
}

#[tokio::test]
async fn a_schema_without_its_guards_is_not_opened_for_writing() {
    for edit in [
        "DROP TRIGGER security_audit_log_is_not_cut",
        "DROP VIEW provisioning_events",
        "CREATE TRIGGER spy AFTER INSERT ON slots BEGIN DELETE FROM slots; END",
        "DROP INDEX security_audit_log_by_device",
        "CREATE TABLE more (x)",
    ] {
        let home = provisioned().await;
        run(&mut home.sql(DEVICE_DATABASE).await, edit).await;
        assert_eq!(code(&home).await, ErrorCode::StorageCorrupt, "{edit}");
        // Whoever examines the damage can still read the log.
        assert!(AuditLog::open_device(&home.path()).await.unwrap().verify().await.is_ok());
    }
}

#[tokio::test]
async fn a_schema_that_is_not_text_is_refused() {
    let home = provisioned().await;
    let mut sql = home.sql(DEVICE_DATABASE).await;
    run(&mut sql, "PRAGMA writable_schema = ON").await;
    run(
        &mut sql,
        "UPDATE sqlite_schema SET sql = CAST(replace(CAST(sql AS BLOB), x'494e5445474552', \
         x'494e54ff474552') AS TEXT) WHERE name = 'device_state'",
    )
    .await;
    drop(sql);
    assert_eq!(code(&home).await, ErrorCode::StorageCorrupt);
    let opened = AuditLog::open_device(&home.path()).await;
    assert_eq!(opened.err().unwrap().code(), ErrorCode::StorageCorrupt);
}

#[tokio::test]
async fn a_database_of_another_kind_is_refused() {
    let home = provisioned().await;
    std::fs::copy(home.file(DEVICE_DATABASE), home.file(STATION_DATABASE)).unwrap();
    chmod(&home, STATION_DATABASE, 0o600);
    let station = StationId::parse("cs-1").unwrap();
    let opened = SqlStationStore::open(home.dir(), &station).await;
    assert_eq!(opened.err().unwrap().code(), ErrorCode::StorageCorrupt);

    let home = provisioned().await;
    std::fs::write(home.file(DEVICE_DATABASE), b"not a database, but long enough".repeat(9))
        .unwrap();
    assert_eq!(code(&home).await, ErrorCode::StorageCorrupt);
}

#[tokio::test]
async fn a_truncated_database_is_refused_at_every_length() {
    let home = provisioned().await;
    let whole = std::fs::read(home.file(DEVICE_DATABASE)).unwrap();
    let copy = home.copy();
    for length in (1..whole.len()).step_by(509).chain([99, 100, whole.len() - 1]) {
        std::fs::write(copy.file(DEVICE_DATABASE), &whole[..length]).unwrap();
        for companion in ["device.db-wal", "device.db-shm"] {
            if copy.file(companion).exists() {
                std::fs::remove_file(copy.file(companion)).unwrap();
            }
        }
        let found = open(&copy).await.err().map(|error| error.code());
        assert_eq!(found, Some(ErrorCode::StorageCorrupt), "{length} of {} bytes", whole.len());
    }
}

#[tokio::test]
async fn an_empty_file_is_a_new_database() {
    // What a run leaves that died between making the file and its first commit.
    let home = Home::new();
    drop(Device::create(&home).await);
    for name in ["device.db", "device.db-wal", "device.db-shm"] {
        if home.file(name).exists() {
            std::fs::remove_file(home.file(name)).unwrap();
        }
    }
    std::fs::write(home.file(DEVICE_DATABASE), b"").unwrap();
    chmod(&home, DEVICE_DATABASE, 0o600);
    assert!(open(&home).await.unwrap().load().await.unwrap().slot_a.is_none());
}

/// T32: whatever byte is wrong, the configuration that is served is the one that was stored.
#[tokio::test]
async fn no_flipped_byte_serves_another_configuration() {
    let home = provisioned().await;
    let whole = std::fs::read(home.file(DEVICE_DATABASE)).unwrap();
    let (mut refused, mut served, mut noticed) = (0, 0, 0);
    for offset in (0..whole.len()).step_by(64) {
        let copy = home.copy();
        let mut file =
            std::fs::OpenOptions::new().write(true).open(copy.file(DEVICE_DATABASE)).unwrap();
        file.seek(SeekFrom::Start(offset as u64)).unwrap();
        file.write_all(&[whole[offset] ^ 0xFF]).unwrap();
        drop(file);
        let Ok(store) = open(&copy).await else {
            refused += 1;
            continue;
        };
        let Ok(boot) = store.load().await else {
            refused += 1;
            continue;
        };
        served += 1;
        let a = boot.slot_a.unwrap_or_else(|| panic!("byte {offset}: the configuration is lost"));
        assert_eq!(a.configuration.expose(), slot(1).configuration.expose(), "byte {offset}");
        assert_eq!(a.client_key.expose(), crate::common::PRIVATE_KEY, "byte {offset}");
        assert_eq!(
            boot.slot_b.unwrap().0.configuration.expose(),
            slot(2).configuration.expose(),
            "byte {offset}"
        );
        assert_eq!(store.current().unwrap().bed.unwrap().as_str(), "ICU-1", "byte {offset}");
        noticed += usize::from(!store.verify_audit().await.is_ok_and(|report| report.is_intact()));
    }
    // Bytes of free space and of indexes may be anything; most others must not.
    assert!(refused > 20 && served > 20 && noticed > 0, "{refused} {served} {noticed}");
}

#[tokio::test]
async fn flipped_bytes_in_the_write_ahead_log_never_panic() {
    let home = provisioned().await;
    let device = Device::open(&home).await;
    let record = record(
        &[EventType::ProvisioningCompleted],
        vec![DeviceWrite::OpenWindow(zmon_domain::ids::WindowId::from_bytes([1; 16]))],
    );
    device.store.commit(&crate::common::now(), &record).await.unwrap();
    let crashed = home.copy();
    drop(device);
    let log = std::fs::read(crashed.file("device.db-wal")).unwrap();
    assert!(log.len() > 4096);
    for offset in (0..log.len()).step_by(251) {
        let copy = crashed.copy();
        let mut damaged = log.clone();
        damaged[offset] ^= 0xFF;
        std::fs::write(copy.file("device.db-wal"), damaged).unwrap();
        // A log that fails its checksums counts up to the last whole commit; the rest is the past.
        if let Ok(store) = open(&copy).await
            && let Ok(boot) = store.load().await
        {
            assert_eq!(boot.slot_a.unwrap().configuration.expose(), slot(1).configuration.expose());
        }
    }
}
