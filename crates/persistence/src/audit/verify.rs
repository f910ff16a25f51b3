//! Walking the chain: what was written, all of it, and nothing else.

use std::collections::BTreeMap;

use zmon_crypto::audit::{GENESIS, chain};

use super::checkpoint::Head;
use super::read::{self, Content, Place};
use super::record::AuditRecord;
use crate::error::{PersistenceError, Result};
use crate::sql::{Connection, query};

/// Rows read at a time.
const STEP: u32 = 512;

/// What a verification found. The log is whole if [`damage`](Self::damage) is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// One entry per lane, by name.
    pub lanes: Vec<LaneSummary>,
    /// How many checkpoints were checked against the rows.
    pub checkpoints: usize,
}

/// One lane of a [`Verification`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneSummary {
    /// The writer.
    pub lane: String,
    /// Good rows before the first bad one.
    pub rows: u64,
    /// Hash of the last good row; zero for an empty lane.
    pub head: [u8; 32],
    /// The last row that a checkpoint speaks for, 0 without one. Whoever can write the file can cut or
    /// rewrite what came after it, and nothing in the file tells.
    pub attested: u64,
    /// The first bad row.
    pub damage: Option<Damage>,
}

/// The first row of a lane that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Its number in the lane; of a missing row, the number it would have.
    pub sequence: u64,
    /// What is wrong.
    pub rule: &'static str,
}

impl LaneSummary {
    fn empty(lane: &str) -> Self {
        Self { lane: lane.to_owned(), rows: 0, head: GENESIS, attested: 0, damage: None }
    }
}

impl Verification {
    /// Lane and row of the first damage, if there is any.
    #[must_use]
    pub fn damage(&self) -> Option<(&str, &Damage)> {
        self.lanes
            .iter()
            .find_map(|lane| lane.damage.as_ref().map(|damage| (lane.lane.as_str(), damage)))
    }

    /// Good rows over all lanes.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.rows).sum()
    }
}

/// What a checkpoint says about a lane: this row existed and had this hash.
pub(super) type Attested = BTreeMap<String, BTreeMap<u64, [u8; 32]>>;

/// Collects the heads of a checkpoint. Two checkpoints that disagree leave one of them unmet.
pub(super) fn attest(attested: &mut Attested, heads: &[Head]) {
    for head in heads {
        attested.entry(head.lane.clone()).or_default().insert(head.seq, head.hash);
    }
}

/// Walks every lane. `own` is the lane a cut is blamed on when no row is left to name one.
pub(super) async fn walk(
    connection: &mut Connection<'_>,
    own: &str,
    attested: &Attested,
) -> Result<Vec<LaneSummary>> {
    let mut lanes: BTreeMap<String, Lane> = BTreeMap::new();
    for (lane, heads) in attested {
        lanes.insert(lane.clone(), Lane::new(heads.clone()));
    }
    let mut last_id = 0;
    loop {
        let rows = read::after(connection, last_id, STEP).await?;
        let Some((end, _)) = rows.last() else { break };
        last_id = end.id;
        for (place, content) in rows {
            lanes
                .entry(place.lane.clone())
                .or_insert_with(|| Lane::new(BTreeMap::new()))
                .take(&place, content);
        }
    }
    let mut lanes: Vec<LaneSummary> =
        lanes.into_iter().map(|(lane, state)| state.finish(lane)).collect();
    match connection {
        Connection::Sqlite(_) => {
            if last_id < highest_id(connection, "security_audit_log").await? {
                blame_cut(&mut lanes, own, None);
            }
        }
        #[cfg(feature = "postgres")]
        Connection::Postgres(_) => {
            for (lane, once) in lane_lengths(connection).await? {
                blame_cut(&mut lanes, &lane, Some(once));
            }
        }
    }
    Ok(lanes)
}

/// A lane while it is being walked.
struct Lane {
    rows: u64,
    head: [u8; 32],
    attested: BTreeMap<u64, [u8; 32]>,
    damage: Option<Damage>,
}

impl Lane {
    fn new(attested: BTreeMap<u64, [u8; 32]>) -> Self {
        Self { rows: 0, head: GENESIS, attested, damage: None }
    }

    fn take(&mut self, place: &Place, content: core::result::Result<Content, &'static str>) {
        if self.damage.is_some() {
            return;
        }
        let expected = self.rows.saturating_add(1);
        match content.and_then(|content| self.check(expected, place, &content)) {
            Ok(hash) => {
                self.rows = expected;
                self.head = hash;
            }
            Err(rule) => self.damage = Some(Damage { sequence: expected, rule }),
        }
    }

    fn check(
        &self,
        expected: u64,
        place: &Place,
        content: &Content,
    ) -> core::result::Result<[u8; 32], &'static str> {
        match u64::try_from(place.seq) {
            Ok(seq) if seq == expected => {}
            Ok(seq) if seq > expected => return Err("the row is missing or not in its place"),
            _ => return Err("its number is used twice"),
        }
        if content.prev != self.head {
            return Err("it does not continue the row before it");
        }
        if chain(&place.lane, expected, &content.prev, &content.bytes) != content.hash {
            return Err("the record is not the one that was hashed");
        }
        let record = AuditRecord::parse(&content.bytes)?;
        if record.projection() != content.columns {
            return Err("a column differs from the record");
        }
        match self.attested.get(&expected) {
            Some(hash) if *hash != content.hash => Err("a checkpoint attests another row"),
            _ => Ok(content.hash),
        }
    }

    fn finish(mut self, lane: String) -> LaneSummary {
        let attested = self.attested.last_key_value().map_or(0, |(seq, _)| *seq);
        if self.damage.is_none() && attested > self.rows {
            let rule = "the row is missing: a checkpoint attests it";
            self.damage = Some(Damage { sequence: self.rows.saturating_add(1), rule });
        }
        LaneSummary { lane, rows: self.rows, head: self.head, attested, damage: self.damage }
    }
}

/// How many checkpoints there ever were.
pub(super) async fn checkpoints_once(connection: &mut Connection<'_>) -> Result<u64> {
    let number = match connection {
        Connection::Sqlite(_) => highest_id(connection, "audit_checkpoints").await?,
        #[cfg(feature = "postgres")]
        Connection::Postgres(_) => query("SELECT seq FROM audit_lanes WHERE lane = 'checkpoints'")
            .fetch_value::<i64>(connection)
            .await
            .map_err(unreadable)?
            .unwrap_or(0),
    };
    Ok(u64::try_from(number).unwrap_or(0))
}

/// How many rows each lane ever had, as the triggers of PostgreSQL count them. Its ids have gaps, so that
/// they say nothing about it.
#[cfg(feature = "postgres")]
async fn lane_lengths(connection: &mut Connection<'_>) -> Result<Vec<(String, u64)>> {
    let rows = query("SELECT lane, seq FROM audit_lanes WHERE lane <> 'checkpoints' ORDER BY lane")
        .fetch_all(connection)
        .await
        .map_err(unreadable)?;
    rows.iter()
        .map(|row| {
            let once: i64 = row.at(1).map_err(unreadable)?;
            Ok((row.at(0).map_err(unreadable)?, u64::try_from(once).unwrap_or(u64::MAX)))
        })
        .collect()
}

/// The highest id SQLite ever gave to a row of this table (AUTOINCREMENT remembers it).
async fn highest_id(connection: &mut Connection<'_>, table: &'static str) -> Result<i64> {
    let highest: Option<i64> = query("SELECT seq FROM sqlite_sequence WHERE name = $1")
        .bind(table)
        .fetch_value(connection)
        .await
        .map_err(unreadable)?;
    Ok(highest.unwrap_or(0))
}

fn unreadable(error: sqlx::Error) -> PersistenceError {
    PersistenceError::database("the audit log cannot be read", error)
}

/// Names the row after the last good one of lane `of`, unless the lane has as many rows as it `once` had.
fn blame_cut(lanes: &mut Vec<LaneSummary>, of: &str, once: Option<u64>) {
    let rule = "the row is missing: the table once had more rows";
    let lane = match lanes.iter_mut().position(|lane| lane.lane == of) {
        Some(index) => lanes.get_mut(index),
        None => {
            lanes.push(LaneSummary::empty(of));
            lanes.last_mut()
        }
    };
    if let Some(lane) = lane
        && lane.damage.is_none()
        && once.is_none_or(|once| lane.rows < once)
    {
        lane.damage = Some(Damage { sequence: lane.rows.saturating_add(1), rule });
    }
}
