//! What is signed after the envelope: status, commit, outcome, renewal, end of life, checkpoint.

use rand_chacha::ChaCha20Rng;
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};
use zmon_crypto::jws::{self, Typ};
use zmon_crypto::schedule::pull_id;
use zmon_crypto::{SoftIdentity, audit, sha256};
use zmon_domain::ids::{DeviceId, Serial, SessionId};
use zmon_domain::state::ProvisioningState;
use zmon_wire::checkpoint::{Checkpoint, LaneHead};
use zmon_wire::kind::Method;
use zmon_wire::outcome::{CommitRequest, Outcome, OutcomeAsk, OutcomeResult};
use zmon_wire::pull::Pull;
use zmon_wire::retire::{RetireReason, RetireStatement};
use zmon_wire::session::StatusDocument;
use zmon_wire::strict;

use super::build::{hex, message};
use crate::support::NOW;

/// Who signs, and what the messages are about.
pub struct After<'a> {
    pub device: &'a SoftIdentity,
    pub station: &'a SoftIdentity,
    /// The station's certificate, for `x5c`.
    pub x5c: &'a [CertificateDer<'static>],
    pub device_id: &'a DeviceId,
    pub session_id: SessionId,
    pub serial: Serial,
    pub configuration_hash: [u8; 32],
    /// The last row of the device's lane: `lane`, `seq`, `hash`.
    pub head: (&'a str, u64, [u8; 32]),
}

impl After<'_> {
    /// The sections of the file, by name.
    pub fn sections(&self, rng: &mut ChaCha20Rng) -> Vec<(&'static str, Value)> {
        let (commit_nonce, ask_nonce) = ([0x55; 32], [0x66; 32]);
        let status = StatusDocument {
            v: Default::default(),
            session_id: self.session_id,
            state: ProvisioningState::Provisioned,
            success: true,
            code: None,
            configuration_hash: Some(self.configuration_hash),
        };
        let commit = CommitRequest {
            v: Default::default(),
            session_id: self.session_id,
            serial: self.serial,
            nonce: commit_nonce,
        };
        let ask = OutcomeAsk {
            v: Default::default(),
            session_id: self.session_id,
            device_id: self.device_id.clone(),
            nonce: ask_nonce,
            serial: self.serial,
        };
        let retire = RetireStatement {
            v: Default::default(),
            device_id: self.device_id.clone(),
            serials: vec![self.serial],
            reason: RetireReason::Deprovisioned,
            counter: 1,
        };
        let status = self.by_device(Typ::Status, &strict::to_vec(&status).unwrap(), rng);
        let commit_answer = self.outcome(commit_nonce, rng);
        let ask = self.by_device(Typ::Ask, &strict::to_vec(&ask).unwrap(), rng);
        let ask_answer = self.outcome(ask_nonce, rng);
        let first = self.checkpoint(None, rng);
        let second = self.checkpoint(first["jws"].as_str(), rng);
        vec![
            ("status", status),
            (
                "commit",
                json!({
                    "request": core::str::from_utf8(&strict::to_vec(&commit).unwrap()).unwrap(),
                    "outcome": commit_answer,
                }),
            ),
            ("ask", json!({ "ask": ask, "outcome": ask_answer })),
            (
                "pull",
                json!({
                    "renewal": self.pull(Method::Renewal, None, rng),
                    "recovery": self.pull(Method::Recovery, Some(3), rng),
                }),
            ),
            ("retire", self.by_device(Typ::Retire, &strict::to_vec(&retire).unwrap(), rng)),
            ("checkpoints", json!([first, second])),
        ]
    }

    fn outcome(&self, nonce: [u8; 32], rng: &mut ChaCha20Rng) -> Value {
        let outcome = Outcome {
            v: Default::default(),
            session_id: self.session_id,
            device_id: self.device_id.clone(),
            serial: self.serial,
            nonce,
            result: OutcomeResult::Committed,
        };
        let payload = strict::to_vec(&outcome).unwrap();
        let jws = jws::sign(Typ::Outcome, Some(self.x5c), &payload, self.station, rng).unwrap();
        message(&payload, &jws)
    }

    fn pull(&self, method: Method, counter: Option<u64>, rng: &mut ChaCha20Rng) -> Value {
        let pull = Pull {
            v: Default::default(),
            device_id: self.device_id.clone(),
            method,
            serial: self.serial,
            nonce: [0x77; 32],
            counter,
        };
        let mut pull = self.by_device(Typ::Pull, &strict::to_vec(&pull).unwrap(), rng);
        let id = pull_id(pull["jws"].as_str().unwrap().as_bytes());
        pull["pullId"] = json!(hex(id.as_bytes()));
        pull
    }

    /// The first speaks for all rows but the last; the second goes on from it.
    fn checkpoint(&self, previous: Option<&str>, rng: &mut ChaCha20Rng) -> Value {
        let (lane, seq, hash) = self.head;
        let (seq, hash) = if previous.is_some() {
            (seq, hash)
        } else {
            (1, audit::chain(lane, 1, &audit::GENESIS, b"first record"))
        };
        let checkpoint = Checkpoint {
            heads: vec![LaneHead { hash, lane: lane.to_owned(), seq }],
            previous: previous.map(|jws| sha256(jws.as_bytes())),
            rows: seq,
            timestamp: Some(NOW * 1000),
            v: Default::default(),
        };
        self.by_device(Typ::Checkpoint, &strict::to_vec(&checkpoint).unwrap(), rng)
    }

    fn by_device(&self, typ: Typ, payload: &[u8], rng: &mut ChaCha20Rng) -> Value {
        let jws = jws::sign(typ, None, payload, self.device, rng).unwrap();
        message(payload, &jws)
    }
}
