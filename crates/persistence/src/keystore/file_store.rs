//! The key store over files.

use std::fmt;
use std::sync::Arc;

use rand_core::CryptoRng;
use zmon_crypto::{IdentityKey, RootSecret, Secret32, SoftIdentity, Suite};
use zmon_domain::error::ErrorCode;
use zmon_provisioning::ports::{KeyStore, KeyStoreError};
use zmon_wire::kind::KeyProtection;

use super::slots::SlotSecrets;
use crate::error::{PersistenceError, Result};
use crate::fs::PrivateDir;
use crate::seal;

const ROOT: &str = "root.key";
const IDENTITY: &str = "identity.key";
/// Keys that are to take the place of the two.
const STAGED_ROOT: &str = "root.key.new";
const STAGED_IDENTITY: &str = "identity.key.new";
/// A sealed RSA-2048 key in PKCS#8 takes some 1,250 bytes.
const IDENTITY_MAX: usize = 8192;
/// What `identity.key` is sealed for: no other file opens under the same key.
const IDENTITY_AAD: &[u8] = b"file|identity.key";

/// Identity key, root secret and slot secrets in files.
pub struct FileKeyStore {
    root: RootSecret,
    identity: SoftIdentity,
    slots: SlotSecrets,
}

impl FileKeyStore {
    /// Makes root secret and identity key in `dir`.
    ///
    /// The root is durable before the identity that is sealed under it; a run that died in between
    /// is taken up where it stopped.
    ///
    /// # Errors
    /// `StateConflict` if there is an identity already; the file errors of [`FileKeyStore::open`].
    pub fn create(dir: Arc<PrivateDir>, suite: Suite, rng: &mut dyn CryptoRng) -> Result<Self> {
        if dir.contains(IDENTITY)? {
            let context = format!("{}: exists already", dir.path().join(IDENTITY).display());
            return Err(PersistenceError::new(ErrorCode::StateConflict, context));
        }
        let root = if dir.contains(ROOT)? {
            read_root(&dir, ROOT)?
        } else {
            let root = RootSecret::generate(rng);
            dir.create_file(ROOT, root.as_secret().expose())?;
            root
        };
        let identity = SoftIdentity::generate(suite, rng).map_err(|error| {
            PersistenceError::caused_by(error.code(), "the identity key cannot be made", error)
        })?;
        let pkcs8 = identity.to_pkcs8().map_err(|error| {
            PersistenceError::caused_by(error.code(), "the identity key cannot be written", error)
        })?;
        let key = root.identity_sealing_key();
        dir.create_file(IDENTITY, &seal::seal(&key, IDENTITY_AAD, pkcs8.expose(), rng)?)?;
        Self::open(dir)
    }

    /// Opens the key files of `dir`.
    ///
    /// # Errors
    /// `NotInitialised` without an identity; `KeyFileModeTooWide`, `KeyFileIsSymlink` and
    /// `KeyStoreUnavailable` for files others may reach; `StorageCorrupt` for damaged ones.
    pub fn open(dir: Arc<PrivateDir>) -> Result<Self> {
        Self::read(dir, ROOT, IDENTITY)
    }

    fn read(dir: Arc<PrivateDir>, root: &str, identity: &str) -> Result<Self> {
        let root = read_root(&dir, root)?;
        let sealed = dir.read(identity, IDENTITY_MAX)?;
        let pkcs8 = seal::open(&root.identity_sealing_key(), IDENTITY_AAD, &sealed, IDENTITY)?;
        let identity = SoftIdentity::from_pkcs8(&pkcs8).map_err(|error| {
            let context = "identity.key: not an identity key";
            PersistenceError::caused_by(ErrorCode::StorageCorrupt, context, error)
        })?;
        let slots = SlotSecrets::open(dir, root.slot_key())?;
        Ok(Self { root, identity, slots })
    }

    /// Makes other keys beside those of `dir`, for [`FileKeyStore::install_staged`].
    ///
    /// # Errors
    /// The file errors of [`FileKeyStore::open`].
    pub(crate) fn stage(
        dir: Arc<PrivateDir>,
        suite: Suite,
        rng: &mut dyn CryptoRng,
    ) -> Result<Self> {
        let root = RootSecret::generate(rng);
        dir.create_file(STAGED_ROOT, root.as_secret().expose())?;
        let identity = SoftIdentity::generate(suite, rng).map_err(|error| {
            PersistenceError::caused_by(error.code(), "the identity key cannot be made", error)
        })?;
        let pkcs8 = identity.to_pkcs8().map_err(|error| {
            PersistenceError::caused_by(error.code(), "the identity key cannot be written", error)
        })?;
        let key = root.identity_sealing_key();
        dir.create_file(STAGED_IDENTITY, &seal::seal(&key, IDENTITY_AAD, pkcs8.expose(), rng)?)?;
        Self::read(dir, STAGED_ROOT, STAGED_IDENTITY)
    }

    /// The keys that were staged; those of a run that died before both were there are destroyed.
    ///
    /// # Errors
    /// The file errors of [`FileKeyStore::open`].
    pub(crate) fn staged(dir: &Arc<PrivateDir>) -> Result<Option<Self>> {
        if dir.contains(STAGED_ROOT)? && dir.contains(STAGED_IDENTITY)? {
            return Self::read(Arc::clone(dir), STAGED_ROOT, STAGED_IDENTITY).map(Some);
        }
        Self::drop_staged(dir)?;
        Ok(None)
    }

    /// Puts the staged keys in the place of the old ones, which are gone then. Idempotent.
    ///
    /// # Errors
    /// The file errors of [`FileKeyStore::open`].
    pub(crate) fn install_staged(dir: &PrivateDir) -> Result<()> {
        for (staged, name, most) in
            [(STAGED_ROOT, ROOT, Secret32::LEN), (STAGED_IDENTITY, IDENTITY, IDENTITY_MAX)]
        {
            dir.replace_file(name, &dir.read(staged, most)?)?;
        }
        Self::drop_staged(dir)
    }

    /// Whether there are keys that a power cut has kept from their place: then
    /// [`crate::make_new_identity`] comes before everything else.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn has_staged(dir: &PrivateDir) -> Result<bool> {
        Ok(dir.contains(STAGED_ROOT)? || dir.contains(STAGED_IDENTITY)?)
    }

    fn drop_staged(dir: &PrivateDir) -> Result<()> {
        dir.destroy_file(STAGED_IDENTITY)?;
        dir.destroy_file(STAGED_ROOT)
    }

    /// The generations that have a slot secret, for tests and for whoever examines a device.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn slot_generations(&self) -> Result<Vec<u64>> {
        self.slots.generations()
    }
}

impl KeyStore for FileKeyStore {
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
        Ok(self.slots.create(generation, rng)?)
    }

    fn slot_secret(&self, generation: u64) -> Result<Option<Secret32>, KeyStoreError> {
        Ok(self.slots.read(generation)?)
    }

    fn destroy_slot_secret(&self, generation: u64) -> Result<(), KeyStoreError> {
        Ok(self.slots.destroy(generation)?)
    }
}

impl fmt::Debug for FileKeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileKeyStore").field("identity", self.identity.public()).finish()
    }
}

fn read_root(dir: &PrivateDir, name: &str) -> Result<RootSecret> {
    let bytes = dir.read(name, Secret32::LEN)?;
    let secret = Secret32::from_slice(&bytes)
        .ok_or_else(|| PersistenceError::corrupt("root.key: must be exactly 32 bytes"))?;
    Ok(RootSecret::from_secret(secret))
}
