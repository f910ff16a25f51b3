//! The three kinds of work, and the floor of each: what nobody can leave out, measured in turn with it.

use core::time::Duration;
use std::sync::Arc;

use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection, raw_sql};
use tempfile::TempDir;
use zmon_bench::sample::Stopwatch;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::ids::{InstanceName, StationId};
use zmon_domain::role::Actor;
use zmon_domain::state::ProvisioningState;
use zmon_persistence::{PrivateDir, SqlStationStore};
use zmon_provisioning::ports::StationLink;
use zmon_station::ports::{StationRecord, StationStore};
use zmon_testkit::{Operator, SimulatedDevice, TestDatabase};
use zmon_transport::client::Ask;
use zmon_transport::station_link::TlsStationLink;
use zmon_wire::heartbeat::Heartbeat;

use crate::place::{Place, Took, server_time};

/// Rounds in which a work and its floor are measured in turn.
const ROUNDS: u32 = 10;
/// Audit rows, heartbeats and requests of each round.
const ROWS: u32 = 50;
const BEATS: u32 = 200;
const ASKED: u32 = 20;
/// Devices that are paired, one after the other, in each round.
const DEVICES: u32 = 6;

/// What anybody may ask, and how long an answer may take.
const HEALTH: &str = "/api/health";
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an audit row's record, and where it says it came from.
const ROW_BYTES: usize = 200;
const HERE: &str = "127.0.0.1";

/// What everything took, of one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Works {
    /// An audit row, appended to its lane and committed.
    pub(crate) row: Took,
    /// One row without a chain, committed.
    pub(crate) bare: Took,
    /// A request without a login over a kept connection: HTTP and nothing else.
    pub(crate) kept: Took,
    /// A heartbeat over a kept connection.
    pub(crate) beat: Took,
    /// A request without a login, over a connection of its own: a handshake and HTTP.
    pub(crate) asked: Took,
    /// A pairing, from the technician's request to its answer.
    pub(crate) pairing: Took,
    /// Bytes that one pairing adds to the database, and rows to the audit log.
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
}

pub(crate) async fn measure(place: &Place) -> Works {
    let mut sums = Works::default();
    let mut audit = Audit::open(place).await;
    let beating = paired(place, 0).await;
    let credentials = beating.credentials().await;
    let link = TlsStationLink::new(beating.tls());
    let stranger = place.station.stranger(&place.clock);
    let mut kept = stranger.connection().await.expect("a connection");
    let mut beats = 0;
    let before = place.kept().await;
    for round in 0..ROUNDS {
        add(&mut sums.row, audit.rows(place).await, ROWS);
        add(&mut sums.bare, audit.bare().await, ROWS);

        let used = place.used().await;
        for _ in 0..BEATS {
            beats += 1;
            link.heartbeat(&credentials, &heartbeat(beats)).await.expect("answered");
        }
        add(&mut sums.beat, place.since(used).await, BEATS);

        let used = place.used().await;
        for _ in 0..BEATS {
            let answer = kept.send(Ask::get(HEALTH), PATIENCE).await.expect("an answer");
            assert!(answer.status.is_success(), "the station serves");
        }
        add(&mut sums.kept, place.since(used).await, BEATS);

        let used = place.used().await;
        for _ in 0..ASKED {
            health(&stranger).await;
        }
        add(&mut sums.asked, place.since(used).await, ASKED);

        for number in 0..DEVICES {
            let device = place.device(1 + (round * DEVICES + number) as usize).await;
            let qr = device.open_window().await;
            let used = place.used().await;
            place.technician.pair(&qr).await.expect("paired");
            add(&mut sums.pairing, place.since(used).await, DEVICES);
        }
    }
    let after = place.kept().await;
    let pairings = u64::from(ROUNDS * DEVICES);
    sums.bytes = after.0.saturating_sub(before.0) / pairings;
    sums.rows = after.1.saturating_sub(before.1) / pairings;
    sums
}

/// Adds one of `count` in one of the rounds.
fn add(sum: &mut Took, took: Took, count: u32) {
    let share = |time: Duration| time / count / ROUNDS;
    sum.cost.wall += share(took.cost.wall);
    sum.cost.cpu += share(took.cost.cpu);
    sum.server += share(took.server);
}

async fn paired(place: &Place, number: usize) -> SimulatedDevice {
    let device = place.device(number).await;
    let qr = device.open_window().await;
    place.technician.pair(&qr).await.expect("paired");
    device.until_connected().await;
    device
}

fn heartbeat(sequence: u64) -> Heartbeat {
    Heartbeat {
        sequence,
        uptime_seconds: sequence,
        bytes_sent: 0,
        errors: 0,
        state: ProvisioningState::Provisioned,
        audit_checkpoint: None,
    }
}

async fn health(stranger: &Operator) {
    let answer = stranger.try_send(Ask::get(HEALTH)).await.expect("an answer");
    assert!(answer.status.is_success(), "the station serves");
}

/// A log of the same kind beside the station's, and a table without a chain; this process writes both.
struct Audit {
    store: SqlStationStore,
    log: Option<TestDatabase>,
    bare: Bare,
    table: Option<TestDatabase>,
    made: i64,
    _dir: TempDir,
}

enum Bare {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Audit {
    async fn open(place: &Place) -> Self {
        let station = StationId::parse("station-9").expect("a station id");
        let dir = tempfile::tempdir().expect("a directory");
        let make = "CREATE TABLE bare (id BIGINT PRIMARY KEY, row TEXT NOT NULL)";
        if place.memory.is_some() {
            let (log, table) = (TestDatabase::create().await, TestDatabase::create().await);
            let name = InstanceName::default();
            let store = SqlStationStore::connect(&log.parsed(), &station, &name).await;
            table.run(make).await;
            let bare = Bare::Postgres(table.sql().await);
            let (store, log, table) = (store.expect("a database"), Some(log), Some(table));
            return Self { store, log, bare, table, made: 0, _dir: dir };
        }
        let home = PrivateDir::create(&dir.path().join("store")).expect("a directory");
        let store = SqlStationStore::open(Arc::new(home), &station).await.expect("a database");
        let options = SqliteConnectOptions::new()
            .filename(dir.path().join("bare.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let mut sql = SqliteConnection::connect_with(&options).await.expect("a database");
        raw_sql(make).execute(&mut sql).await.expect("a table");
        Self { store, log: None, bare: Bare::Sqlite(sql), table: None, made: 0, _dir: dir }
    }

    /// Appends audit rows, a commit each.
    async fn rows(&self, place: &Place) -> Took {
        let now = place.clock.now();
        let row = AuditEvent::new(EventType::LoginSucceeded, Actor::System);
        let record = StationRecord { audit: vec![row.with("source", HERE)], writes: Vec::new() };
        let (watch, server) = (Stopwatch::start(), server_time(self.log.as_ref()).await);
        for _ in 0..ROWS {
            self.store.commit(&now, &record).await.expect("a database").expect("a row");
        }
        self.took(watch, server, self.log.as_ref()).await
    }

    /// Adds rows of the same length to a table, a commit each.
    async fn bare(&mut self) -> Took {
        let insert = "INSERT INTO bare (id, row) VALUES ($1, $2)";
        let text = "x".repeat(ROW_BYTES);
        let (watch, server) = (Stopwatch::start(), server_time(self.table.as_ref()).await);
        for _ in 0..ROWS {
            self.made += 1;
            match &mut self.bare {
                Bare::Sqlite(sql) => {
                    let query = sqlx::query(insert).bind(self.made).bind(&text);
                    query.execute(sql).await.map(drop).expect("a row");
                }
                Bare::Postgres(sql) => {
                    let query = sqlx::query(insert).bind(self.made).bind(&text);
                    query.execute(sql).await.map(drop).expect("a row");
                }
            }
        }
        self.took(watch, server, self.table.as_ref()).await
    }

    async fn took(&self, watch: Stopwatch, before: Duration, of: Option<&TestDatabase>) -> Took {
        let cost = watch.cost();
        Took { cost, server: server_time(of).await.saturating_sub(before) }
    }
}
