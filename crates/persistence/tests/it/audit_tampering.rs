//! T27 at length: every kind of tampering somewhere in ten thousand rows, and which row is named.
//!
//! The tamperer holds the file and every hash, and lacks the key that signs checkpoints. Places are
//! drawn from a seed.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng;
use sqlx::{Connection, Row, SqliteConnection};
use zmon_crypto::{IdentityPublic, audit};
use zmon_persistence::{AuditLog, DEVICE_DATABASE, Verification};
use zmon_provisioning::ports::KeyStore;

use crate::audit_log::{LANE, UNLOCK, events, write};
use crate::common::{Device, Home, now, run, seeded};

const ROWS: u64 = 10_000;
/// Checkpoints speak for rows 1,400, 2,400 and so on up to this one; the rest is unattested.
const ATTESTED: u64 = 9_400;
const CHECKPOINTS: u64 = 9;

/// A log as the product writes it, and what the other side keeps of it.
struct Base {
    home: Home,
    key: IdentityPublic,
    /// A checkpoint over all rows, that is not in the log.
    held: String,
}

/// What one verification found.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    /// Lane and first bad row.
    damage: Option<(String, u64)>,
    /// Up to which row checkpoints speak for the lane.
    attested: u64,
}

impl Base {
    async fn new() -> Self {
        let home = Home::new();
        let device = Device::create(&home).await;
        let mut rows = events(ROWS).into_iter();
        let mut batch = 400;
        while rows.len() > 0 {
            write(&device, rows.by_ref().take(batch).collect()).await;
            batch = 500;
        }
        let key = device.keys.identity().public().clone();
        let copy = Self::copied(&home).await;
        let held = Device::open(&copy).await.store.write_checkpoint(&now()).await.unwrap();
        Self { home, key, held }
    }

    /// A copy, once everything is in the database's own file.
    async fn copied(home: &Home) -> Home {
        let mut sql = home.sql(DEVICE_DATABASE).await;
        run(&mut sql, "PRAGMA wal_checkpoint(TRUNCATE)").await;
        sql.close().await.unwrap();
        home.copy()
    }

    /// What is found in a copy that was tampered with, by the file alone and with the held checkpoint.
    async fn after(&self, tamper: impl AsyncFnOnce(&mut SqliteConnection)) -> [Found; 2] {
        let copy = Self::copied(&self.home).await;
        let mut sql = copy.sql(DEVICE_DATABASE).await;
        run(&mut sql, UNLOCK).await;
        run(&mut sql, "BEGIN").await;
        tamper(&mut sql).await;
        run(&mut sql, "COMMIT").await;
        sql.close().await.unwrap();
        let log = AuditLog::open_device(&copy.path()).await.unwrap().signed_by(self.key.clone());
        let held = core::slice::from_ref(&self.held);
        [log.verify().await, log.verify_against(held).await].map(|found| Found::of(&found.unwrap()))
    }

    async fn after_sql(&self, statements: &str) -> [Found; 2] {
        self.after(async |sql: &mut SqliteConnection| run(sql, statements).await).await
    }
}

impl Found {
    fn of(found: &Verification) -> Self {
        let lane = found.lanes.iter().find(|lane| lane.lane == LANE);
        Self {
            damage: found.damage().map(|(lane, damage)| (lane.to_owned(), damage.sequence)),
            attested: lane.map_or(0, |lane| lane.attested),
        }
    }

    fn row(&self) -> Option<(&str, u64)> {
        self.damage.as_ref().map(|(lane, row)| (lane.as_str(), *row))
    }
}

/// Both answers name this row of the device's lane.
fn names(found: &[Found; 2], row: u64, what: &str) {
    for found in found {
        assert_eq!(found.row(), Some((LANE, row)), "{what}");
    }
}

/// A row that has rows before and behind it, and checkpoints on both sides.
fn place(rng: &mut ChaCha20Rng) -> u64 {
    1_401 + rng.next_u64() % 7_000
}

/// The first row from `row` on that a checkpoint speaks for.
const fn next_attested(row: u64) -> u64 {
    if row <= 1_400 { 1_400 } else { (row - 400).div_ceil(1_000) * 1_000 + 400 }
}

/// Computes `prev` and `hash` of every row from `first` on anew, as anybody can.
async fn rechain(sql: &mut SqliteConnection, first: u64) {
    let before = i64::try_from(first).unwrap() - 1;
    let rows = sqlx::query(
        "SELECT id, seq, record, hash FROM security_audit_log WHERE seq >= $1 ORDER BY seq",
    )
    .bind(before)
    .fetch_all(&mut *sql)
    .await
    .unwrap();
    let mut prev = [0; 32];
    for row in rows {
        let seq: i64 = row.get("seq");
        if seq == before {
            prev = row.get::<Vec<u8>, _>("hash").try_into().unwrap();
            continue;
        }
        let record: Vec<u8> = row.get("record");
        let hash = audit::chain(LANE, u64::try_from(seq).unwrap(), &prev, &record);
        sqlx::query("UPDATE security_audit_log SET prev = $2, hash = $3 WHERE id = $1")
            .bind(row.get::<i64, _>("id"))
            .bind(prev.as_slice())
            .bind(hash.as_slice())
            .execute(&mut *sql)
            .await
            .unwrap();
        prev = hash;
    }
}

/// Moves `row` and every row behind it one place on, and puts a copy of row 1 into the gap.
fn insertion(row: u64) -> String {
    format!(
        "CREATE TEMP TABLE forged AS SELECT * FROM security_audit_log WHERE seq = 1; \
         UPDATE security_audit_log SET id = -id - 1, seq = -seq - 1 WHERE seq >= {row}; \
         UPDATE security_audit_log SET id = -id, seq = -seq WHERE seq < 0; \
         UPDATE forged SET id = {row}, seq = {row}; \
         INSERT INTO security_audit_log SELECT * FROM forged;"
    )
}

#[tokio::test]
async fn an_edit_of_any_column_of_ten_thousand_rows_is_named() {
    let base = Base::new().await;
    let untouched = base.after_sql("SELECT 1").await;
    assert_eq!(
        untouched.map(|found| (found.damage, found.attested)),
        [(None, ATTESTED), (None, ROWS)]
    );
    let mut rng = seeded(0x27);
    for edit in [
        "id = id + 100000",
        "lane = lane || 'x'",
        "seq = seq + 100000",
        "timestamp = timestamp - 1",
        "record = CAST(replace(CAST(record AS TEXT), 'true', 'null') AS BLOB)",
        "record = record || x'20'",
        "prev = hash",
        "hash = prev",
        "event_type = event_type || 'x'",
        "device_id = 'ZM-999'",
        "session_id = NULL",
        "actor = 'peer'",
        "role = 'auditor'",
        "pairing_code = '00'",
        "success = 1 - success",
        "error_code = 'internal'",
        "error_message = 'x'",
        "configuration_hash = '00'",
    ] {
        let row = place(&mut rng);
        let edit = format!("UPDATE security_audit_log SET {edit} WHERE seq = {row}");
        names(&base.after_sql(&edit).await, row, &edit);
    }
}

#[tokio::test]
async fn deletions_swaps_insertions_and_forks_in_ten_thousand_rows_are_named() {
    let base = Base::new().await;
    let mut rng = seeded(0x28);

    let row = place(&mut rng);
    let delete = format!("DELETE FROM security_audit_log WHERE seq = {row}");
    names(&base.after_sql(&delete).await, row, &delete);
    let row = place(&mut rng);
    let range = format!("DELETE FROM security_audit_log WHERE seq BETWEEN {row} AND {row} + 900");
    names(&base.after_sql(&range).await, row, &range);
    names(&base.after_sql("DELETE FROM security_audit_log").await, 1, "everything is gone");

    // The rest moves up, so that no number is missing, and is chained anew.
    let row = place(&mut rng);
    let close = format!(
        "DELETE FROM security_audit_log WHERE seq = {row}; \
         UPDATE security_audit_log SET id = -id + 1, seq = -seq + 1 WHERE seq > {row}; \
         UPDATE security_audit_log SET id = -id, seq = -seq WHERE seq < 0;"
    );
    names(&base.after_sql(&close).await, row, &close);
    let chained = base
        .after(async |sql: &mut SqliteConnection| {
            run(sql, &close).await;
            rechain(sql, row).await;
        })
        .await;
    names(&chained, next_attested(row), "a gap that was closed");

    let (one, other) = (place(&mut rng), place(&mut rng));
    let (one, other) = (one.min(other), one.max(other));
    assert_ne!(one, other);
    let swap = format!(
        "UPDATE security_audit_log SET seq = -1 WHERE seq = {one}; \
         UPDATE security_audit_log SET seq = {one} WHERE seq = {other}; \
         UPDATE security_audit_log SET seq = {other} WHERE seq = -1;"
    );
    names(&base.after_sql(&swap).await, one, &swap);

    let row = place(&mut rng);
    names(&base.after_sql(&insertion(row)).await, row, "a forged row");
    // Forged as well as it can be, it continues the row before it. The row behind it does not.
    let fitted = base
        .after(async |sql: &mut SqliteConnection| {
            run(sql, "CREATE TEMP TABLE kept AS SELECT seq, prev, hash FROM security_audit_log")
                .await;
            run(sql, &insertion(row)).await;
            rechain(sql, row).await;
            let restore = format!(
                "UPDATE security_audit_log SET (prev, hash) = \
                 (SELECT prev, hash FROM kept WHERE kept.seq = security_audit_log.seq - 1) \
                 WHERE seq > {row}"
            );
            run(sql, &restore).await;
        })
        .await;
    names(&fitted, row + 1, "a forged row that fits");

    // Two rows that continue the same one.
    let row = place(&mut rng);
    let fork = format!(
        "UPDATE security_audit_log SET prev = (SELECT prev FROM security_audit_log AS twin \
         WHERE twin.seq = {row}) WHERE seq = {row} + 1"
    );
    names(&base.after_sql(&fork).await, row + 1, &fork);
    let fork = base
        .after(async |sql: &mut SqliteConnection| {
            let append = format!(
                "INSERT INTO security_audit_log SELECT {ROWS} + 1, lane, {ROWS} + 1, timestamp, \
                 record, prev, hash, event_type, device_id, session_id, actor, role, pairing_code, \
                 success, error_code, error_message, configuration_hash \
                 FROM security_audit_log WHERE seq = {ROWS}"
            );
            run(sql, &append).await;
            let last = sqlx::query("SELECT prev, record FROM security_audit_log WHERE seq = $1")
                .bind(i64::try_from(ROWS).unwrap())
                .fetch_one(&mut *sql)
                .await
                .unwrap();
            let prev: [u8; 32] = last.get::<Vec<u8>, _>("prev").try_into().unwrap();
            let hash = audit::chain(LANE, ROWS + 1, &prev, &last.get::<Vec<u8>, _>("record"));
            sqlx::query("UPDATE security_audit_log SET hash = $1 WHERE seq > $2")
                .bind(hash.as_slice())
                .bind(i64::try_from(ROWS).unwrap())
                .execute(&mut *sql)
                .await
                .unwrap();
        })
        .await;
    names(&fork, ROWS + 1, "a second row behind the last but one");
}

#[tokio::test]
async fn a_history_rewritten_without_the_key_contradicts_the_next_checkpoint() {
    let base = Base::new().await;
    let mut rng = seeded(0x29);
    let row = place(&mut rng);
    let rewrite = async |sql: &mut SqliteConnection| {
        let edit = format!(
            "UPDATE security_audit_log SET record = CAST(replace(CAST(record AS TEXT), \
             '\"n\",\"', '\"n\",\"1') AS BLOB) WHERE seq = {row}"
        );
        run(sql, &edit).await;
        rechain(sql, row).await;
    };
    names(&base.after(&rewrite).await, next_attested(row), "rewritten");
    // Without any checkpoint beside it the chain is whole, and says that nobody vouches for it; the
    // one that the other side holds tells.
    let [alone, held] = base
        .after(async |sql: &mut SqliteConnection| {
            rewrite(sql).await;
            run(sql, "DELETE FROM audit_checkpoints; DELETE FROM sqlite_sequence").await;
        })
        .await;
    assert_eq!(alone, Found { damage: None, attested: 0 });
    assert_eq!(held.row(), Some((LANE, ROWS)));
}

#[tokio::test]
async fn a_cut_tail_is_named_by_whichever_checkpoint_is_left() {
    let base = Base::new().await;
    let cut = |kept: u64| {
        format!(
            "DELETE FROM security_audit_log WHERE seq > {kept}; \
             UPDATE sqlite_sequence SET seq = {kept} WHERE name = 'security_audit_log';"
        )
    };
    // SQLite counts too, and whoever cuts may not know.
    let careless = format!("DELETE FROM security_audit_log WHERE seq > {}", ROWS - 1);
    names(&base.after_sql(&careless).await, ROWS, &careless);
    names(&base.after_sql(&cut(5_000)).await, 5_001, "cut before a checkpoint");
    names(&base.after_sql(&cut(ATTESTED - 1)).await, ATTESTED, "cut by one attested row");

    // Behind the last checkpoint nothing in the file tells; the report says from where on.
    let [alone, held] = base.after_sql(&cut(ATTESTED + 1)).await;
    assert_eq!(alone, Found { damage: None, attested: ATTESTED });
    assert_eq!(held.row(), Some((LANE, ATTESTED + 2)));

    // Cut with the checkpoints that speak for it.
    let with_checkpoints = format!(
        "{}; DELETE FROM audit_checkpoints WHERE id > 4; \
         UPDATE sqlite_sequence SET seq = 4 WHERE name = 'audit_checkpoints';",
        cut(5_000)
    );
    let [alone, held] = base.after_sql(&with_checkpoints).await;
    assert_eq!(alone, Found { damage: None, attested: 4_400 });
    assert_eq!(held.row(), Some((LANE, 5_001)));
}

#[tokio::test]
async fn an_edited_or_missing_checkpoint_is_named_by_its_number() {
    let base = Base::new().await;
    let mut rng = seeded(0x2a);
    let number = 2 + rng.next_u64() % (CHECKPOINTS - 2);
    for (edit, expected) in [
        (format!("UPDATE audit_checkpoints SET jws = jws || 'A' WHERE id = {number}"), number),
        (
            format!(
                "UPDATE audit_checkpoints SET jws = (SELECT jws FROM audit_checkpoints \
                 WHERE id = {number} - 1) WHERE id = {number}"
            ),
            number,
        ),
        (format!("DELETE FROM audit_checkpoints WHERE id = {number}"), number),
        (format!("DELETE FROM audit_checkpoints WHERE id = {CHECKPOINTS}"), CHECKPOINTS),
        ("DELETE FROM audit_checkpoints".to_owned(), 1),
    ] {
        for found in base.after_sql(&edit).await {
            assert_eq!(found.row(), Some(("checkpoints", expected)), "{edit}");
        }
    }
}
