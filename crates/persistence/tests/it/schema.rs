//! The schema: made from nothing, pinned, and the document's view.

use std::path::Path;

use crate::common::{Device, Home, event, now};
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection, Row, SqliteConnection};
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::StationId;
use zmon_domain::role::Actor;
use zmon_persistence::{DEVICE_DATABASE, STATION_DATABASE, SqlStationStore};
use zmon_protocol::device::DeviceRecord;
use zmon_provisioning::ports::DeviceStore;

/// [W §12.1], word for word.
const DOCUMENT: &str = "CREATE TABLE IF NOT EXISTS provisioning_events (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  timestamp INTEGER NOT NULL,
  event_type TEXT NOT NULL,
  device_id TEXT NOT NULL,
  pairing_code TEXT NULL,
  success BOOLEAN NOT NULL,
  error_message TEXT NULL,
  configuration_hash TEXT NULL
);";

/// [W §12.1] "Event Types", in its order.
const NINE: [&str; 9] = [
    "provisioning_mode_entered",
    "pairing_code_generated",
    "pairing_code_validated",
    "configuration_received",
    "configuration_applied",
    "connection_tested",
    "provisioning_completed",
    "provisioning_failed",
    "reprovisioning_started",
];

async fn station(home: &Home) -> SqlStationStore {
    SqlStationStore::open(home.dir(), &StationId::parse("cs-1").unwrap()).await.unwrap()
}

async fn schema(home: &Home, database: &str) -> String {
    let mut sql = home.sql(database).await;
    let statements: Vec<String> = sqlx::query_scalar(
        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE '\\_sqlx%' ESCAPE '\\' \
         AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type, name",
    )
    .fetch_all(&mut sql)
    .await
    .unwrap();
    let version = crate::common::number(&mut sql, "PRAGMA user_version").await;
    let application = crate::common::number(&mut sql, "PRAGMA application_id").await;
    format!(
        "-- user_version {version}, application_id {application:#x}\n{}\n",
        statements.join(";\n")
    )
}

fn assert_pinned(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots").join(name);
    let pinned = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        pinned == found,
        "tests/it/snapshots/{name} is not the schema the migrations make:\n{found}"
    );
}

#[tokio::test]
async fn the_device_schema_is_the_pinned_one() {
    let home = Home::new();
    drop(Device::create(&home).await);
    assert_pinned("device.sql", &schema(&home, DEVICE_DATABASE).await);
    // Opening again migrates nothing and changes nothing.
    drop(Device::open(&home).await);
    assert_pinned("device.sql", &schema(&home, DEVICE_DATABASE).await);
}

#[tokio::test]
async fn the_station_schema_is_the_pinned_one() {
    let home = Home::new();
    drop(station(&home).await);
    assert_pinned("station.sql", &schema(&home, STATION_DATABASE).await);
    drop(station(&home).await);
    assert_pinned("station.sql", &schema(&home, STATION_DATABASE).await);
}

#[test]
fn both_sides_write_the_same_audit_log() {
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let read = |side| std::fs::read(migrations.join(side).join("0001_audit.sql")).unwrap();
    assert_eq!(read("device"), read("station"));
}

/// Name and declared type of each column, in order.
async fn columns(sql: &mut SqliteConnection) -> Vec<(String, String)> {
    let rows: Vec<SqliteRow> =
        sqlx::query("PRAGMA table_info(provisioning_events)").fetch_all(sql).await.unwrap();
    rows.iter().map(|row| (row.get("name"), row.get("type"))).collect()
}

#[tokio::test]
async fn the_view_has_exactly_the_columns_of_the_document() {
    let mut document = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    crate::common::run(&mut document, DOCUMENT).await;
    let expected = columns(&mut document).await;
    for database in [DEVICE_DATABASE, STATION_DATABASE] {
        let home = Home::new();
        if database == DEVICE_DATABASE {
            drop(Device::create(&home).await);
        } else {
            drop(station(&home).await);
        }
        let found = columns(&mut home.sql(database).await).await;
        println!("{database}: provisioning_events{found:?}");
        assert_eq!(found, expected, "{database}");
    }
}

/// A view has no NOT NULL of its own: its columns are those of the table below, whose constraints
/// must be the document's wherever the view shows a row.
#[tokio::test]
async fn what_the_document_calls_not_null_cannot_be_null_in_the_view() {
    let mut document = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    crate::common::run(&mut document, DOCUMENT).await;
    let home = Home::new();
    drop(Device::create(&home).await);
    let mut sql = home.sql(DEVICE_DATABASE).await;
    let rows: Vec<SqliteRow> = sqlx::query("PRAGMA table_info(provisioning_events)")
        .fetch_all(&mut document)
        .await
        .unwrap();
    for row in &rows {
        let (name, required): (String, bool) = (row.get("name"), row.get("notnull"));
        let value = |column: &str, otherwise: &str| {
            if name == column { "NULL".to_owned() } else { otherwise.to_owned() }
        };
        let insert = format!(
            "INSERT INTO security_audit_log (lane, seq, record, prev, hash, actor, timestamp, \
             event_type, device_id, pairing_code, success, error_message, configuration_hash) \
             SELECT 'test', count(*) + 1, x'00', coalesce(max(hash), zeroblob(32)), zeroblob(32), \
             'system', {}, {}, {}, {}, {}, {}, {} FROM security_audit_log",
            value("timestamp", "1"),
            value("event_type", "'provisioning_failed'"),
            value("device_id", "'ZM-001'"),
            value("pairing_code", "'00'"),
            value("success", "0"),
            value("error_message", "'no'"),
            value("configuration_hash", "'00'"),
        );
        let inserted = sqlx::raw_sql(sqlx::AssertSqlSafe(insert)).execute(&mut sql).await;
        // `id` is the row id: a NULL there asks SQLite for the next one.
        assert_eq!(inserted.is_err(), required, "{name}: {inserted:?}");
    }
}

#[tokio::test]
async fn the_view_shows_the_nine_and_only_the_nine() {
    let home = Home::new();
    let device = Device::create(&home).await;
    let audit: Vec<AuditEvent> = EventType::ALL.iter().map(|name| event(*name)).collect();
    device.store.commit(&now(), &DeviceRecord { audit, writes: vec![] }).await.unwrap();
    let mut sql = home.sql(DEVICE_DATABASE).await;
    let shown: Vec<String> =
        sqlx::query_scalar("SELECT event_type FROM provisioning_events ORDER BY id")
            .fetch_all(&mut sql)
            .await
            .unwrap();
    let mut nine = NINE.map(str::to_owned).to_vec();
    let all: Vec<&str> = EventType::ALL.iter().map(|name| name.as_str()).collect();
    nine.sort_by_key(|name| all.iter().position(|other| other == name));
    assert_eq!(shown, nine);
    assert_eq!(EventType::PROVISIONING.iter().map(|name| name.as_str()).collect::<Vec<_>>(), NINE);
}

#[tokio::test]
async fn a_row_of_the_view_reads_as_the_document_says() {
    let home = Home::new();
    let device = Device::create(&home).await;
    let failed =
        AuditEvent::failed(EventType::ProvisioningFailed, Actor::Peer, ErrorCode::SignatureInvalid)
            .code_hash([0xAB; 32])
            .configuration_hash([0xCD; 32]);
    device
        .store
        .commit(&now(), &DeviceRecord { audit: vec![failed], writes: vec![] })
        .await
        .unwrap();
    let mut sql = home.sql(DEVICE_DATABASE).await;
    let row = sqlx::query("SELECT * FROM provisioning_events").fetch_one(&mut sql).await.unwrap();
    assert_eq!(row.get::<i64, _>("id"), 1);
    assert_eq!(Some(row.get::<i64, _>("timestamp")), now().millis);
    assert_eq!(row.get::<&str, _>("event_type"), "provisioning_failed");
    assert_eq!(row.get::<&str, _>("device_id"), "ZM-001", "the device's own id, not NULL");
    assert_eq!(row.get::<&str, _>("pairing_code"), "ab".repeat(32));
    assert!(!row.get::<bool, _>("success"));
    assert_eq!(row.get::<&str, _>("error_message"), ErrorCode::SignatureInvalid.message());
    assert_eq!(row.get::<&str, _>("configuration_hash"), "cd".repeat(32));
}

#[tokio::test]
async fn rows_cannot_be_changed_removed_or_put_out_of_order_by_sql() {
    let home = Home::new();
    let device = Device::create(&home).await;
    let record = crate::common::record(&[EventType::Started, EventType::Stopped], vec![]);
    device.store.commit(&now(), &record).await.unwrap();
    device.store.write_checkpoint(&now()).await.unwrap();
    let mut sql = home.sql(DEVICE_DATABASE).await;
    crate::common::run(&mut sql, "PRAGMA recursive_triggers = ON").await;
    for statement in [
        "UPDATE security_audit_log SET success = 0",
        "DELETE FROM security_audit_log",
        "DELETE FROM security_audit_log WHERE seq = 2",
        "REPLACE INTO security_audit_log SELECT * FROM security_audit_log WHERE seq = 1",
        "INSERT INTO security_audit_log SELECT NULL, lane, seq + 2, timestamp, record, prev, hash, \
         event_type, device_id, session_id, actor, role, pairing_code, success, error_code, \
         error_message, configuration_hash FROM security_audit_log WHERE seq = 2",
        "UPDATE audit_checkpoints SET jws = 'x'",
        "DELETE FROM audit_checkpoints",
        "INSERT INTO provisioning_events VALUES (1, 1, 'x', 'x', NULL, 1, NULL, NULL)",
    ] {
        assert!(sqlx::query(statement).execute(&mut sql).await.is_err(), "{statement}");
    }
    assert!(device.store.verify_audit().await.unwrap().is_intact());
}
