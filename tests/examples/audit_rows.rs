//! A device's audit log of as many rows as wanted, by the product's own store and with its checkpoints, to
//! be verified, cut and edited at length:
//!
//! ```text
//! cargo run --release -p zmon-tests --example audit_rows -- ./log 1000000
//! zmon audit verify ./log
//! ```
#![expect(clippy::print_stdout, reason = "its report")]
#![expect(clippy::expect_used, reason = "what fails is its report")]

use std::path::PathBuf;
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use zmon_crypto::Suite;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::ids::{DeviceId, SessionId};
use zmon_domain::role::Actor;
use zmon_domain::time::{ClockQuality, Now, Tick, UnixTime};
use zmon_persistence::{DEVICE_DATABASE, FileKeyStore, PrivateDir, SqliteDeviceStore};
use zmon_protocol::device::DeviceRecord;
use zmon_provisioning::ports::{DeviceStore, KeyStore, SharedRng};

/// Rows of one transaction.
const BATCH: u64 = 500;
/// 2027-01-15T08:00:00Z
const START: i64 = 1_800_000_000;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().expect("a new directory"));
    let rows: u64 = arguments.next().and_then(|text| text.parse().ok()).expect("a number of rows");

    let private = Arc::new(PrivateDir::create(&dir).expect("a new directory"));
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let keys = FileKeyStore::create(Arc::clone(&private), Suite::P256, &mut rng);
    let keys: Arc<dyn KeyStore> = Arc::new(keys.expect("an identity"));
    let device = DeviceId::parse("ZM-001").expect("an identifier");
    let store = SqliteDeviceStore::open(private, device.clone(), keys, SharedRng::new(rng));
    let store = store.await.expect("a database");

    let mut written = 0;
    while written < rows {
        let end = rows.min(written + BATCH);
        let audit = (written..end).map(|number| event(number, &device)).collect();
        let record = DeviceRecord { audit, writes: Vec::new() };
        store.commit(&now(written), &record).await.expect("rows are added");
        written = end;
    }
    drop(store);
    let size = std::fs::metadata(dir.join(DEVICE_DATABASE)).expect("the database").len();
    println!("{rows} rows, {} MB", size / 1_000_000);
}

/// What a device writes: every kind of event in turn, each in a session of its own.
fn event(number: u64, device: &DeviceId) -> AuditEvent {
    let kinds = EventType::ALL;
    let index = usize::try_from(number).unwrap_or(usize::MAX) % kinds.len();
    let kind = kinds.get(index).copied().expect("there are events");
    let session = SessionId::from_bytes(u128::from(number).to_be_bytes());
    AuditEvent::new(kind, Actor::System).device(device).session(session).with("number", number)
}

/// A second for every batch.
fn now(number: u64) -> Now {
    let second = START + i64::try_from(number / BATCH).unwrap_or(i64::MAX);
    Now {
        mono: Tick::ZERO,
        wall: UnixTime::from_unix(second),
        quality: ClockQuality::Synced,
        millis: second.checked_mul(1000),
    }
}
