//! What only a database that others use too can show: races between stations, lost connections.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{InstanceName, OperatorId, SessionId, StationId, TokenId, WindowId};
use zmon_domain::role::Actor;
use zmon_persistence::{AuditLog, PersistenceError, PostgresUrl, SqlStationStore};
use zmon_protocol::station::CertificateState;
use zmon_station::ports::{StationRecord, StationStore, StationWrite, StoreError};
use zmon_testkit::{Relay, TestDatabase};

use crate::common::{at, now, session};
use crate::memory::{root, rows};
use crate::station_store::{Seeded, answer, certificate, device, race, reservation};

async fn station(url: &PostgresUrl, id: &str) -> Result<SqlStationStore, PersistenceError> {
    let (id, main) = (StationId::parse(id).unwrap(), InstanceName::default());
    let store = SqlStationStore::connect(url, &id, &main).await?;
    Ok(store.with_sessions(root(7), Arc::new(Seeded)))
}

/// Two stations on one database.
async fn pair() -> (TestDatabase, [Arc<SqlStationStore>; 2]) {
    let database = TestDatabase::create().await;
    let url = database.parsed();
    let stores = [station(&url, "cs-1").await.unwrap(), station(&url, "cs-2").await.unwrap()];
    (database, stores.map(Arc::new))
}

async fn one() -> (TestDatabase, SqlStationStore) {
    let database = TestDatabase::create().await;
    let store = station(&database.parsed(), "cs-1").await.unwrap();
    (database, store)
}

/// Lanes with their numbers of rows; the whole log must be intact.
async fn lanes(database: &TestDatabase) -> Vec<(String, u64)> {
    let log = AuditLog::connect_station(&database.parsed()).await.unwrap();
    let found = log.verify().await.unwrap();
    assert_eq!(found.damage(), None);
    found.lanes.into_iter().map(|lane| (lane.lane, lane.rows)).collect()
}

fn import(n: u8) -> StationRecord {
    StationRecord {
        audit: vec![AuditEvent::new(EventType::RegistryImported, Actor::System)],
        writes: vec![StationWrite::ImportDevices(vec![device(n)])],
    }
}

/// T5, with a station on each side.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_at_two_stations_exactly_one_wins() {
    let (database, stores) = pair().await;
    for round in 0..4_u8 {
        let token_id = TokenId::from_bytes([200 + round; 16]);
        let winners = race(&stores, move |n| {
            vec![StationWrite::ClaimToken { session_id: SessionId::from_bytes([n; 16]), token_id }]
        });
        assert_eq!(winners.await, 1, "redemptions of one token");
    }
    let winners = race(&stores, |n| vec![StationWrite::Reserve(reservation(n, 1000))]).await;
    assert_eq!(winners, 1, "reservations of one device");
    let winners = race(&stores, |n| {
        let mut row = certificate(n + 1);
        row.session = session(255);
        vec![StationWrite::InsertCertificate(row)]
    });
    assert_eq!(winners.await, 1, "certificates of one session");
    let issued = stores[0].certificate_of_session(&session(255)).await.unwrap().unwrap().serial;
    let winners = race(&stores, move |_| {
        let (from, to) = (CertificateState::Pending, CertificateState::Current);
        vec![StationWrite::Certificate { serial: issued, from, to, at: at(1100), reason: None }]
    });
    assert_eq!(winners.await, 1, "commits of one certificate");
    let written: u64 = lanes(&database).await.iter().map(|(_, rows)| rows).sum();
    assert_eq!(written, 7, "winners wrote a row each, losers none");
}

/// Counting and writing is one step even where two stations count at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_stations_together_give_no_more_tries_than_one() {
    let (_database, stores) = pair().await;
    let tess = OperatorId::parse("tess").unwrap();
    let winners = race(&stores, |n| {
        vec![StationWrite::SpendTry {
            session_id: session(n),
            operator: tess.clone(),
            window_id: WindowId::from_bytes([9; 16]),
            at: at(1000),
        }]
    });
    assert_eq!(winners.await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_stations_append_to_lanes_of_their_own() {
    let (database, stores) = pair().await;
    let taken = race(&stores, |n| vec![StationWrite::ImportDevices(vec![device(n)])]).await;
    assert_eq!(taken, 64);
    let expected = [("station:cs-1".to_owned(), 32), ("station:cs-2".to_owned(), 32)];
    assert_eq!(lanes(&database).await, expected);
    assert_eq!(rows(&*stores[1]).await, 32, "a station shows its own lane");
}

#[tokio::test]
async fn one_process_at_a_time_writes_for_a_station() {
    let (database, first) = one().await;
    let url = database.parsed();
    let refused = station(&url, "cs-1").await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::StateConflict);
    assert!(refused.describe().contains("another process writes as station:cs-1"), "{refused}");
    first.commit(&now(), &import(1)).await.unwrap().unwrap();

    // Whoever lost its connections, and with them the lane, does not write beside the next one.
    database.end_sessions().await;
    let second = station(&url, "cs-1").await.unwrap();
    second.commit(&now(), &import(2)).await.unwrap().unwrap();
    let late = first.commit(&now(), &import(3)).await;
    assert!(matches!(&late, Err(StoreError::Unavailable(why)) if why.contains("another process")));
    drop(second);
    first.commit(&now(), &import(3)).await.unwrap().unwrap();
    assert_eq!(lanes(&database).await, [("station:cs-1".to_owned(), 3)]);
}

#[tokio::test]
async fn sessions_that_the_server_ended_are_not_noticed() {
    let (database, store) = one().await;
    for n in 1..6 {
        store.commit(&now(), &import(n)).await.unwrap().unwrap();
        assert_eq!(rows(&store).await, usize::from(n));
        database.end_sessions().await;
    }
    assert!(store.device(&device(5).id).await.unwrap().is_some());
}

#[tokio::test]
async fn while_the_database_is_gone_nothing_is_done_and_then_everything_works_again() {
    let (database, store) = one().await;
    store.commit(&now(), &import(1)).await.unwrap().unwrap();
    database.set_reachable(false).await;
    for _ in 0..3 {
        let commit = store.commit(&now(), &import(2)).await;
        assert!(matches!(commit, Err(StoreError::Unavailable(_))), "{commit:?}");
        let read = store.device(&device(1).id).await;
        assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
        let log = store.verify_audit().await;
        assert!(matches!(log, Err(StoreError::Unavailable(_))), "{log:?}");
    }
    database.set_reachable(true).await;
    assert_eq!(store.device(&device(2).id).await.unwrap(), None);
    store.commit(&now(), &import(2)).await.unwrap().unwrap();
    assert_eq!(lanes(&database).await, [("station:cs-1".to_owned(), 2)]);
}

/// Makes every commit that adds a device wait for lock 7.
const WAIT_AT_COMMIT: &str = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS \
     $$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END $$; \
     CREATE CONSTRAINT TRIGGER waits AFTER INSERT ON devices DEFERRABLE INITIALLY DEFERRED \
     FOR EACH ROW EXECUTE FUNCTION wait()";

async fn run(sql: &mut PgConnection, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(sql).await.unwrap();
}

/// Waits until as many sessions wait for lock 7.
async fn waiting(sql: &mut PgConnection, count: i64) {
    let statement = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 \
         AND NOT granted";
    loop {
        let found: i64 = sqlx::query_scalar(statement).fetch_one(&mut *sql).await.unwrap();
        if found == count {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_the_server_gave_up_is_made_again() {
    let (database, store) = one().await;
    let mut sql = database.sql().await;
    run(&mut sql, WAIT_AT_COMMIT).await;
    run(&mut sql, "SELECT pg_advisory_lock(7)").await;
    let store = Arc::new(store);
    let commit = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.commit(&now(), &import(1)).await })
    };
    waiting(&mut sql, 1).await;
    let stop = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE objid = 7 AND NOT granted";
    run(&mut sql, stop).await;
    run(&mut sql, "SELECT pg_advisory_unlock(7)").await;
    commit.await.unwrap().unwrap().unwrap();
    assert!(store.device(&device(1).id).await.unwrap().is_some());
    assert_eq!(lanes(&database).await, [("station:cs-1".to_owned(), 1)], "once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_was_lost_counts_as_what_it_was() {
    let database = TestDatabase::create().await;
    let options: sqlx::postgres::PgConnectOptions = database.url().parse().unwrap();
    let server = format!("{}:{}", options.get_host(), options.get_port()).parse().unwrap();
    let relay = Relay::between("127.0.0.1:0".parse().unwrap(), server).await;
    let (_, name) = database.url().rsplit_once('/').map(|(a, b)| (a.len(), b.to_owned())).unwrap();
    let user = options.get_username();
    let through = PostgresUrl::parse(&format!("postgres://{user}@{}/{name}", relay.address()));
    let store = Arc::new(station(&through.unwrap(), "cs-1").await.unwrap());
    let mut sql = database.sql().await;
    run(&mut sql, WAIT_AT_COMMIT).await;
    run(&mut sql, "SELECT pg_advisory_lock(7)").await;
    let commit = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.commit(&now(), &import(1)).await })
    };
    waiting(&mut sql, 1).await;
    let before = relay.count();
    relay.cut();
    // The store asks over the next connection, and waits for the old one to come to its end.
    relay.connected(before + 1).await;
    run(&mut sql, "SELECT pg_advisory_unlock(7)").await;
    commit.await.unwrap().unwrap().unwrap();
    assert_eq!(lanes(&database).await, [("station:cs-1".to_owned(), 1)], "once");
    assert!(store.device(&device(1).id).await.unwrap().is_some());
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_not_waited_for() {
    let (database, store) = one().await;
    let mut sql = database.sql().await;
    let mut held = sql.begin().await.unwrap();
    run(&mut held, "LOCK TABLE devices IN ACCESS EXCLUSIVE MODE").await;
    let answer = store.device(&device(1).id).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    held.rollback().await.unwrap();
    assert_eq!(store.device(&device(1).id).await.unwrap(), None);
}

#[tokio::test]
async fn what_cannot_be_reached_is_named_without_its_password() {
    let database = TestDatabase::create().await;
    let options: sqlx::postgres::PgConnectOptions = database.url().parse().unwrap();
    let (user, port) = (options.get_username(), options.get_port());
    let absent = format!("postgres://{user}:hunter2@127.0.0.1:{port}/zmon_absent");
    let silent = "postgres://postgres:hunter2@127.0.0.1:1/zmon_absent".to_owned();
    // Nobody vouches for what a server of a test calls itself.
    let untrusted = format!("{}?sslmode=verify-full", database.url());
    for url in [absent, silent, untrusted] {
        let url = PostgresUrl::parse(&url).unwrap();
        let error = station(&url, "cs-1").await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::StorageUnavailable, "{error}");
        let text = format!("{} {error:?}", error.describe());
        assert!(text.contains(&url.to_string()) && !text.contains("hunter2"), "{text}");
    }
    let empty = AuditLog::connect_station(&database.parsed()).await.unwrap_err();
    assert_eq!(empty.code(), ErrorCode::NotInitialised);
}

#[tokio::test]
async fn a_database_belongs_to_the_station_that_wrote_first() {
    let (database, stores) = pair().await;
    assert_eq!(stores[0].owner().await.unwrap(), None);
    answer(&*stores[1], vec![]).await.unwrap();
    answer(&*stores[0], vec![]).await.unwrap();
    for store in &stores {
        assert_eq!(store.owner().await.unwrap().unwrap().as_str(), "cs-2");
    }
    assert_eq!(lanes(&database).await.len(), 2);
}
