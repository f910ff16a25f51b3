//! A device's keys and durable memory.

use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_core::CryptoRng;
use zmon_crypto::{IdentityKey, RootSecret, Secret32, SoftIdentity, Suite};
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::time::Now;
use zmon_protocol::device::{BootState, DeviceRecord};
use zmon_provisioning::ports::{
    AuditPage, AuditReport, AuditRow, DeviceStore, KeyStore, KeyStoreError, StoreError,
};
use zmon_wire::kind::KeyProtection;

/// Keys in memory.
pub(crate) struct MemoryKeys {
    root: RootSecret,
    identity: SoftIdentity,
    slots: Mutex<HashMap<u64, Secret32>>,
}

impl MemoryKeys {
    pub(crate) fn new(suite: Suite, seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        Self {
            root: RootSecret::generate(&mut rng),
            identity: SoftIdentity::generate(suite, &mut rng).unwrap(),
            slots: Mutex::default(),
        }
    }

    pub(crate) fn thumbprint16(&self) -> [u8; 16] {
        self.identity.public().thumbprint().short()
    }
}

impl KeyStore for MemoryKeys {
    fn identity(&self) -> &dyn IdentityKey {
        &self.identity
    }

    fn derive(&self, label: &[u8]) -> Result<Secret32, KeyStoreError> {
        Ok(self.root.derive(label))
    }

    fn protection(&self) -> KeyProtection {
        KeyProtection::File
    }

    fn create_slot_secret(
        &self,
        generation: u64,
        rng: &mut dyn CryptoRng,
    ) -> Result<Secret32, KeyStoreError> {
        let secret = Secret32::generate(rng);
        self.slots.lock().unwrap().insert(generation, secret.clone());
        Ok(secret)
    }

    fn slot_secret(&self, generation: u64) -> Result<Option<Secret32>, KeyStoreError> {
        Ok(self.slots.lock().unwrap().get(&generation).cloned())
    }

    fn destroy_slot_secret(&self, generation: u64) -> Result<(), KeyStoreError> {
        self.slots.lock().unwrap().remove(&generation);
        Ok(())
    }
}

/// A device that starts empty; keeps its audit rows and nothing else.
#[derive(Default)]
pub(crate) struct MemoryLog(Mutex<Vec<AuditEvent>>);

impl MemoryLog {
    pub(crate) fn events(&self) -> Vec<EventType> {
        self.0.lock().unwrap().iter().map(|row| row.event).collect()
    }
}

#[async_trait]
impl DeviceStore for MemoryLog {
    async fn load(&self) -> Result<BootState, StoreError> {
        Ok(BootState::default())
    }

    async fn commit(&self, _now: &Now, record: &DeviceRecord) -> Result<(), StoreError> {
        self.0.lock().unwrap().extend(record.audit.iter().cloned());
        Ok(())
    }

    async fn events(&self, page: AuditPage) -> Result<Vec<AuditRow>, StoreError> {
        let rows = self.0.lock().unwrap();
        let rows = (1..).zip(rows.iter()).filter(|(sequence, _)| *sequence > page.after);
        let limit = usize::try_from(page.limit).unwrap();
        Ok(rows
            .take(limit)
            .map(|(sequence, row)| {
                AuditRow::new(sequence, "device:ZM-001".into(), row.event, row.success)
            })
            .collect())
    }

    async fn verify_audit(&self) -> Result<AuditReport, StoreError> {
        Ok(AuditReport { lanes: Vec::new(), checkpoints: 3 })
    }

    async fn checkpoint(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }
}
