//! Where a station of a test keeps its memory: the same suite runs on both databases, and on the store of
//! simulated wards, which must promise nothing else.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, PgConnection, SqliteConnection};
use zmon_crypto::{RootSecret, Secret32};
use zmon_domain::ids::{InstanceName, StationId};
use zmon_persistence::{AuditLog, STATION_DATABASE, SqlStationStore};
use zmon_station::ports::StationStore;
use zmon_testkit::TestDatabase;
use zmon_ward::{Medium, MemoryStationStore, Ram, Tables};

use crate::common::Home;
use crate::station_store::Seeded;

/// A place for one station's database, empty at first.
pub(crate) enum Memory {
    Sqlite(Home),
    Postgres(TestDatabase),
    Simulated(Arc<Ram<Tables>>),
}

impl Memory {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(Home::new())
    }

    pub(crate) async fn postgres() -> Self {
        Self::Postgres(TestDatabase::create().await)
    }

    /// The store of simulated wards, on memory that never fails.
    pub(crate) async fn simulated() -> Self {
        let ram: Arc<Ram<Tables>> = Arc::default();
        let empty = MemoryStationStore::empty(&StationId::parse("cs-1").unwrap());
        ram.write(empty, Box::new(|| ())).await.unwrap();
        Self::Simulated(ram)
    }

    /// The station's store, made if need be.
    pub(crate) async fn open(&self) -> Arc<dyn StationStore> {
        match self {
            Self::Simulated(ram) => Arc::new(MemoryStationStore::new(Arc::clone(ram) as _)),
            Self::Sqlite(_) | Self::Postgres(_) => Arc::new(self.open_sql().await),
        }
    }

    /// The same in SQL.
    pub(crate) async fn open_sql(&self) -> SqlStationStore {
        let station = StationId::parse("cs-1").unwrap();
        let store = match self {
            Self::Sqlite(home) => SqlStationStore::open(home.dir(), &station).await,
            Self::Postgres(database) => {
                let main = InstanceName::default();
                SqlStationStore::connect(&database.parsed(), &station, &main).await
            }
            Self::Simulated(_) => panic!("there is no SQL in it"),
        };
        store.unwrap().with_sessions(root(7), Arc::new(Seeded))
    }

    /// The audit log, read beside the station.
    pub(crate) async fn log(&self) -> AuditLog {
        match self {
            Self::Sqlite(home) => AuditLog::open_station(&home.path()).await.unwrap(),
            Self::Postgres(database) => {
                AuditLog::connect_station(&database.parsed()).await.unwrap()
            }
            Self::Simulated(_) => panic!("there is no SQL in it"),
        }
    }

    /// A second connection, as whoever tampers has one.
    pub(crate) async fn sql(&self) -> Sql {
        match self {
            Self::Sqlite(home) => Sql::Sqlite(home.sql(STATION_DATABASE).await),
            Self::Postgres(database) => Sql::Postgres(database.sql().await),
            Self::Simulated(_) => panic!("there is no SQL in it"),
        }
    }
}

/// A station's root secret.
pub(crate) fn root(n: u8) -> RootSecret {
    RootSecret::from_secret(Secret32::from_bytes([n; 32]))
}

/// SQL behind a store's back.
pub(crate) enum Sql {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Sql {
    /// Runs statements, or says why not.
    pub(crate) async fn attempt(&mut self, statements: &str) -> Result<(), sqlx::Error> {
        let statements = sqlx::raw_sql(AssertSqlSafe(statements));
        match self {
            Self::Sqlite(sql) => statements.execute(sql).await.map(drop),
            Self::Postgres(sql) => statements.execute(sql).await.map(drop),
        }
    }

    pub(crate) async fn run(&mut self, statements: &str) {
        self.attempt(statements).await.unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// The text in the first column of the first row.
    pub(crate) async fn text(&mut self, query: &str) -> String {
        let query = AssertSqlSafe(query);
        match self {
            Self::Sqlite(sql) => sqlx::query_scalar(query).fetch_one(sql).await.unwrap(),
            Self::Postgres(sql) => sqlx::query_scalar(query).fetch_one(sql).await.unwrap(),
        }
    }

    /// From now on no value is too wrong to be stored.
    pub(crate) async fn drop_checks(&mut self) {
        let statement = match self {
            Self::Sqlite(_) => "PRAGMA ignore_check_constraints = ON",
            Self::Postgres(_) => {
                "DO $$ DECLARE k record; BEGIN FOR k IN SELECT conrelid::regclass AS relation, conname \
                 FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace \
                 LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', k.relation, k.conname); \
                 END LOOP; END $$"
            }
        };
        self.run(statement).await;
    }

    /// Bytes in hexadecimal, as this database writes them.
    pub(crate) fn bytes(&self, hex: &str) -> String {
        match self {
            Self::Sqlite(_) => format!("x'{hex}'"),
            Self::Postgres(_) => format!("'\\x{hex}'::bytea"),
        }
    }

    /// The ways in which this database can refuse every new audit row, and how each is taken back.
    pub(crate) fn refusals(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Sqlite(_) => &[
                (
                    "CREATE TRIGGER full BEFORE INSERT ON security_audit_log \
                     BEGIN SELECT RAISE(ABORT, 'the log is full'); END",
                    "DROP TRIGGER full",
                ),
                (
                    "CREATE TRIGGER full BEFORE INSERT ON security_audit_log \
                     BEGIN SELECT RAISE(ROLLBACK, 'the log is full'); END",
                    "DROP TRIGGER full",
                ),
            ],
            Self::Postgres(_) => &[(
                "CREATE TRIGGER is_full BEFORE INSERT ON security_audit_log \
                 FOR EACH ROW EXECUTE FUNCTION refuse('the log is full')",
                "DROP TRIGGER is_full ON security_audit_log",
            )],
        }
    }
}

/// Makes a test on each database of every function in the list.
macro_rules! on_both_databases {
    ($($name:ident,)*) => {
        mod in_sqlite {
            use crate::memory::Memory;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $name() {
                    super::$name(&Memory::sqlite()).await;
                }
            )*
        }
        mod in_postgresql {
            use crate::memory::Memory;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $name() {
                    super::$name(&Memory::postgres().await).await;
                }
            )*
        }
    };
}
pub(crate) use on_both_databases;

/// The same, and a test on the store of simulated wards.
macro_rules! on_every_store {
    ($($name:ident,)*) => {
        crate::memory::on_both_databases! { $($name,)* }
        mod in_a_ward {
            use crate::memory::Memory;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $name() {
                    super::$name(&Memory::simulated().await).await;
                }
            )*
        }
    };
}
pub(crate) use on_every_store;

/// How many rows the audit log has.
pub(crate) async fn rows(store: &(impl StationStore + ?Sized)) -> usize {
    let page = zmon_station::ports::AuditPage { after: 0, limit: 1000 };
    store.audit(page).await.unwrap().len()
}
