//! What lies on a disk: modes, secrets, and SQL behind a store's back.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use tempfile::TempDir;

use crate::wait;

/// A new directory that only its owner enters, gone with the value.
pub(crate) fn private(prefix: &str) -> TempDir {
    let mode = fs::Permissions::from_mode(0o700);
    tempfile::Builder::new().prefix(prefix).permissions(mode).tempdir().expect("a directory")
}

/// Writes a new file that only its owner reads (0600).
pub(crate) fn write_private(path: &Path, bytes: &[u8]) {
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(bytes)).expect("a file is written");
}

/// Every file below `dir`, sorted.
///
/// # Panics
/// When the directory cannot be read.
#[must_use]
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder is read") {
            let path = entry.expect("a folder is read").path();
            // A database removes its log while we look.
            let Ok(meta) = fs::symlink_metadata(&path) else { continue };
            if meta.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The files below `dir` that hold `needle`.
///
/// # Panics
/// As [`files`].
#[must_use]
pub fn files_with(dir: &Path, needle: &[u8]) -> Vec<PathBuf> {
    let holds = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap_or_default();
        bytes.windows(needle.len()).any(|window| window == needle)
    };
    files(dir).into_iter().filter(holds).collect()
}

/// What lies below `dir`, itself included, that others than the owner may reach: path and mode.
///
/// # Panics
/// As [`files`].
#[must_use]
pub fn reachable_by_others(dir: &Path) -> Vec<(PathBuf, u32)> {
    let mut folders = vec![dir.to_owned()];
    folders.extend(files(dir).iter().filter_map(|file| file.parent().map(Path::to_owned)));
    folders.sort();
    folders.dedup();
    let mode = |path: PathBuf| {
        let mode = fs::metadata(&path).map_or(0, |meta| meta.permissions().mode() & 0o777);
        (path, mode)
    };
    let wide = |mode: u32| mode & 0o077 != 0;
    folders.into_iter().chain(files(dir)).map(mode).filter(|(_, bits)| wide(*bits)).collect()
}

/// Until nobody has this database open any more, and its log has gone into it. SQLite's connections close on threads of
/// their own, and where one that only reads is the last of them the log stays.
pub(crate) async fn closed(database: &Path) {
    let log = PathBuf::from(format!("{}-wal", database.display()));
    let closed = async || {
        let url = format!("sqlite://{}", database.display());
        let mut sql = SqliteConnection::connect(&url).await.ok()?;
        let read = sqlx::query(AssertSqlSafe("SELECT 1 FROM sqlite_schema"));
        let _busy = read.execute(&mut sql).await;
        sql.close().await.ok()?;
        (!log.exists()).then_some(())
    };
    wait::eventually("the database to be closed", closed).await;
}

/// Every file below a directory, to be put back later. Take and restore it while nobody works there.
pub struct Snapshot {
    dir: PathBuf,
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Snapshot {
    /// Reads every file below `dir`.
    ///
    /// # Panics
    /// As [`files`].
    #[must_use]
    pub fn take(dir: &Path) -> Self {
        let read = |path: PathBuf| {
            let bytes = fs::read(&path).expect("a file is read");
            (path, bytes)
        };
        Self { dir: dir.to_owned(), files: files(dir).into_iter().map(read).collect() }
    }

    /// The files and what is in them.
    #[must_use]
    pub fn files(&self) -> &[(PathBuf, Vec<u8>)] {
        &self.files
    }

    /// Puts every file back as it was and removes what came since.
    ///
    /// # Panics
    /// When a file cannot be written.
    pub fn restore(&self) {
        for stray in files(&self.dir) {
            match fs::remove_file(stray) {
                // SQLite's last connection, closing behind a stop, was faster.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                removed => removed.expect("a file is removed"),
            }
        }
        for (path, bytes) in &self.files {
            fs::write(path, bytes).expect("a file is written");
            set_mode(path, 0o600);
        }
    }
}

/// Changes the mode of a file or directory.
///
/// # Panics
/// When it cannot be changed.
pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the mode is set");
}

/// Runs SQL on a database beside the process that owns it.
///
/// # Panics
/// When the database refuses.
pub async fn sql(database: &Path, statement: &str) {
    let mut connection = open(database).await;
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(&mut connection)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
    drop(connection.close().await);
}

/// The number a query answers.
///
/// # Panics
/// As [`sql`].
pub async fn number(database: &Path, query: &str) -> i64 {
    let mut connection = open(database).await;
    let number = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut connection).await;
    drop(connection.close().await);
    number.unwrap_or_else(|error| panic!("{query}: {error}"))
}

/// The texts a query answers, one a row.
///
/// # Panics
/// As [`sql`].
pub async fn texts(database: &Path, query: &str) -> Vec<String> {
    let mut connection = open(database).await;
    let texts = sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(&mut connection).await;
    drop(connection.close().await);
    texts.unwrap_or_else(|error| panic!("{query}: {error}"))
}

/// From now on no audit row can be written in this database.
///
/// # Panics
/// As [`sql`].
pub async fn refuse_audit_rows(database: &Path) {
    sql(
        database,
        "CREATE TRIGGER testkit_refuses BEFORE INSERT ON security_audit_log \
         BEGIN SELECT RAISE(ABORT, 'the log is full'); END",
    )
    .await;
}

/// Audit rows can be written again.
///
/// # Panics
/// As [`sql`].
pub async fn accept_audit_rows(database: &Path) {
    sql(database, "DROP TRIGGER testkit_refuses").await;
}

async fn open(database: &Path) -> SqliteConnection {
    let url = format!("sqlite://{}", database.display());
    SqliteConnection::connect(&url).await.expect("the database opens")
}
