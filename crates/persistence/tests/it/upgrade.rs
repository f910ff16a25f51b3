//! Databases that every earlier program left behind: the present one takes them over, row by row.
//!
//! An old database is made by the migrations up to one of them, and filled with what a present database holds in
//! the columns that there were then.

use std::path::Path;
use std::sync::Arc;

use sqlx::migrate::{Migration, Migrator};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqliteConnection};
use zmon_crypto::{IdentityKey, SecretBytes};
use zmon_domain::audit::EventType;
use zmon_domain::batch::{BatchState, ItemState};
use zmon_domain::ids::{
    BatchId, BatchName, InstanceName, OperatorId, StationId, TokenId, WindowId,
};
use zmon_domain::role::Role;
use zmon_persistence::{DEVICE_DATABASE, STATION_DATABASE, SqlStationStore};
use zmon_protocol::device::DeviceWrite;
use zmon_protocol::station::CertificateState;
use zmon_provisioning::ports::DeviceStore;
use zmon_station::ports::{
    BatchItemRow, BatchRow, BatchWrite, CertificateRow, CrlRow, EnrolmentCredentialRow, LoginRow,
    OperatorRow, SessionState, StationStore, StationWrite, Wanted,
};
use zmon_testkit::TestDatabase;

use crate::common::{Device, Home, at, identity, now, record, slot};
use crate::memory::{Memory, root};
use crate::station_store::{Seeded, answer, certificate, device, reservation};

/// The tables of a station whose rows are carried over, those that others refer to first.
const TABLES: [&str; 16] = [
    "devices",
    "peer_checkpoints",
    "operators",
    "logins",
    "sessions",
    "session_states",
    "claimed_tokens",
    "certificates",
    "crls",
    "typed_tries",
    "recovery_counters",
    "enrolment_credentials",
    "batches",
    "batch_items",
    "security_audit_log",
    "audit_checkpoints",
];

/// Tables whose rows are in an order.
const LOGS: [&str; 2] = ["security_audit_log", "audit_checkpoints"];

/// Tables that have rows only once a database was set back, or that triggers fill.
const OTHERS: [&str; 2] = ["set_backs", "audit_lanes"];

/// A row in every table.
async fn fill(store: &SqlStationStore) {
    use CertificateState::{Current, Pending};
    let operator = OperatorId::parse("tess").unwrap();
    let state = SessionState::new(SecretBytes::copy_from(b"what a machine needs to go on"));
    let (open, serial) = (reservation(1, 1000), certificate(2).serial);
    let batch = BatchRow {
        id: BatchId::from_bytes([1; 16]),
        name: BatchName::parse("Ward 3").unwrap(),
        state: BatchState::Open,
        operator: operator.clone(),
        opened_at: at(1000),
    };
    let item = BatchItemRow {
        batch: batch.id,
        number: 1,
        device_id: Some(device(1).id),
        serial: None,
        identity: None,
        address: None,
        port: None,
        wanted: Wanted::default(),
        state: ItemState::Waiting,
        attempts: 0,
        operator: None,
        session: None,
        begun_at: None,
        ended_at: None,
        error: None,
        detail: None,
    };
    let writes = vec![
        StationWrite::ImportDevices(vec![device(1), device(2)]),
        StationWrite::PeerCheckpoint { device_id: device(1).id, checkpoint: "a.b.c".to_owned() },
        StationWrite::AddOperator(OperatorRow {
            id: operator.clone(),
            role: Role::Technician,
            password_hash: "$argon2id$x".to_owned(),
            disabled: false,
            one_time: false,
            created_at: at(5),
        }),
        StationWrite::AddLogin(LoginRow {
            token_hash: [1; 32],
            operator: operator.clone(),
            role: Role::Technician,
            expires_at: at(9000),
        }),
        StationWrite::Reserve(open.clone()),
        StationWrite::SessionState { session_id: open.id, state },
        StationWrite::ClaimToken { session_id: open.id, token_id: TokenId::from_bytes([1; 16]) },
        StationWrite::InsertCertificate(CertificateRow {
            device_id: device(2).id,
            ..certificate(2)
        }),
        StationWrite::Certificate {
            serial,
            from: Pending,
            to: Current,
            at: at(2000),
            reason: None,
        },
        StationWrite::PublishCrl(CrlRow {
            number: 1,
            this_update: at(1000),
            next_update: at(2000),
            der: vec![1, 2, 3],
        }),
        StationWrite::SpendTry {
            session_id: open.id,
            operator,
            window_id: WindowId::from_bytes([1; 16]),
            at: at(1000),
        },
        StationWrite::RecoveryCounter { device_id: device(1).id, counter: 4 },
        StationWrite::PermitEnrolment(EnrolmentCredentialRow {
            device_id: device(1).id,
            hash: [6; 32],
            expires_at: at(2000),
            spent_by: None,
        }),
        StationWrite::Batch(BatchWrite::Open(Box::new(batch), vec![item])),
    ];
    answer(store, writes).await.unwrap();
    store.write_checkpoint(&now()).await.unwrap();
    answer(store, vec![StationWrite::ImportDevices(vec![device(3)])]).await.unwrap();
}

async fn migrations(folder: &str) -> Vec<Migration> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(folder);
    Migrator::new(folder).await.unwrap().iter().cloned().collect()
}

/// The migrations up to each but the last.
async fn earlier(folder: &str) -> Vec<(i64, Migrator)> {
    let all = migrations(folder).await;
    assert!(all.len() > 3, "{folder}");
    let before = |count| Migrator::with_migrations(all[..count].to_vec());
    (1..all.len()).map(|count| (all[count - 1].version, before(count))).collect()
}

/// After the upgrade: rows are whole, the log verifies and goes on.
async fn goes_on(store: SqlStationStore, version: i64) {
    let store = store.with_checkpoints(Arc::new(identity(70)), Arc::new(Seeded));
    let store = store.with_sessions(root(7), Arc::new(Seeded));
    let log = store.audit_log().clone().signed_by(identity(70).public().clone());
    let found = log.verify().await.unwrap();
    assert_eq!((found.damage(), found.rows(), found.checkpoints), (None, 2, 2), "{version}");
    answer(&store, vec![StationWrite::ImportDevices(vec![device(9)])]).await.unwrap();
    store.write_checkpoint(&now()).await.unwrap();
    let found = log.verify().await.unwrap();
    assert_eq!((found.damage(), found.rows(), found.checkpoints), (None, 3, 3), "{version}");
    assert_eq!(store.device(&device(9).id).await.unwrap(), Some(device(9)), "{version}");
}

async fn texts(sql: &mut SqliteConnection, query: String) -> Vec<String> {
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(sql).await.unwrap()
}

async fn sqlite_tables(sql: &mut SqliteConnection, of: &str) -> Vec<String> {
    let query = format!(
        "SELECT name FROM {of}.sqlite_schema WHERE type = 'table' \
         AND name NOT LIKE '\\_sqlx%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    );
    texts(sql, query).await
}

async fn sqlite_columns(sql: &mut SqliteConnection, table: &str) -> String {
    texts(sql, format!("SELECT name FROM pragma_table_info('{table}', 'main')")).await.join(", ")
}

async fn run(sql: &mut SqliteConnection, statements: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(statements)).execute(sql).await;
    done.unwrap_or_else(|error| panic!("{statements}: {error}"));
}

/// A database made by `migrations`, with the rows of another one, which it knows as `new`.
async fn old_sqlite(
    home: &Home,
    name: &str,
    migrations: &Migrator,
    new: &Path,
    tables: &[&str],
) -> SqliteConnection {
    home.dir().create_file(name, b"").unwrap();
    let mut sql = home.sql(name).await;
    migrations.run(&mut sql).await.unwrap();
    run(&mut sql, &format!("ATTACH DATABASE '{}' AS new", new.display())).await;
    let there = sqlite_tables(&mut sql, "main").await;
    for table in tables.iter().filter(|table| there.iter().any(|name| name == *table)) {
        let columns = sqlite_columns(&mut sql, table).await;
        let order = if LOGS.contains(table) { " ORDER BY id" } else { "" };
        let copy =
            format!("INSERT INTO {table} ({columns}) SELECT {columns} FROM new.{table}{order}");
        run(&mut sql, &copy).await;
    }
    sql
}

#[tokio::test]
async fn a_station_of_every_earlier_program_is_taken_over_in_sqlite() {
    let present = Memory::sqlite();
    let store = present.open_sql().await.with_checkpoints(Arc::new(identity(70)), Arc::new(Seeded));
    fill(&store).await;
    drop(store);
    let Memory::Sqlite(present) = &present else { panic!("a directory") };
    let mut all = present.sql(STATION_DATABASE).await;
    let tables = sqlite_tables(&mut all, "main").await;
    for table in &tables {
        let known = TABLES.contains(&table.as_str());
        assert!(known || OTHERS.contains(&table.as_str()), "{table} is not carried over");
        let count = crate::common::number(&mut all, &format!("SELECT count(*) FROM {table}")).await;
        assert!(count > 0 || !known, "{table} has no row, so that nothing shows that it is kept");
    }
    for (version, migrations) in earlier("station").await {
        let home = Home::new();
        let new = present.file(STATION_DATABASE);
        let mut old = old_sqlite(&home, STATION_DATABASE, &migrations, &new, &TABLES).await;
        let there = sqlite_tables(&mut old, "main").await;
        let mut kept = Vec::new();
        for table in &there {
            let columns = sqlite_columns(&mut old, table).await;
            kept.push((table.clone(), columns));
        }
        old.close().await.unwrap();
        let station = StationId::parse("cs-1").unwrap();
        let store = SqlStationStore::open(home.dir(), &station).await;
        let store = store.unwrap_or_else(|error| panic!("{version}: {}", error.describe()));
        let mut sql = home.sql(STATION_DATABASE).await;
        run(&mut sql, &format!("ATTACH DATABASE '{}' AS new", new.display())).await;
        for (table, columns) in &kept {
            let differ = format!(
                "SELECT count(*) FROM (SELECT {columns} FROM main.{table} EXCEPT \
                 SELECT {columns} FROM new.{table} UNION ALL \
                 SELECT * FROM (SELECT {columns} FROM new.{table} EXCEPT \
                 SELECT {columns} FROM main.{table}))"
            );
            let count = crate::common::number(&mut sql, &differ).await;
            assert_eq!(count, 0, "{version}: {table}");
        }
        drop(sql);
        goes_on(store, version).await;
    }
}

/// Rows of a table as one JSON array, with the columns that `of` has.
async fn rows_of(from: &mut PgConnection, table: &str, columns: &str) -> String {
    let order = if LOGS.contains(&table) { "ORDER BY id" } else { "" };
    let query = format!(
        "SELECT coalesce(json_agg(t), '[]')::text FROM (SELECT {columns} FROM {table} {order}) t"
    );
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(from).await.unwrap()
}

async fn postgres_columns(sql: &mut PgConnection, table: &str) -> String {
    let query = "SELECT string_agg(column_name, ', ' ORDER BY ordinal_position) \
         FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1";
    let columns: Option<String> =
        sqlx::query_scalar(query).bind(table).fetch_one(sql).await.unwrap();
    columns.unwrap_or_default()
}

#[tokio::test]
async fn a_station_of_every_earlier_program_is_taken_over_in_postgresql() {
    let present = Memory::postgres().await;
    let store = present.open_sql().await.with_checkpoints(Arc::new(identity(70)), Arc::new(Seeded));
    fill(&store).await;
    drop(store);
    let Memory::Postgres(present) = &present else { panic!("a database") };
    let mut new = present.sql().await;
    let tables = sqlx::query(
        "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public' \
         AND table_type = 'BASE TABLE' AND table_name <> '_sqlx_migrations'",
    );
    for row in tables.fetch_all(&mut new).await.unwrap() {
        let table: String = row.get(0);
        let known = TABLES.contains(&table.as_str());
        assert!(known || OTHERS.contains(&table.as_str()), "{table} is not carried over");
        let columns = postgres_columns(&mut new, &table).await;
        let rows = rows_of(&mut new, &table, &columns).await;
        assert!(
            !known || rows != "[]",
            "{table} has no row, so that nothing shows that it is kept"
        );
    }
    for (version, migrations) in earlier("station-postgres").await {
        let database = TestDatabase::create().await;
        let mut old = database.sql().await;
        migrations.run(&mut old).await.unwrap();
        let mut kept = Vec::new();
        for table in TABLES {
            let columns = postgres_columns(&mut old, table).await;
            if columns.is_empty() {
                continue;
            }
            let rows = rows_of(&mut new, table, &columns).await;
            let copy = format!(
                "INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE \
                 SELECT {columns} FROM json_populate_recordset(NULL::{table}, $1::json)"
            );
            sqlx::query(AssertSqlSafe(copy)).bind(&rows).execute(&mut old).await.unwrap();
            kept.push((table, columns, rows));
        }
        // What was copied with its number does not raise the counter of the numbers.
        let counter = "SELECT setval(pg_get_serial_sequence('security_audit_log', 'id'), \
             (SELECT max(id) FROM security_audit_log))";
        sqlx::raw_sql(counter).execute(&mut old).await.unwrap();
        old.close().await.unwrap();

        let station = StationId::parse("cs-1").unwrap();
        let main = InstanceName::default();
        let store = SqlStationStore::connect(&database.parsed(), &station, &main).await;
        let store = store.unwrap_or_else(|error| panic!("{version}: {}", error.describe()));
        let mut sql = database.sql().await;
        for (table, columns, rows) in kept {
            assert_eq!(rows_of(&mut sql, table, &columns).await, rows, "{version}: {table}");
        }
        goes_on(store, version).await;
    }
}

#[tokio::test]
async fn a_device_of_every_earlier_program_is_taken_over() {
    let present = Home::new();
    let made = Device::create(&present).await;
    let writes = vec![DeviceWrite::StageB(slot(1)), DeviceWrite::Flip];
    let written = record(&[EventType::ConfigurationApplied], writes);
    made.store.commit(&now(), &written).await.unwrap();
    made.store.write_checkpoint(&now()).await.unwrap();
    drop(made);
    let mut all = present.sql(DEVICE_DATABASE).await;
    let tables = sqlite_tables(&mut all, "main").await;
    let tables: Vec<_> = tables.iter().map(String::as_str).collect();
    // The first migration makes a log and no device: no program left that behind.
    for (version, migrations) in earlier("device").await.into_iter().skip(1) {
        let home = present.copy();
        for name in ["", "-wal", "-shm"] {
            let _absent = std::fs::remove_file(home.file(&format!("{DEVICE_DATABASE}{name}")));
        }
        let new = present.file(DEVICE_DATABASE);
        // A row of its own comes with the tables.
        let own: Vec<_> = tables.iter().copied().filter(|table| *table != "device_state").collect();
        let mut old = old_sqlite(&home, DEVICE_DATABASE, &migrations, &new, &own).await;
        let columns = sqlite_columns(&mut old, "device_state").await;
        let state = format!(
            "DELETE FROM device_state; \
             INSERT INTO device_state ({columns}) SELECT {columns} FROM new.device_state"
        );
        run(&mut old, &state).await;
        old.close().await.unwrap();
        let device = Device::open(&home).await;
        let found = device.store.verify_audit().await.unwrap();
        assert!(found.is_intact(), "{version}: {found:?}");
        let boot = device.store.load().await.unwrap();
        assert_eq!(boot.slot_a.map(|slot| slot.generation), Some(1), "{version}");
        device.store.commit(&now(), &record(&[EventType::Started], vec![])).await.unwrap();
    }
}
