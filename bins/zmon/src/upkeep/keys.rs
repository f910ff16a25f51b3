//! The keys of a station that its upkeep needs.

use std::{path::Path, sync::Arc};

use zmon_cli::Failure;
use zmon_crypto::{IdentityKey, IdentityPublic, RootSecret, Secret32, SecretBytes, SoftIdentity};
use zmon_domain::error::ErrorCode;
use zmon_persistence::{AuditSigner, Protection, read_file};

use super::stored;
use crate::entropy::generator;

/// Longest key file, in bytes.
const KEY_MAX: usize = 16_384;
/// The key that signs checkpoints.
const AUDIT: &str = "keys/audit.key";
/// The station's root secret.
const ROOT: &str = "keys/root.key";

/// What opens a station's high-water mark and signs its checkpoints.
#[derive(Clone)]
pub(crate) struct Keys {
    pub(crate) root: RootSecret,
    pub(crate) signer: AuditSigner,
    public: IdentityPublic,
}

impl Keys {
    /// Reads them from a station's directory.
    ///
    /// # Errors
    /// What the key files say, with the path.
    pub(crate) fn load(dir: &Path) -> Result<Self, Failure> {
        let read = |name: &str| {
            let path = dir.join(name);
            read_file(&path, KEY_MAX, Protection::Private)
                .map(|bytes| (path, bytes))
                .map_err(stored)
        };
        let (path, pkcs8) = read(AUDIT)?;
        let pkcs8 = SecretBytes::copy_from(&pkcs8);
        let key = SoftIdentity::from_pkcs8(pkcs8.expose()).map_err(|error| {
            Failure::new(error.code()).context(format!("{}: {error}", path.display()))
        })?;
        let (path, root) = read(ROOT)?;
        let root = Secret32::from_slice(&root).ok_or_else(|| {
            let context = format!("{}: must be {} bytes", path.display(), Secret32::LEN);
            Failure::new(ErrorCode::StorageCorrupt).context(context)
        })?;
        let public = key.public().clone();
        let signer = AuditSigner::new(Arc::new(key), generator());
        Ok(Self { root: RootSecret::from_secret(root), signer, public })
    }

    /// What verifies the station's checkpoints.
    pub(crate) fn public(&self) -> IdentityPublic {
        self.public.clone()
    }
}
