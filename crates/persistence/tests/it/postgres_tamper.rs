//! A database of PostgreSQL that is not as it should be, and what a tamperer may try there.

use std::path::Path;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, PgConnection};
use zmon_crypto::IdentityKey;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{InstanceName, StationId};
use zmon_persistence::{AuditLog, SqlStationStore};
use zmon_station::ports::StationWrite;
use zmon_testkit::TestDatabase;

use crate::common::{identity, now};
use crate::station_store::{Seeded, answer, device};

const LANE: &str = "station:cs-1";
const ROWS: u8 = 12;

async fn open(database: &TestDatabase) -> Result<SqlStationStore, ErrorCode> {
    let station = StationId::parse("cs-1").unwrap();
    let opened =
        SqlStationStore::connect(&database.parsed(), &station, &InstanceName::default()).await;
    opened.map_err(|error| error.code())
}

async fn run(sql: &mut PgConnection, statements: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(statements)).execute(sql).await;
    done.unwrap_or_else(|error| panic!("{statements}: {error}"));
}

/// A log of twelve rows; the checkpoint speaks for the first nine.
async fn filled() -> TestDatabase {
    let database = TestDatabase::create().await;
    let store = open(&database).await.unwrap();
    let store = store.with_checkpoints(Arc::new(identity(70)), Arc::new(Seeded));
    for n in 1..=ROWS {
        answer(&store, vec![StationWrite::ImportDevices(vec![device(n)])]).await.unwrap();
        if n == 9 {
            store.write_checkpoint(&now()).await.unwrap();
        }
    }
    database
}

/// Lane and number of the first damage.
async fn damage(database: &TestDatabase) -> Option<(String, u64)> {
    let log = AuditLog::connect_station(&database.parsed()).await.unwrap();
    let found = log.signed_by(identity(70).public().clone()).verify().await.unwrap();
    found.damage().map(|(lane, damage)| (lane.to_owned(), damage.sequence))
}

/// The owner of a database can switch its triggers off.
const UNLOCK: &str = "ALTER TABLE security_audit_log DISABLE TRIGGER ALL; \
     ALTER TABLE audit_checkpoints DISABLE TRIGGER ALL; \
     ALTER TABLE audit_lanes DISABLE TRIGGER ALL";

#[tokio::test]
async fn an_edited_or_missing_row_is_found() {
    let database = filled().await;
    assert_eq!(damage(&database).await, None);
    let mut sql = database.sql().await;
    run(&mut sql, UNLOCK).await;
    run(&mut sql, "CREATE TABLE copy AS SELECT * FROM security_audit_log").await;
    for edit in [
        "UPDATE security_audit_log SET success = NOT success WHERE seq = 5",
        "UPDATE security_audit_log SET device_id = 'ZM-999' WHERE seq = 5",
        "UPDATE security_audit_log SET record = convert_to('{}', 'UTF8') WHERE seq = 5",
        "UPDATE security_audit_log SET prev = hash WHERE seq = 5",
        "UPDATE security_audit_log SET lane = 'station:cs-9' WHERE seq = 5",
        "DELETE FROM security_audit_log WHERE seq = 5",
    ] {
        run(&mut sql, edit).await;
        assert_eq!(damage(&database).await, Some((LANE.to_owned(), 5)), "{edit}");
        let restore = "DELETE FROM security_audit_log; \
             INSERT INTO security_audit_log OVERRIDING SYSTEM VALUE SELECT * FROM copy";
        run(&mut sql, restore).await;
    }
    assert_eq!(damage(&database).await, None, "positive control");
}

#[tokio::test]
async fn a_cut_tail_is_found_by_the_count_of_its_lane_and_by_the_checkpoint() {
    let database = filled().await;
    let mut sql = database.sql().await;
    run(&mut sql, UNLOCK).await;
    run(&mut sql, "DELETE FROM security_audit_log WHERE seq > 10").await;
    assert_eq!(damage(&database).await, Some((LANE.to_owned(), 11)));
    run(&mut sql, "UPDATE audit_lanes SET seq = 10 WHERE lane <> 'checkpoints'").await;
    assert_eq!(
        damage(&database).await,
        None,
        "behind the last checkpoint a patient tamperer can cut"
    );
    let forget = "DELETE FROM security_audit_log WHERE seq > 8; \
         UPDATE audit_lanes SET seq = 8 WHERE lane <> 'checkpoints'";
    run(&mut sql, forget).await;
    assert_eq!(damage(&database).await, Some((LANE.to_owned(), 9)));
    run(&mut sql, "DELETE FROM security_audit_log; DELETE FROM audit_lanes").await;
    assert_eq!(damage(&database).await, Some((LANE.to_owned(), 1)));
}

#[tokio::test]
async fn a_missing_checkpoint_is_found_by_the_count_of_them() {
    let database = filled().await;
    let mut sql = database.sql().await;
    run(&mut sql, UNLOCK).await;
    run(&mut sql, "DELETE FROM audit_checkpoints").await;
    assert_eq!(damage(&database).await, Some(("checkpoints".to_owned(), 1)));
}

#[tokio::test]
async fn sql_can_add_the_next_row_and_change_none() {
    let database = filled().await;
    let mut sql = database.sql().await;
    let copied = "lane, seq + 1, timestamp, record, hash, prev, event_type, device_id, session_id, \
         actor, role, pairing_code, success, error_code, error_message, configuration_hash \
         FROM security_audit_log";
    let columns = "INSERT INTO security_audit_log (lane, seq, timestamp, record, prev, hash, \
         event_type, device_id, session_id, actor, role, pairing_code, success, error_code, \
         error_message, configuration_hash) SELECT";
    let fork = format!("{columns} {copied} WHERE seq = 11");
    for statement in [
        "UPDATE security_audit_log SET success = FALSE",
        "DELETE FROM security_audit_log WHERE seq = 12",
        "TRUNCATE security_audit_log",
        "TRUNCATE security_audit_log, audit_lanes, audit_checkpoints",
        "UPDATE audit_lanes SET seq = seq - 1",
        "DELETE FROM audit_lanes",
        "UPDATE audit_checkpoints SET jws = 'x'",
        "DELETE FROM audit_checkpoints",
        "TRUNCATE certificates",
        &fork,
    ] {
        let refused = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut sql).await;
        assert!(refused.is_err(), "{statement}");
    }
    // Of two sessions that extend the lane at once the second waits for the first and is refused.
    let next = format!("BEGIN; {columns} {copied} WHERE seq = 12");
    run(&mut sql, &next).await;
    let mut other = database.sql().await;
    let second = tokio::spawn(async move {
        let statement = AssertSqlSafe(next);
        sqlx::raw_sql(statement).execute(&mut other).await.map(drop)
    });
    run(&mut sql, "COMMIT").await;
    let refused = second.await.unwrap().unwrap_err().to_string();
    assert!(refused.contains("a row must extend its lane"), "{refused}");
}

#[tokio::test]
async fn a_newer_schema_is_refused_unread_and_another_programs_database_left_alone() {
    let database = filled().await;
    let mut sql = database.sql().await;
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, \
         execution_time) VALUES (97, 'later', TRUE, '', 0)";
    run(&mut sql, &format!("{later}; DROP TABLE devices, security_audit_log CASCADE")).await;
    assert_eq!(open(&database).await.err(), Some(ErrorCode::SchemaNewer));
    let log = AuditLog::connect_station(&database.parsed()).await;
    assert_eq!(log.unwrap_err().code(), ErrorCode::SchemaNewer);

    let database = TestDatabase::create().await;
    let mut sql = database.sql().await;
    run(&mut sql, "CREATE TABLE theirs (x INTEGER)").await;
    assert_eq!(open(&database).await.err(), Some(ErrorCode::StorageCorrupt));
    let made = "SELECT count(*) FROM pg_class WHERE relname IN ('devices', '_sqlx_migrations')";
    let made: i64 = sqlx::query_scalar(made).fetch_one(&mut sql).await.unwrap();
    assert_eq!(made, 0);
}

#[tokio::test]
async fn a_schema_without_its_guards_is_not_opened_for_writing() {
    let database = filled().await;
    let mut sql = database.sql().await;
    // Each edit with what takes it back.
    let cut = "CREATE TRIGGER security_audit_log_is_not_cut BEFORE DELETE OR TRUNCATE ON \
         security_audit_log FOR EACH STATEMENT EXECUTE FUNCTION refuse('rows are never deleted')";
    let current = "CREATE UNIQUE INDEX certificates_one_current ON certificates (device_id) \
         WHERE state = 'current'";
    let body = "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$\n\
         BEGIN\n  RAISE EXCEPTION '%: %', TG_TABLE_NAME, TG_ARGV[0];\nEND\n$$";
    let idle = "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RETURN OLD; END $$";
    for (edit, back) in [
        ("DROP TRIGGER security_audit_log_is_not_cut ON security_audit_log", cut),
        (
            "ALTER TABLE certificates DISABLE TRIGGER certificates_stay_revoked",
            "ALTER TABLE certificates ENABLE TRIGGER certificates_stay_revoked",
        ),
        ("DROP INDEX certificates_one_current", current),
        (idle, body),
        ("CREATE TABLE more (x INTEGER)", "DROP TABLE more"),
        (
            "CREATE RULE keep AS ON DELETE TO devices DO INSTEAD NOTHING",
            "DROP RULE keep ON devices",
        ),
        (
            "ALTER TABLE security_audit_log ALTER actor DROP NOT NULL",
            "ALTER TABLE security_audit_log ALTER actor SET NOT NULL",
        ),
        (
            "UPDATE _sqlx_migrations SET checksum = checksum || '\\x00'::bytea",
            "UPDATE _sqlx_migrations SET checksum = substr(checksum, 1, length(checksum) - 1)",
        ),
    ] {
        run(&mut sql, edit).await;
        assert_eq!(open(&database).await.err(), Some(ErrorCode::StorageCorrupt), "{edit}");
        run(&mut sql, back).await;
        assert_eq!(open(&database).await.map(drop), Ok(()), "{back}");
    }
}

#[test]
fn both_databases_come_to_the_same_number() {
    let newest = |folder: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(folder);
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.to_string_lossy()[..4].to_owned()).max().unwrap()
    };
    assert_eq!(newest("station"), newest("station-postgres"));
}
