//! Faults that only the inside of the store can show.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use zmon_crypto::{SecretBytes, Suite, sha256};
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::ids::{Serial, SessionId};
use zmon_domain::role::Actor;
use zmon_domain::time::{ClockQuality, Tick};

use super::*;
use crate::FileKeyStore;

const NOW: Now = Now { mono: Tick::ZERO, wall: None, quality: ClockQuality::None, millis: None };

fn staging(generation: u64) -> DeviceRecord {
    let slot = Slot {
        generation,
        session_id: SessionId::from_bytes([1; 16]),
        configuration_hash: sha256(b"{}"),
        configuration: SecretBytes::copy_from(b"{}"),
        client_key: SecretBytes::copy_from(b"key"),
        serial: Serial::from_bytes(&[1]).unwrap(),
    };
    DeviceRecord {
        audit: vec![AuditEvent::new(EventType::ConfigurationApplied, Actor::Peer)],
        writes: vec![DeviceWrite::StageB(slot)],
    }
}

async fn open(path: &std::path::Path) -> (Arc<FileKeyStore>, SqliteDeviceStore) {
    let dir = Arc::new(PrivateDir::create(path).unwrap());
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let keys = FileKeyStore::open(Arc::clone(&dir))
        .or_else(|_| FileKeyStore::create(Arc::clone(&dir), Suite::P256, &mut rng));
    let keys = Arc::new(keys.unwrap());
    let shared = Arc::clone(&keys) as Arc<dyn KeyStore>;
    let device = DeviceId::parse("ZM-001").unwrap();
    let store = SqliteDeviceStore::open(dir, device, shared, SharedRng::new(rng)).await;
    (keys, store.unwrap())
}

/// The fsync of a commit fails: the medium may have it or not, and the next start finds out.
#[tokio::test]
async fn a_secret_outlives_a_commit_whose_outcome_is_unknown() {
    for kept in [true, false] {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("zmon");
        let (keys, store) = open(&path).await;
        // The first of the two commits is the note that a secret is about to be made.
        *store.database.unsynced.lock().await = [None, Some(kept)].into();
        let failed = store.commit(&NOW, &staging(1)).await;
        assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
        assert!(store.commit(&NOW, &staging(2)).await.is_err(), "closed to writes");
        assert_eq!(keys.slot_generations().unwrap(), [1], "it may be needed");
        drop((keys, store));

        let (keys, store) = open(&path).await;
        let boot = store.load().await.unwrap();
        assert_eq!(boot.slot_b.is_some(), kept);
        assert_eq!(keys.slot_generations().unwrap().len(), usize::from(kept));
    }
}
