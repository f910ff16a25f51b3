//! A station's database file that is not as it should be: refused with a code, never a panic.

use std::os::unix::fs::{PermissionsExt, symlink};

use crate::common::{Home, at, now, number, run};
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, DeviceSerial, StationId, Thumbprint};
use zmon_domain::role::Actor;
use zmon_persistence::{AuditLog, PersistenceError, STATION_DATABASE, SqlStationStore};
use zmon_station::ports::{
    DeviceRow, DeviceStatus, Page, StationRecord, StationStore, StationWrite,
};

const WAL: &str = "station.db-wal";
const ALL: Page = Page { offset: 0, limit: 1000 };

async fn open(home: &Home) -> Result<SqlStationStore, PersistenceError> {
    let station = StationId::parse("cs-1").unwrap();
    SqlStationStore::open(home.dir(), &station).await
}

async fn code(home: &Home) -> ErrorCode {
    open(home).await.err().unwrap().code()
}

/// A station with forty devices in its registry, closed and with its log emptied.
async fn registered() -> Home {
    let home = Home::new();
    let store = open(&home).await.unwrap();
    let rows = (1..=40_u8).map(|n| DeviceRow {
        id: DeviceId::parse(&format!("ZM-{n:03}")).unwrap(),
        serial: DeviceSerial::parse(&format!("SN-{n:03}")).unwrap(),
        identity: Thumbprint::from_bytes([n; 32]),
        status: DeviceStatus::Active,
        address: None,
        port: None,
        bed: None,
        label: None,
        model: None,
        unit: None,
        language: None,
        sync_interval: None,
        registered_at: at(1000),
    });
    let record = StationRecord {
        audit: vec![AuditEvent::new(EventType::RegistryImported, Actor::System)],
        writes: vec![StationWrite::ImportDevices(rows.collect())],
    };
    store.commit(&now(), &record).await.unwrap().unwrap();
    drop(store);
    let mut sql = home.sql(STATION_DATABASE).await;
    number(&mut sql, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    sqlx::Connection::close(sql).await.unwrap();
    home
}

fn chmod(home: &Home, name: &str, mode: u32) {
    std::fs::set_permissions(home.file(name), std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_station_s_files_that_others_can_reach_are_refused() {
    for (name, wide) in [
        (STATION_DATABASE, 0o640),
        (STATION_DATABASE, 0o604),
        (STATION_DATABASE, 0o660),
        (WAL, 0o644),
    ] {
        let home = registered().await;
        if !home.file(name).exists() {
            std::fs::write(home.file(name), b"").unwrap();
        }
        chmod(&home, name, wide);
        assert_eq!(code(&home).await, ErrorCode::KeyFileModeTooWide, "{name} {wide:o}");
    }
}

#[tokio::test]
async fn links_and_folders_in_place_of_a_station_s_database_are_refused() {
    let home = registered().await;
    std::fs::rename(home.file(STATION_DATABASE), home.file("elsewhere")).unwrap();
    symlink(home.file("elsewhere"), home.file(STATION_DATABASE)).unwrap();
    assert_eq!(code(&home).await, ErrorCode::KeyFileIsSymlink);

    let home = registered().await;
    std::fs::hard_link(home.file(STATION_DATABASE), home.file("second-name")).unwrap();
    assert_eq!(code(&home).await, ErrorCode::KeyStoreUnavailable);

    let home = registered().await;
    std::fs::remove_file(home.file(STATION_DATABASE)).unwrap();
    std::fs::create_dir(home.file(STATION_DATABASE)).unwrap();
    assert_eq!(code(&home).await, ErrorCode::KeyStoreUnavailable);
}

#[tokio::test]
async fn a_station_s_newer_schema_is_refused_unread() {
    let home = registered().await;
    let path = home.file(STATION_DATABASE);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
    bytes[100..].fill(0xA5);
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(code(&home).await, ErrorCode::SchemaNewer);
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "the file was written to");

    let home = registered().await;
    run(&mut home.sql(STATION_DATABASE).await, "PRAGMA user_version = 98").await;
    assert_eq!(code(&home).await, ErrorCode::SchemaNewer);

    let home = registered().await;
    run(
        &mut home.sql(STATION_DATABASE).await,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (97, 'later', 1, x'00', 0)",
    )
    .await;
    assert_eq!(code(&home).await, ErrorCode::SchemaNewer);
    let opened = AuditLog::open_station(&home.path()).await;
    assert_eq!(opened.err().unwrap().code(), ErrorCode::SchemaNewer);
}

#[tokio::test]
async fn a_station_s_schema_without_its_guards_is_not_opened_for_writing() {
    for edit in [
        "UPDATE _sqlx_migrations SET checksum = x'00'",
        "DROP TRIGGER security_audit_log_is_not_cut",
        "DROP TRIGGER certificates_stay_revoked",
        "DROP TRIGGER claimed_tokens_are_kept",
        "DROP INDEX certificates_one_current",
        "DROP VIEW provisioning_events",
        "CREATE TRIGGER spy AFTER INSERT ON devices BEGIN DELETE FROM devices; END",
        "CREATE TABLE more (x)",
    ] {
        let home = registered().await;
        run(&mut home.sql(STATION_DATABASE).await, edit).await;
        assert_eq!(code(&home).await, ErrorCode::StorageCorrupt, "{edit}");
    }
}

#[tokio::test]
async fn a_station_s_truncated_database_is_refused_at_every_length() {
    let home = registered().await;
    let whole = std::fs::read(home.file(STATION_DATABASE)).unwrap();
    let copy = home.copy();
    for length in (1..whole.len()).step_by(1021).chain([99, 100, whole.len() - 1]) {
        std::fs::write(copy.file(STATION_DATABASE), &whole[..length]).unwrap();
        for companion in [WAL, "station.db-shm"] {
            if copy.file(companion).exists() {
                std::fs::remove_file(copy.file(companion)).unwrap();
            }
        }
        let found = open(&copy).await.err().map(|error| error.code());
        assert_eq!(found, Some(ErrorCode::StorageCorrupt), "{length} of {} bytes", whole.len());
    }
    std::fs::write(copy.file(STATION_DATABASE), b"not a database, but long enough".repeat(9))
        .unwrap();
    assert_eq!(code(&copy).await, ErrorCode::StorageCorrupt);
}

/// T32: a flipped byte is refused, noticed by the audit chain, or leaves every device findable under its
/// own key. What is not sealed may read otherwise; nothing panics.
#[tokio::test]
async fn no_flipped_byte_of_a_station_panics() {
    let home = registered().await;
    let whole = std::fs::read(home.file(STATION_DATABASE)).unwrap();
    let (mut refused, mut served, mut noticed) = (0, 0, 0);
    for offset in (0..whole.len()).step_by(127) {
        let copy = home.copy();
        let mut damaged = whole.clone();
        damaged[offset] ^= 0xFF;
        std::fs::write(copy.file(STATION_DATABASE), damaged).unwrap();
        let Ok(store) = open(&copy).await else {
            refused += 1;
            continue;
        };
        let Ok(rows) = store.devices(ALL).await else {
            refused += 1;
            continue;
        };
        served += 1;
        assert!(rows.len() <= 40, "byte {offset}: a device came from nowhere");
        noticed +=
            usize::from(!store.verify_audit().await.is_ok_and(|found| found.damage.is_none()));
    }
    assert!(refused > 5 && served > 20 && noticed > 0, "{refused} {served} {noticed}");
}
