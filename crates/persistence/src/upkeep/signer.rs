//! The station's audit key in the hands of a tool.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rand_core::CryptoRng;
use zmon_crypto::IdentityKey;
use zmon_crypto::jws::{self, Typ};

use crate::audit::CheckpointSigner;
use crate::error::{PersistenceError, Result};

/// Signs checkpoints, and draws what a tool needs at random.
#[derive(Clone)]
pub struct AuditSigner {
    key: Arc<dyn IdentityKey>,
    rng: Arc<Mutex<Box<dyn CryptoRng + Send>>>,
}

impl AuditSigner {
    /// A station's audit key, and where randomness comes from.
    #[must_use]
    pub fn new(key: Arc<dyn IdentityKey>, rng: Box<dyn CryptoRng + Send>) -> Self {
        Self { key, rng: Arc::new(Mutex::new(rng)) }
    }

    /// The key.
    pub(super) fn key(&self) -> &dyn IdentityKey {
        &*self.key
    }

    /// Draws from the generator.
    pub(super) fn draw<T>(&self, draw: impl FnOnce(&mut dyn CryptoRng) -> T) -> T {
        draw(&mut **self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl CheckpointSigner for AuditSigner {
    async fn sign(&self, payload: Vec<u8>) -> Result<String> {
        self.draw(|rng| jws::sign(Typ::Checkpoint, None, &payload, self.key(), rng)).map_err(
            |error| {
                PersistenceError::caused_by(error.code(), "a checkpoint cannot be signed", error)
            },
        )
    }
}
