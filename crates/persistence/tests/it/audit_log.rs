//! T27: the chain and its checkpoints, and everything a tamperer may try.

use std::collections::BTreeMap;

use crate::common::{Device, Home, device_id, event, now, run, session};
use sqlx::{Connection, Row, SqliteConnection};
use zmon_crypto::{IdentityKey, IdentityPublic, audit, sha256};
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::OperatorId;
use zmon_domain::role::{Actor, Role};
use zmon_domain::time::{ClockQuality, Now, Tick};
use zmon_persistence::{AuditLog, DEVICE_DATABASE, JsonLines};
use zmon_protocol::device::DeviceRecord;
use zmon_provisioning::ports::{AuditPage, DeviceStore, KeyStore};

pub(crate) const LANE: &str = "device:ZM-001";
const ROWS: u64 = 12;

/// What a tamperer with write access does first.
pub(crate) const UNLOCK: &str = "DROP TRIGGER security_audit_log_is_not_edited; \
     DROP TRIGGER security_audit_log_is_not_cut; \
     DROP TRIGGER security_audit_log_extends_its_lane; \
     DROP TRIGGER audit_checkpoints_are_not_cut; \
     DROP TRIGGER audit_checkpoints_are_not_edited; \
     PRAGMA ignore_check_constraints = ON;";

pub(crate) fn events(count: u64) -> Vec<AuditEvent> {
    (0..count)
        .map(|n| {
            let name = EventType::ALL[usize::try_from(n).unwrap() % EventType::ALL.len()];
            event(name).session(session(1)).with("n", n)
        })
        .collect()
}

pub(crate) async fn write(device: &Device, audit: Vec<AuditEvent>) {
    device.store.commit(&now(), &DeviceRecord { audit, writes: vec![] }).await.unwrap();
}

/// A log of twelve rows; the checkpoint speaks for the first nine.
async fn filled() -> (Home, IdentityPublic, String) {
    let home = Home::new();
    let device = Device::create(&home).await;
    write(&device, events(9)).await;
    let checkpoint = device.store.write_checkpoint(&now()).await.unwrap();
    write(&device, events(3)).await;
    let key = device.keys.identity().public().clone();
    (home, key, checkpoint)
}

/// Lane, number and rule of the first damage.
async fn damage(home: &Home, key: &IdentityPublic) -> Option<(String, u64, &'static str)> {
    let log = AuditLog::open_device(&home.path()).await.unwrap().signed_by(key.clone());
    let found = log.verify().await.unwrap();
    found.damage().map(|(lane, damage)| (lane.to_owned(), damage.sequence, damage.rule))
}

async fn tampered(statements: &str) -> Option<(String, u64, &'static str)> {
    let (home, key, _) = filled().await;
    let mut sql = home.sql(DEVICE_DATABASE).await;
    run(&mut sql, UNLOCK).await;
    run(&mut sql, statements).await;
    damage(&home, &key).await
}

#[tokio::test]
async fn a_log_nobody_touched_is_whole() {
    let (home, key, _) = filled().await;
    assert_eq!(damage(&home, &key).await, None);
    let log = AuditLog::open_device(&home.path()).await.unwrap();
    let found = log.verify().await.unwrap();
    assert_eq!((found.rows(), found.checkpoints, found.lanes.len()), (ROWS, 1, 1));
    assert_eq!(found.lanes[0].lane, LANE);
}

#[tokio::test]
async fn a_row_says_who_did_what_when_to_whom_and_why_not() {
    let home = Home::new();
    let device = Device::create(&home).await;
    let tess = Actor::Operator { id: OperatorId::parse("tess").unwrap(), role: Role::Technician };
    let mut audit = vec![
        AuditEvent::new(EventType::ProvisioningModeEntered, tess).code_hash([1; 32]),
        AuditEvent::failed(EventType::ClaimRefused, Actor::Peer, ErrorCode::ClaimMacInvalid)
            .session(session(3))
            .configuration_hash([2; 32])
            .with("source", "10.0.0.7\u{202e}\n\"quoted\"")
            .with("attempt", 2),
    ];
    audit[1].device_id = Some(device_id());
    write(&device, audit).await;
    let clockless = Now { mono: Tick::ZERO, wall: None, quality: ClockQuality::None, millis: None };
    let stopped = DeviceRecord { audit: vec![event(EventType::Stopped)], writes: vec![] };
    device.store.commit(&clockless, &stopped).await.unwrap();

    let rows = device.store.events(AuditPage::default()).await.unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!((rows[0].sequence, rows[0].lane.as_str()), (1, LANE));
    assert_eq!(rows[0].timestamp, now().millis);
    assert_eq!(rows[0].actor.to_string(), "technician:tess");
    assert_eq!(rows[0].code_hash, Some([1; 32]));
    assert_eq!(rows[1].event, EventType::ClaimRefused);
    assert_eq!((rows[1].success, rows[1].error), (false, Some(ErrorCode::ClaimMacInvalid)));
    assert_eq!((rows[1].device_id.clone(), rows[1].session), (Some(device_id()), Some(session(3))));
    assert_eq!(rows[1].configuration_hash, Some([2; 32]));
    assert_eq!(rows[1].detail[0].1, "10.0.0.7\u{202e}\n\"quoted\"", "kept, not interpreted");
    assert_eq!(rows[1].detail[1], ("attempt".to_owned(), "2".to_owned()));
    assert_eq!(rows[2].timestamp, None, "no clock, no time");
    assert!(device.store.verify_audit().await.unwrap().is_intact());

    let page = AuditPage { after: 1, limit: 1 };
    let page = device.store.events(page).await.unwrap();
    assert_eq!(page.iter().map(|row| row.sequence).collect::<Vec<_>>(), [2]);
    let beyond = AuditPage { after: u64::MAX, limit: 5 };
    assert!(device.store.events(beyond).await.unwrap().is_empty());
}

#[tokio::test]
async fn every_edit_of_a_column_names_the_row() {
    let edits = [
        "timestamp = 1",
        "event_type = 'stopped'",
        "device_id = 'ZM-999'",
        "device_id = NULL",
        "session_id = NULL",
        "actor = 'peer'",
        "role = 'auditor'",
        "pairing_code = '00'",
        "success = 0",
        "error_code = 'internal'",
        "error_message = 'x'",
        "configuration_hash = '00'",
        "record = x'7b7d'",
        "record = CAST(replace(CAST(record AS TEXT), 'ZM-001', 'ZM-002') AS BLOB)",
        "record = CAST(record AS TEXT) || ' '",
        "record = 5",
        "prev = zeroblob(32)",
        "hash = zeroblob(32)",
        "hash = x'00'",
        "actor = 7.5",
        "id = 100",
        "seq = 40",
        "lane = 'device:ZM-002'",
    ];
    for edit in edits {
        let found = tampered(&format!("UPDATE security_audit_log SET {edit} WHERE seq = 5")).await;
        let (lane, row, rule) = found.unwrap_or_else(|| panic!("not found: {edit}"));
        // A row that moved to another lane is missing from its own.
        assert_eq!((lane.as_str(), row), (LANE, 5), "{edit}: {rule}");
    }
}

#[tokio::test]
async fn every_deletion_is_found() {
    for row in 1..=ROWS {
        let delete = format!("DELETE FROM security_audit_log WHERE seq = {row}");
        let found = tampered(&delete).await;
        assert_eq!(found.map(|(lane, row, _)| (lane, row)), Some((LANE.to_owned(), row)));
    }
}

#[tokio::test]
async fn every_swap_of_neighbours_is_found() {
    for row in 1..ROWS {
        let next = row + 1;
        let swap = format!(
            "UPDATE security_audit_log SET seq = -1 WHERE seq = {row}; \
             UPDATE security_audit_log SET seq = {row} WHERE seq = {next}; \
             UPDATE security_audit_log SET seq = {next} WHERE seq = -1;"
        );
        let found = tampered(&swap).await;
        assert_eq!(found.map(|(_, row, _)| row), Some(row));
        let swap = format!(
            "CREATE TEMP TABLE t AS SELECT seq, record FROM security_audit_log; \
             UPDATE security_audit_log SET record = (SELECT record FROM t WHERE t.seq = {next}) \
             WHERE seq = {row}; \
             UPDATE security_audit_log SET record = (SELECT record FROM t WHERE t.seq = {row}) \
             WHERE seq = {next};"
        );
        assert_eq!(tampered(&swap).await.map(|(_, row, _)| row), Some(row));
    }
}

#[tokio::test]
async fn a_cut_tail_is_found() {
    // SQLite itself remembers how many rows there were.
    let found = tampered("DELETE FROM security_audit_log WHERE seq > 10").await.unwrap();
    assert_eq!((found.0.as_str(), found.1), (LANE, 11));
    // Even when that memory is edited, the checkpoint attests nine rows.
    let forget = |kept: u64| {
        format!(
            "DELETE FROM security_audit_log WHERE seq > {kept}; \
             UPDATE sqlite_sequence SET seq = {kept} WHERE name = 'security_audit_log';"
        )
    };
    let found = tampered(&forget(8)).await.unwrap();
    assert_eq!((found.0.as_str(), found.1), (LANE, 9));
    let found = tampered(&forget(0)).await.unwrap();
    assert_eq!((found.0.as_str(), found.1), (LANE, 1));
    // Behind the last checkpoint a patient tamperer can cut: that is what checkpoints are frequent for.
    assert_eq!(tampered(&forget(9)).await, None);
}

#[tokio::test]
async fn a_tail_cut_with_its_checkpoint_is_found_by_the_side_that_kept_it() {
    let (home, key, held) = filled().await;
    let mut sql = home.sql(DEVICE_DATABASE).await;
    run(&mut sql, UNLOCK).await;
    run(
        &mut sql,
        "DELETE FROM security_audit_log WHERE seq > 4; DELETE FROM audit_checkpoints; \
         DELETE FROM sqlite_sequence;",
    )
    .await;
    assert_eq!(damage(&home, &key).await, None, "nothing here shows it");
    let log = AuditLog::open_device(&home.path()).await.unwrap().signed_by(key);
    let found = log.verify_against(&[held]).await.unwrap();
    assert_eq!(found.damage().map(|(lane, damage)| (lane, damage.sequence)), Some((LANE, 5)));
    let junk = log.verify_against(&["not.a.checkpoint".to_owned()]).await.unwrap();
    assert_eq!(junk.damage().map(|(lane, _)| lane), Some("checkpoints"));
}

#[tokio::test]
async fn a_rewritten_history_contradicts_the_checkpoint() {
    // The tamperer recomputes every hash: the chain alone is consistent again.
    let (home, key, _) = filled().await;
    let mut sql = home.sql(DEVICE_DATABASE).await;
    run(&mut sql, UNLOCK).await;
    rewrite_from(&mut sql, 3).await;
    let (lane, row, rule) = damage(&home, &key).await.unwrap();
    assert_eq!((lane.as_str(), row), (LANE, 9), "{rule}");
    run(&mut sql, "DELETE FROM audit_checkpoints; DELETE FROM sqlite_sequence").await;
    assert_eq!(damage(&home, &key).await, None, "positive control: the chain itself is whole");
}

/// Row `first` is made to say something else, and the chain behind it is computed anew.
async fn rewrite_from(sql: &mut SqliteConnection, first: i64) {
    let rows = sqlx::query("SELECT seq, prev, record, hash FROM security_audit_log ORDER BY seq")
        .fetch_all(&mut *sql)
        .await
        .unwrap();
    let mut prev = [0; 32];
    for row in rows {
        let seq: i64 = row.get("seq");
        let mut record: Vec<u8> = row.get("record");
        if seq == first {
            record = String::from_utf8(record)
                .unwrap()
                .replace(r#"["n","2"]"#, r#"["n","9"]"#)
                .into_bytes();
        }
        let hash = audit::chain(LANE, u64::try_from(seq).unwrap(), &prev, &record);
        assert_eq!(seq < first, row.get::<Vec<u8>, _>("hash") == hash, "row {seq}");
        sqlx::query(
            "UPDATE security_audit_log SET prev = $2, record = $3, hash = $4 WHERE seq = $1",
        )
        .bind(seq)
        .bind(prev.as_slice())
        .bind(record)
        .bind(hash.as_slice())
        .execute(&mut *sql)
        .await
        .unwrap();
        prev = hash;
    }
}

#[tokio::test]
async fn checkpoints_are_a_signed_chain_too() {
    let (home, key, first) = filled().await;
    let device = Device::open(&home).await;
    let second = device.store.write_checkpoint(&now()).await.unwrap();
    assert_ne!(first, second);
    drop(device);
    for (edit, row) in [
        ("DELETE FROM audit_checkpoints WHERE id = 1", 1),
        (
            "UPDATE audit_checkpoints SET jws = replace(jws, substr(jws, 200, 1), '-') WHERE id = 2",
            2,
        ),
        ("UPDATE audit_checkpoints SET jws = 'x' WHERE id = 1", 1),
        ("UPDATE audit_checkpoints SET jws = (SELECT jws FROM audit_checkpoints WHERE id = 1)", 2),
        (
            "UPDATE audit_checkpoints SET id = -1 WHERE id = 1; \
             UPDATE audit_checkpoints SET id = 1 WHERE id = 2; \
             UPDATE audit_checkpoints SET id = 2 WHERE id = -1",
            1,
        ),
    ] {
        let copy = home.copy();
        let mut sql = copy.sql(DEVICE_DATABASE).await;
        run(&mut sql, UNLOCK).await;
        run(&mut sql, edit).await;
        let (lane, found, rule) = damage(&copy, &key).await.unwrap();
        assert_eq!((lane.as_str(), found), ("checkpoints", row), "{edit}: {rule}");
    }
    let stranger = crate::common::identity(40).public().clone();
    let (lane, _, rule) = damage(&home, &stranger).await.unwrap();
    assert_eq!((lane.as_str(), rule), ("checkpoints", "the signature of the checkpoint is wrong"));
}

/// A tool that knows nothing but the exported lines and SHA-256 can check them.
#[tokio::test]
async fn the_export_can_be_verified_from_its_text_alone() {
    let (home, _, checkpoint) = filled().await;
    let log = AuditLog::open_device(&home.path()).await.unwrap();
    let mut out = Vec::new();
    let lines = log.export(&mut JsonLines(&mut out)).await.unwrap();
    assert_eq!(lines, ROWS + 1);
    let text = String::from_utf8(out).unwrap();
    let mut heads: BTreeMap<String, (u64, String)> = BTreeMap::new();
    let mut checkpoints = Vec::new();
    for line in text.lines() {
        assert!(line.bytes().all(|byte| byte >= 0x20), "T23: one event, one line");
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        if let Some(jws) = line.get("checkpoint") {
            checkpoints.push(jws.as_str().unwrap().to_owned());
            continue;
        }
        let (lane, record) = (line["lane"].as_str().unwrap(), line["record"].as_str().unwrap());
        let seq = line["seq"].as_u64().unwrap();
        let prev = line["prev"].as_str().unwrap();
        let mut input = b"zp1 audit".to_vec();
        input.extend_from_slice(lane.as_bytes());
        input.extend_from_slice(&seq.to_be_bytes());
        input.extend(bytes(prev));
        input.extend_from_slice(&u32::try_from(record.len()).unwrap().to_be_bytes());
        input.extend_from_slice(record.as_bytes());
        assert_eq!(sha256(&input).to_vec(), bytes(line["hash"].as_str().unwrap()));
        if let Some((last, head)) = heads.get(lane) {
            assert_eq!((seq, prev), (last + 1, head.as_str()));
        }
        heads.insert(lane.to_owned(), (seq, line["hash"].as_str().unwrap().to_owned()));
        let record: serde_json::Value = serde_json::from_str(record).unwrap();
        assert_eq!(record["v"], 1);
    }
    assert_eq!(heads.len(), 1);
    assert_eq!(checkpoints, [checkpoint]);
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

/// Every single-bit flip of the stored records, prev and hash of a log (T27).
#[tokio::test]
async fn every_flipped_bit_of_the_chain_is_found() {
    let (home, key, _) = filled().await;
    let mut sql = home.sql(DEVICE_DATABASE).await;
    run(&mut sql, UNLOCK).await;
    let log = AuditLog::open_device(&home.path()).await.unwrap().signed_by(key);
    let row = sqlx::query("SELECT record, prev, hash FROM security_audit_log WHERE seq = 4")
        .fetch_one(&mut sql)
        .await
        .unwrap();
    for (column, statement) in [
        ("record", "UPDATE security_audit_log SET record = $1 WHERE seq = 4"),
        ("prev", "UPDATE security_audit_log SET prev = $1 WHERE seq = 4"),
        ("hash", "UPDATE security_audit_log SET hash = $1 WHERE seq = 4"),
    ] {
        let whole: Vec<u8> = row.get(column);
        for bit in (0..whole.len() * 8).step_by(3) {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            sqlx::query(statement).bind(damaged).execute(&mut sql).await.unwrap();
            let found = log.verify().await.unwrap();
            let place = found.damage().map(|(lane, damage)| (lane, damage.sequence));
            assert_eq!(place, Some((LANE, 4)), "{column} bit {bit}");
        }
        sqlx::query(statement).bind(whole).execute(&mut sql).await.unwrap();
    }
    assert_eq!(log.verify().await.unwrap().damage(), None);
    sql.close().await.unwrap();
}

#[tokio::test]
async fn a_damaged_row_is_an_error_on_a_page_and_does_not_stop_verification() {
    let (home, key, _) = filled().await;
    let device = Device::open(&home).await;
    let mut sql = home.sql(DEVICE_DATABASE).await;
    run(&mut sql, UNLOCK).await;
    run(&mut sql, "UPDATE security_audit_log SET record = x'ff' WHERE seq = 2").await;
    assert!(device.store.events(AuditPage::default()).await.is_err());
    let after = AuditPage { after: 2, limit: 100 };
    assert_eq!(device.store.events(after).await.unwrap().len(), 10);
    let report = device.store.verify_audit().await.unwrap();
    assert!(!report.is_intact());
    assert_eq!(report.lanes[0].rows, 1);
    assert_eq!(report.lanes[0].broken_at.as_ref().map(|(row, _)| *row), Some(2));
    assert!(damage(&home, &key).await.is_some());
    let exported = device.store.audit_log().export(&mut JsonLines(Vec::new())).await;
    assert_eq!(exported.unwrap_err().code(), ErrorCode::StorageCorrupt);
}

#[tokio::test]
async fn a_thousand_rows_make_a_checkpoint_of_their_own() {
    let home = Home::new();
    let device = Device::create(&home).await;
    write(&device, events(999)).await;
    assert_eq!(device.store.checkpoint().await.unwrap(), None);
    write(&device, events(1)).await;
    assert!(device.store.checkpoint().await.unwrap().is_some());
    assert_eq!(device.store.verify_audit().await.unwrap().rows(), 1000);
}
