//! Keys that never leave, or leave only derived.

use rand_core::CryptoRng;
use zmon_crypto::{IdentityKey, Secret32};
use zmon_domain::error::ErrorCode;
use zmon_wire::kind::KeyProtection;

/// Identity key, root secret and slot secrets (D19).
///
/// **A secret that survives [`destroy_slot_secret`](Self::destroy_slot_secret)** means an old
/// certificate's key can be read from a stolen backup. **A secret lost too early** makes a slot
/// unreadable: the device must pair again. A key store says honestly what it protects against
/// ([`protection`](Self::protection)): `file` guards database copies, not a stolen disk.
pub trait KeyStore: Send + Sync {
    /// The key that says who this device is; it only signs (D5).
    fn identity(&self) -> &dyn IdentityKey;

    /// `Expand(root, label, 32)` with a label of [`zmon_crypto::labels`]; the root itself never leaves.
    fn derive(&self, label: &[u8]) -> Result<Secret32, KeyStoreError>;

    /// `file` or `hardware`, told to the station in the identity document.
    fn protection(&self) -> KeyProtection;

    /// Makes the secret of slot `generation`, durable when this returns. Fails if it exists.
    fn create_slot_secret(
        &self,
        generation: u64,
        rng: &mut dyn CryptoRng,
    ) -> Result<Secret32, KeyStoreError>;

    /// The secret of slot `generation`; `None` once destroyed or never made.
    fn slot_secret(&self, generation: u64) -> Result<Option<Secret32>, KeyStoreError>;

    /// Destroys it: wiping a slot *is* this call. Destroying what is not there succeeds.
    fn destroy_slot_secret(&self, generation: u64) -> Result<(), KeyStoreError>;
}

/// Why a key could not be made or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyStoreError {
    /// Not readable, not writable, or the secure element does not answer.
    #[error("the key store cannot be used: {0}")]
    Unavailable(String),
    /// The key is there and damaged.
    #[error("a stored key is damaged: {0}")]
    Corrupt(String),
    /// Others can read a key file or its directory.
    #[error("{path} has mode {mode:o}, must be {required:o}")]
    ModeTooWide {
        /// Which file or directory.
        path: String,
        /// Its permission bits.
        mode: u32,
        /// What they must be.
        required: u32,
    },
    /// A key file is a symbolic link.
    #[error("{0} is a symbolic link")]
    Symlink(String),
    /// No identity was made yet.
    #[error("the device has no identity yet")]
    NotInitialised,
}

impl KeyStoreError {
    /// The stable code shown to people.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Unavailable(_) | Self::Corrupt(_) => ErrorCode::KeyStoreUnavailable,
            Self::ModeTooWide { .. } => ErrorCode::KeyFileModeTooWide,
            Self::Symlink(_) => ErrorCode::KeyFileIsSymlink,
            Self::NotInitialised => ErrorCode::NotInitialised,
        }
    }
}
