//! What is looked at before SQLite is allowed to interpret a database file.

use std::fs::File;
use std::io::Read;

use sqlx::{Row, SqliteConnection};
use zmon_crypto::sha256;
use zmon_domain::error::ErrorCode;

use super::schema::Schema;
use crate::error::{PersistenceError, Result};
use crate::fs::PrivateDir;
use crate::hex;

/// Length of SQLite's file header (file format §1.3).
const HEADER: usize = 100;
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Two bytes; 1 stands for 65,536.
const PAGE_SIZE: usize = 16;
const PAGE_COUNT: usize = 28;
const USER_VERSION: usize = 60;
const APPLICATION_ID: usize = 68;

/// Checks mode, links and owner of the file and its companions, then the raw header: a newer schema
/// is refused before a single page is interpreted.
pub(super) fn file(dir: &PrivateDir, name: &str, schema: &Schema) -> Result<()> {
    let mut pending = 0;
    for companion in ["-wal", "-shm", "-journal"] {
        match dir.open_file(&format!("{name}{companion}")) {
            Ok(_) if companion == "-shm" => {}
            Ok(file) => pending += length(&file, name)?,
            // Absent, or removed just now by a connection that closes.
            Err(error) if error.code() == ErrorCode::NotInitialised => {}
            Err(error) => return Err(error),
        }
    }
    let mut file = dir.open_file(name)?;
    let mut header = Vec::with_capacity(HEADER);
    file.by_ref().take(HEADER as u64).read_to_end(&mut header).map_err(|error| {
        let context = format!("{name}: cannot be read");
        PersistenceError::caused_by(ErrorCode::StorageUnavailable, context, error)
    })?;
    if header.is_empty() {
        // New, or created by a run that died before its first commit.
        return Ok(());
    }
    let header: &[u8; HEADER] = header.as_slice().try_into().map_err(|_| {
        PersistenceError::corrupt(format!("{name}: shorter than a database header"))
    })?;
    if header.first_chunk::<16>() != Some(MAGIC) {
        return Err(PersistenceError::corrupt(format!("{name}: not an SQLite database")));
    }
    application(name, field(header, APPLICATION_ID), schema)?;
    version(name, i64::from(field(header, USER_VERSION)), schema)?;
    // While a log waits to be copied in, the file may rightly be shorter than its header says.
    if pending == 0 {
        whole(name, header, length(&file, name)?)?;
    }
    Ok(())
}

/// SQLite reads what is missing at the end as zeros; a file of whole pages has none missing.
fn whole(name: &str, header: &[u8; HEADER], length: u64) -> Result<()> {
    let page = match field(header, PAGE_SIZE) >> 16 {
        1 => 65_536,
        size => u64::from(size),
    };
    if page.checked_mul(u64::from(field(header, PAGE_COUNT))) == Some(length) {
        return Ok(());
    }
    Err(PersistenceError::corrupt(format!("{name}: not as long as its header says")))
}

fn length(file: &File, name: &str) -> Result<u64> {
    let metadata = file.metadata().map_err(|error| {
        let context = format!("{name}: cannot be examined");
        PersistenceError::caused_by(ErrorCode::StorageUnavailable, context, error)
    })?;
    Ok(metadata.len())
}

/// The same questions asked of SQLite, because the write-ahead log may be newer than the file.
pub(super) async fn recorded(
    connection: &mut SqliteConnection,
    name: &str,
    schema: &Schema,
) -> Result<()> {
    let fail = |error| {
        PersistenceError::database(format!("{name}: the schema version cannot be read"), error)
    };
    let found: i64 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&mut *connection)
        .await
        .map_err(fail)?;
    version(name, found, schema)?;
    plain_schema(connection, name).await?;
    let table: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations'",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(fail)?;
    if table == 0 {
        return Ok(());
    }
    let newest: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(&mut *connection)
        .await
        .map_err(fail)?;
    version(name, newest.unwrap_or(0), schema)
}

/// Names and types of columns must be ASCII before any other statement names them: sqlx takes them
/// for UTF-8 without asking, and a panic of its thread can leave a query waiting for ever.
async fn plain_schema(connection: &mut SqliteConnection, name: &str) -> Result<()> {
    for statement in statements(connection, name, ALL).await? {
        if !statement.is_ascii() {
            return Err(PersistenceError::corrupt(format!("{name}: the schema is not text")));
        }
    }
    Ok(())
}

/// Compares the tables, indexes, views and triggers with what the migrations make: a log without
/// the triggers that keep it append-only is not opened for writing.
pub(super) async fn shape(
    connection: &mut SqliteConnection,
    name: &str,
    schema: &Schema,
) -> Result<()> {
    let statements = statements(connection, name, OURS).await?;
    let parts: Vec<&[u8]> = statements.iter().map(Vec::as_slice).collect();
    let found = hex::encode(&sha256(&parts.join(b";\n".as_slice())));
    if found == schema.shape {
        return Ok(());
    }
    Err(PersistenceError::corrupt(format!("{name}: not the schema of this program ({found})")))
}

/// Everything in the schema, sorted by kind and name.
const ALL: &str = "SELECT CAST(type || ' ' || name || ' ' || coalesce(sql, '') AS BLOB) \
     FROM sqlite_schema ORDER BY type, name";

/// The same without sqlx's own table, whose text is sqlx's to choose, and without SQLite's.
const OURS: &str = "SELECT CAST(type || ' ' || name || ' ' || sql AS BLOB) FROM sqlite_schema \
     WHERE sql IS NOT NULL AND name <> '_sqlx_migrations' AND name NOT LIKE 'sqlite@_%' ESCAPE '@' \
     ORDER BY type, name";

async fn statements(
    connection: &mut SqliteConnection,
    name: &str,
    query: &'static str,
) -> Result<Vec<Vec<u8>>> {
    sqlx::query_scalar(query).fetch_all(connection).await.map_err(|error| {
        PersistenceError::database(format!("{name}: the schema cannot be read"), error)
    })
}

/// Walks every page once: truncation, crossed pages and damaged cells are found at start.
pub(super) async fn quick(connection: &mut SqliteConnection, name: &str) -> Result<()> {
    let row =
        sqlx::query("PRAGMA quick_check(1)").fetch_one(connection).await.map_err(|error| {
            PersistenceError::database(format!("{name}: the integrity check failed"), error)
        })?;
    let verdict: String = row.try_get(0).map_err(|error| {
        PersistenceError::database(format!("{name}: the integrity check failed"), error)
    })?;
    if verdict == "ok" {
        return Ok(());
    }
    Err(PersistenceError::corrupt(format!("{name}: {verdict}")))
}

fn version(name: &str, found: i64, schema: &Schema) -> Result<()> {
    let supported = schema.version();
    if found > supported {
        return Err(PersistenceError::newer(name, found, supported));
    }
    Ok(())
}

fn application(name: &str, found: u32, schema: &Schema) -> Result<()> {
    if found == 0 || found == schema.application_id {
        return Ok(());
    }
    Err(PersistenceError::corrupt(format!("{name}: the database of another program")))
}

fn field(header: &[u8; HEADER], offset: usize) -> u32 {
    let bytes = header.get(offset..).and_then(|rest| rest.first_chunk::<4>());
    bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
}
