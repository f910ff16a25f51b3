//! The key store and the generator, off the runtime's threads: key files are synced, and a secure
//! element may take its time.

use std::sync::Arc;

use async_trait::async_trait;
use zmon_crypto::jws::{self, Typ};
use zmon_crypto::{IdentityPublic, Secret32};
use zmon_domain::error::ErrorCode;
use zmon_provisioning::ports::{KeyStore, KeyStoreError, SharedRng};

use crate::audit::CheckpointSigner;
use crate::error::{PersistenceError, Result};

/// Key store and generator of one device.
#[derive(Clone)]
pub(super) struct Keys {
    store: Arc<dyn KeyStore>,
    rng: SharedRng,
}

impl Keys {
    pub(super) fn new(store: Arc<dyn KeyStore>, rng: SharedRng) -> Self {
        Self { store, rng }
    }

    pub(super) fn rng(&self) -> &SharedRng {
        &self.rng
    }

    pub(super) fn identity(&self) -> IdentityPublic {
        self.store.identity().public().clone()
    }

    pub(super) fn derive(&self, label: &[u8]) -> Result<Secret32> {
        Ok(self.store.derive(label)?)
    }

    /// Makes the secret of a generation that no slot uses; a left-over of an interrupted attempt is
    /// destroyed first.
    pub(super) async fn create(&self, generation: u64) -> Result<Secret32> {
        self.run(move |keys| {
            keys.store.destroy_slot_secret(generation)?;
            keys.store.create_slot_secret(generation, &mut *keys.rng.lock())
        })
        .await
    }

    /// The secret of a stored slot. That there is none means damage: it was durable before the slot.
    pub(super) async fn read(&self, generation: u64) -> Result<Secret32> {
        self.run(move |keys| keys.store.slot_secret(generation)).await?.ok_or_else(|| {
            PersistenceError::corrupt(format!("the secret of slot generation {generation} is lost"))
        })
    }

    pub(super) async fn destroy(&self, generation: u64) -> Result<()> {
        self.run(move |keys| keys.store.destroy_slot_secret(generation)).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, KeyStoreError> + Send + 'static,
    ) -> Result<T> {
        Ok(self.blocking(work).await??)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T> {
        let keys = self.clone();
        tokio::task::spawn_blocking(move || work(&keys)).await.map_err(|error| {
            let context = "the key store did not answer";
            PersistenceError::caused_by(ErrorCode::KeyStoreUnavailable, context, error)
        })
    }
}

#[async_trait]
impl CheckpointSigner for Keys {
    async fn sign(&self, payload: Vec<u8>) -> Result<String> {
        let signed = self
            .blocking(move |keys| {
                let identity = keys.store.identity();
                jws::sign(Typ::Checkpoint, None, &payload, identity, &mut *keys.rng.lock())
            })
            .await?;
        signed.map_err(|error| {
            PersistenceError::caused_by(error.code(), "a checkpoint cannot be signed", error)
        })
    }
}
