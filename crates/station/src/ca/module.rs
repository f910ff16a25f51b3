//! Keys that a hardware module keeps: it signs, and nobody reads them.

use core::fmt;
use std::sync::Arc;

use rand_core::CryptoRng;
use tokio::runtime::{Handle, RuntimeFlavor};
use zmon_crypto::{IdentityKey, IdentityPublic, KeyError, SecretBytes};

/// A P-256 key inside a module.
pub trait ModuleKey: Send + Sync {
    /// The public half.
    fn public(&self) -> &IdentityPublic;

    /// Signs `message` (not its hash): r ‖ s, 64 bytes. Randomness is the module's own. May block for as long
    /// as the module takes.
    ///
    /// # Errors
    /// [`KeyError::Signing`]; nothing was signed.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError>;
}

/// Where a key of the station is.
#[derive(Clone)]
pub enum CaKey {
    /// In a file, as these bytes (PKCS#8).
    File(SecretBytes),
    /// In a module.
    Module(Arc<dyn ModuleKey>),
}

impl CaKey {
    /// The bytes for a file; none of a key in a module.
    #[must_use]
    pub const fn file(&self) -> Option<&SecretBytes> {
        match self {
            Self::File(pkcs8) => Some(pkcs8),
            Self::Module(_) => None,
        }
    }
}

impl fmt::Debug for CaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File(_) => "File([secret])",
            Self::Module(_) => "Module",
        })
    }
}

/// Keys of a new station that were made in a module; the others are made here.
#[derive(Clone, Default)]
pub struct CaModules {
    /// The client CA's.
    pub client_ca: Option<Arc<dyn ModuleKey>>,
    /// That of configuration signing.
    pub signing: Option<Arc<dyn ModuleKey>>,
}

/// A module's key where any signing key is asked for.
pub(super) struct ModuleSigner(pub(super) Arc<dyn ModuleKey>);

impl IdentityKey for ModuleSigner {
    fn public(&self) -> &IdentityPublic {
        self.0.public()
    }

    fn sign(&self, message: &[u8], _: &mut dyn CryptoRng) -> Result<Vec<u8>, KeyError> {
        waiting(|| self.0.sign(message))
    }
}

/// Runs what may wait for a module: the other tasks of this thread go on elsewhere meanwhile. A runtime of one
/// thread has no elsewhere.
fn waiting<T>(sign: impl FnOnce() -> T) -> T {
    let flavor = Handle::try_current().map(|runtime| runtime.runtime_flavor());
    match flavor {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(sign),
        Ok(_) | Err(_) => sign(),
    }
}
