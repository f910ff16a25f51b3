//! The randomness port.

use core::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand_core::CryptoRng;

/// A cryptographic generator shared by the parts of a device: the driver, the link supervisor's
/// jitter, a key store. Binaries put the operating system's generator in, tests a seeded one.
///
/// **A predictable generator** makes codes, tokens and keys predictable; that is why the type asks
/// for [`CryptoRng`] and no number can be passed by mistake.
#[derive(Clone)]
pub struct SharedRng(Arc<Mutex<dyn CryptoRng + Send>>);

impl SharedRng {
    /// Wraps a generator.
    pub fn new(rng: impl CryptoRng + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(rng)))
    }

    /// Exclusive use until the guard is dropped; never hold it across an await.
    pub fn lock(&self) -> MutexGuard<'_, dyn CryptoRng + Send + 'static> {
        // A generator has no invariant that a panic elsewhere could break.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills `bytes`.
    pub fn fill(&self, bytes: &mut [u8]) {
        self.lock().fill_bytes(bytes);
    }
}

impl fmt::Debug for SharedRng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedRng")
    }
}
