//! A database of PostgreSQL for one test.

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use zmon_persistence::PostgresUrl;

use crate::wait;

/// Names the server and an account that may make databases.
const VARIABLE: &str = "ZMON_TEST_POSTGRES";
/// The server of a machine for development.
const DEFAULT: &str = "postgres://postgres@127.0.0.1:5432/postgres";
/// How the databases of tests are called; then come the second they were made in, and chance.
const PREFIX: &str = "zmon_test_";
/// After so many seconds a database is left over from a test that was killed.
const LEFT_OVER: i64 = 3600;

/// An empty database, gone with the value.
pub struct TestDatabase {
    admin: String,
    name: String,
}

impl TestDatabase {
    /// Makes it, and removes what killed tests have left over.
    ///
    /// # Panics
    /// When there is no server, or the account may not make databases.
    pub async fn create() -> Self {
        #[expect(clippy::disallowed_methods, reason = "how a test finds its server")]
        let admin = std::env::var(VARIABLE).unwrap_or_else(|_| DEFAULT.to_owned());
        let chance = getrandom::u64().expect("the operating system has randomness");
        let name = format!("{PREFIX}{}_{chance:016x}", now());
        let database = Self { admin, name };
        let mut server = database.server().await;
        clean_up(&mut server).await;
        run(&mut server, &format!("CREATE DATABASE {}", database.name)).await;
        database
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        let (server, query) = self.admin.split_once('?').unwrap_or((&self.admin, ""));
        let (server, _) = server.rsplit_once('/').expect("the URL names a database");
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{server}/{}{mark}{query}", self.name)
    }

    /// The same, read.
    ///
    /// # Panics
    /// When the variable holds no URL of a database on this machine.
    #[must_use]
    pub fn parsed(&self) -> PostgresUrl {
        PostgresUrl::parse(&self.url()).expect("a URL of a database")
    }

    /// A connection of whoever else has one.
    ///
    /// # Panics
    /// When the server is gone.
    pub async fn sql(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.expect("the database is there")
    }

    /// The number that a query finds.
    ///
    /// # Panics
    /// When the database is gone, or finds no number.
    pub async fn number(&self, query: &str) -> i64 {
        number(&mut self.sql().await, query).await
    }

    /// The pairs of texts that a query finds.
    ///
    /// # Panics
    /// When the database is gone, or finds something else.
    pub async fn pairs(&self, query: &str) -> Vec<(String, String)> {
        let found = sqlx::query_as(AssertSqlSafe(query)).fetch_all(&mut self.sql().await).await;
        found.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// Runs statements of whoever may do anything.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn run(&self, statements: &str) {
        run(&mut self.sql().await, statements).await;
    }

    /// A connection to another database of the same server.
    ///
    /// # Panics
    /// When there is no server.
    pub async fn server(&self) -> PgConnection {
        match PgConnection::connect(&self.admin).await {
            Ok(server) => server,
            Err(error) => panic!(
                "this test needs PostgreSQL 15 or later: start one, or name it with {VARIABLE} \
                 (default {DEFAULT}): {error}"
            ),
        }
    }

    /// Makes whoever would write to `table` wait, until the sessions are ended.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn stall(&self, table: &str) -> Stall {
        let mut sql = self.sql().await;
        run(&mut sql, &format!("BEGIN; LOCK TABLE {table} IN SHARE MODE")).await;
        Stall { sql, table: table.to_owned() }
    }

    /// Ends every session in it, as a restart of the server does: those that others wait for come last,
    /// so that nobody gets through because a [`Stall`] ended before him.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn end_sessions(&self) {
        let end = format!(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM ( \
               SELECT pid FROM pg_stat_activity AS session \
               WHERE datname = '{}' AND pid <> pg_backend_pid() \
               ORDER BY EXISTS (SELECT FROM pg_stat_activity AS waiting \
                 WHERE session.pid = ANY (pg_blocking_pids(waiting.pid))) \
             ) AS sessions",
            self.name
        );
        run(&mut self.server().await, &end).await;
    }

    /// Takes it away, or gives it back; sessions in it end.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn set_reachable(&self, is_reachable: bool) {
        let set = format!("ALTER DATABASE {} ALLOW_CONNECTIONS {is_reachable}", self.name);
        run(&mut self.server().await, &set).await;
        if !is_reachable {
            self.end_sessions().await;
        }
    }
}

/// A table that nobody can write to.
pub struct Stall {
    sql: PgConnection,
    table: String,
}

impl Stall {
    /// Waits until somebody waits to write to it.
    ///
    /// # Panics
    /// When nobody comes, or the session has ended.
    pub async fn reached(&mut self) {
        let waiting = format!(
            "SELECT count(*) FROM pg_locks WHERE relation = '{}'::regclass AND NOT granted",
            self.table
        );
        let what = format!("a writer of {}", self.table);
        let look = async {
            while number(&mut self.sql, &waiting).await == 0 {
                tokio::task::yield_now().await;
            }
        };
        wait::within(&what, look).await;
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (admin, name) = (self.admin.clone(), self.name.clone());
        // On a thread of its own: the test's runtime may be the one that runs this.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime starts").block_on(async {
                let mut server = PgConnection::connect(&admin).await?;
                let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut server).await.map(drop)
            })
        });
        if let Ok(Err(error)) = dropped.join() {
            eprintln!("zmon-testkit: database {} stays: {error}", self.name);
        }
    }
}

async fn clean_up(server: &mut PgConnection) {
    let names = format!("SELECT datname FROM pg_database WHERE datname LIKE '{PREFIX}%'");
    let names: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(names)).fetch_all(&mut *server).await.expect("databases");
    for name in names {
        let made = name.strip_prefix(PREFIX).and_then(|rest| rest.split('_').next());
        let made: Option<i64> = made.and_then(|seconds| seconds.parse().ok());
        if made.is_some_and(|made| made < now() - LEFT_OVER) {
            let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            // Another test may be removing it too.
            let _gone = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *server).await;
        }
    }
}

async fn number(sql: &mut PgConnection, query: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(sql).await.expect("an answer")
}

async fn run(server: &mut PgConnection, statement: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(server).await;
    done.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// Unix seconds.
fn now() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "how old a database is")]
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(0)
}
