//! The audit log of a simulated store: chained as the stored one is (D16), and checked the same way.

use std::sync::Arc;

use zmon_crypto::audit::{GENESIS, chain};
use zmon_crypto::jws::{self, Typ};
use zmon_crypto::{IdentityKey, sha256};
use zmon_domain::audit::AuditEvent;
use zmon_domain::time::Now;
use zmon_wire::checkpoint::{Checkpoint, LaneHead};
use zmon_wire::kind::V1;
use zmon_wire::strict;

/// One row.
#[derive(Debug)]
pub struct Row {
    /// What happened.
    pub event: AuditEvent,
    /// Unix milliseconds, if there was a clock.
    pub millis: Option<i64>,
    /// Hash of the row before.
    pub prev: [u8; 32],
    /// Hash of this row.
    pub hash: [u8; 32],
}

impl Row {
    /// The bytes that the chain covers.
    fn bytes(event: &AuditEvent, millis: Option<i64>) -> Vec<u8> {
        format!("{millis:?} {event:?}").into_bytes()
    }
}

/// The log of one writer. A clone shares the rows.
#[derive(Debug, Clone, Default)]
pub struct Log {
    lane: String,
    rows: Vec<Arc<Row>>,
    checkpoints: Vec<Arc<str>>,
}

impl Log {
    /// An empty log of this writer.
    #[must_use]
    pub fn new(lane: String) -> Self {
        Self { lane, rows: Vec::new(), checkpoints: Vec::new() }
    }

    /// The writer.
    #[must_use]
    pub fn lane(&self) -> &str {
        &self.lane
    }

    /// Every row, in order.
    #[must_use]
    pub fn rows(&self) -> &[Arc<Row>] {
        &self.rows
    }

    /// How many checkpoints there are.
    #[must_use]
    pub fn checkpoints(&self) -> usize {
        self.checkpoints.len()
    }

    /// The newest checkpoint.
    #[must_use]
    pub fn checkpoint(&self) -> Option<String> {
        self.checkpoints.last().map(|jws| String::from(&**jws))
    }

    /// Number and hash of the last row.
    #[must_use]
    pub fn head(&self) -> (u64, [u8; 32]) {
        let sequence = u64::try_from(self.rows.len()).unwrap_or(u64::MAX);
        (sequence, self.rows.last().map_or(GENESIS, |row| row.hash))
    }

    /// Adds rows.
    pub fn append(&mut self, now: &Now, events: &[AuditEvent]) {
        for event in events {
            let (sequence, prev) = self.head();
            let bytes = Row::bytes(event, now.millis);
            let hash = chain(&self.lane, sequence + 1, &prev, &bytes);
            let row = Row { event: event.clone(), millis: now.millis, prev, hash };
            self.rows.push(Arc::new(row));
        }
    }

    /// Signs a checkpoint over what there is; whether a key could.
    pub fn attest(
        &mut self,
        now: &Now,
        key: &dyn IdentityKey,
        rng: &mut dyn rand_core::CryptoRng,
    ) -> bool {
        let (seq, hash) = self.head();
        let statement = Checkpoint {
            heads: vec![LaneHead { hash, lane: self.lane.clone(), seq }],
            previous: self.checkpoints.last().map(|jws| sha256(jws.as_bytes())),
            rows: seq,
            timestamp: now.millis,
            v: V1::default(),
        };
        let Ok(payload) = strict::to_vec(&statement) else { return false };
        let signed = jws::sign(Typ::Checkpoint, None, &payload, key, rng);
        signed.map(|jws| self.checkpoints.push(jws.into())).is_ok()
    }

    /// Number and rule of the first row that is not what was written, if any.
    #[must_use]
    pub fn damage(&self) -> Option<(u64, &'static str)> {
        let mut prev = GENESIS;
        for (sequence, row) in (1..).zip(&self.rows) {
            if row.prev != prev {
                return Some((sequence, "it does not continue the row before it"));
            }
            let bytes = Row::bytes(&row.event, row.millis);
            if chain(&self.lane, sequence, &prev, &bytes) != row.hash {
                return Some((sequence, "the record is not the one that was hashed"));
            }
            prev = row.hash;
        }
        None
    }
}
