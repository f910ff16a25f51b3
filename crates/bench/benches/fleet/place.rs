//! A station as it ships, on one database or the other.

use core::time::Duration;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use zmon_bench::process::cpu_time;
use zmon_bench::sample::{Cost, now};
use zmon_persistence::STATION_DATABASE;
use zmon_testkit::{
    DeviceOptions, Operator, RunningTime, Seed, SimulatedDevice, StationProgram, TestClock,
    TestDatabase,
};

/// The name of the one process.
const NAME: &str = "main";
const FRONT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// Step of the devices' clock.
const BEAT: Duration = Duration::from_millis(100);

/// The station, its memory, an administrator and a technician.
pub(crate) struct Place {
    pub(crate) station: StationProgram,
    pub(crate) memory: Option<Arc<TestDatabase>>,
    pub(crate) clock: TestClock,
    pub(crate) administrator: Operator,
    pub(crate) technician: Operator,
    seed: Seed,
    _time: RunningTime,
}

/// What both have used so far.
pub(crate) struct Used {
    at: std::time::Instant,
    station: Duration,
    server: Duration,
}

/// What some work took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Took {
    /// Wall clock and CPU time of the station, or of this process where the work is done in it.
    pub(crate) cost: Cost,
    /// CPU time of the processes of PostgreSQL that worked for it.
    pub(crate) server: Duration,
}

impl Place {
    pub(crate) async fn start(program: PathBuf, memory: Option<Arc<TestDatabase>>) -> Self {
        let (clock, seed) = (TestClock::today(), Seed::from_environment());
        let time = clock.run_by(BEAT);
        let mut station =
            StationProgram::init(program, memory.clone(), seed.clone(), FRONT, &[HOST]).await;
        let mut technicians = station.technicians(1, &clock).await;
        station.start(NAME, 0);
        let administrator = station.administrator(&clock).await;
        let technician = technicians.remove(0);
        Self { station, memory, clock, administrator, technician, seed, _time: time }
    }

    pub(crate) fn name(&self) -> &'static str {
        if self.memory.is_some() { "PostgreSQL" } else { "SQLite" }
    }

    /// A registered device.
    pub(crate) async fn device(&self, number: usize) -> SimulatedDevice {
        let (clock, seed) = (self.clock.clone(), self.seed.clone());
        let options = DeviceOptions::trusting(self.station.anchor(), clock, seed);
        let device = SimulatedDevice::with(options.named(&format!("ZM-{number}"))).await;
        self.administrator.import(&[device.manifest()]).await.expect("registered");
        device
    }

    /// What the station and its database have used so far.
    pub(crate) async fn used(&self) -> Used {
        let station = cpu_time(self.station.pid(NAME)).expect("the station runs");
        Used { at: now(), station, server: server_time(self.memory.as_deref()).await }
    }

    /// What they have used since.
    pub(crate) async fn since(&self, before: Used) -> Took {
        let wall = now().saturating_duration_since(before.at);
        let used = self.used().await;
        Took {
            cost: Cost { wall, cpu: used.station.saturating_sub(before.station) },
            server: used.server.saturating_sub(before.server),
        }
    }

    /// Bytes of the database, and rows of the audit log.
    pub(crate) async fn kept(&self) -> (u64, u64) {
        let rows = "SELECT count(*) FROM security_audit_log";
        let (bytes, rows) = match &self.memory {
            Some(database) => {
                let bytes = "SELECT pg_database_size(current_database())";
                (database.number(bytes).await, database.number(rows).await)
            }
            None => {
                let file = self.station.directory_of(NAME).join(STATION_DATABASE);
                let options = SqliteConnectOptions::new().filename(file).read_only(true);
                let mut sql = SqliteConnection::connect_with(&options).await.expect("a database");
                let bytes = "SELECT page_count * page_size \
                     FROM pragma_page_count(), pragma_page_size()";
                let mut number = async |query| -> i64 {
                    let query = sqlx::query_scalar(AssertSqlSafe(query));
                    query.fetch_one(&mut sql).await.expect("a number")
                };
                (number(bytes).await, number(rows).await)
            }
        };
        let whole = |number| u64::try_from(number).unwrap_or(0);
        (whole(bytes), whole(rows))
    }
}

/// CPU time of PostgreSQL's processes for connections to a database.
pub(crate) async fn server_time(database: Option<&TestDatabase>) -> Duration {
    let Some(database) = database else { return Duration::ZERO };
    let sessions = "SELECT CAST(pid AS text), '' FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let pids = database.pairs(sessions).await;
    pids.iter().filter_map(|(pid, _)| cpu_time(pid.parse().ok()?)).sum()
}
