//! A device's keys.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rand_core::CryptoRng;
use zmon_crypto::{IdentityKey, RootSecret, Secret32, SoftIdentity};
use zmon_provisioning::ports::{KeyStore, KeyStoreError};
use zmon_wire::kind::KeyProtection;

use crate::lock;

/// Keys in memory; they outlive the process.
pub(super) struct Keys {
    root: RootSecret,
    identity: Arc<SoftIdentity>,
    slots: Mutex<BTreeMap<u64, Secret32>>,
}

impl Keys {
    pub(super) fn new(identity: SoftIdentity, rng: &mut dyn CryptoRng) -> Self {
        let root = RootSecret::generate(rng);
        Self { root, identity: Arc::new(identity), slots: Mutex::default() }
    }

    /// The identity key, for whoever signs checkpoints.
    pub(super) fn signer(&self) -> Arc<dyn IdentityKey> {
        Arc::clone(&self.identity) as _
    }
}

impl KeyStore for Keys {
    fn identity(&self) -> &dyn IdentityKey {
        self.identity.as_ref()
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
        lock(&self.slots).insert(generation, secret.clone());
        Ok(secret)
    }

    fn slot_secret(&self, generation: u64) -> Result<Option<Secret32>, KeyStoreError> {
        Ok(lock(&self.slots).get(&generation).cloned())
    }

    fn destroy_slot_secret(&self, generation: u64) -> Result<(), KeyStoreError> {
        lock(&self.slots).remove(&generation);
        Ok(())
    }
}
