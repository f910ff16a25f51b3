//! One file per slot secret.

use std::sync::Arc;

use rand_core::CryptoRng;
use zmon_crypto::Secret32;

use crate::error::{PersistenceError, Result};
use crate::fs::PrivateDir;
use crate::seal;

const FOLDER: &str = "slots";
const SUFFIX: &str = ".key";
const SEALED_MAX: usize = 128;

/// The slot secrets, each sealed for its own generation.
pub(super) struct SlotSecrets {
    folder: PrivateDir,
    key: Secret32,
    /// Keeps the lock of the directory above for as long as the folder is in use.
    _parent: Arc<PrivateDir>,
}

impl SlotSecrets {
    pub(super) fn open(parent: Arc<PrivateDir>, key: Secret32) -> Result<Self> {
        Ok(Self { folder: parent.subdirectory(FOLDER)?, key, _parent: parent })
    }

    /// Durable when this returns; an existing secret is never replaced.
    pub(super) fn create(&self, generation: u64, rng: &mut dyn CryptoRng) -> Result<Secret32> {
        let secret = Secret32::generate(rng);
        let sealed = seal::seal(&self.key, &aad(generation), secret.expose(), rng)?;
        self.folder.create_file(&name(generation), &sealed)?;
        Ok(secret)
    }

    pub(super) fn read(&self, generation: u64) -> Result<Option<Secret32>> {
        let name = name(generation);
        if !self.folder.contains(&name)? {
            return Ok(None);
        }
        let sealed = self.folder.read(&name, SEALED_MAX)?;
        let plain = seal::open(&self.key, &aad(generation), &sealed, &name)?;
        match Secret32::from_slice(&plain) {
            Some(secret) => Ok(Some(secret)),
            None => Err(PersistenceError::corrupt(format!("{name}: not a slot secret"))),
        }
    }

    pub(super) fn destroy(&self, generation: u64) -> Result<()> {
        self.folder.destroy_file(&name(generation))
    }

    /// Every generation that has a secret. Left-overs of interrupted writes are wiped on the way.
    pub(super) fn generations(&self) -> Result<Vec<u64>> {
        let mut generations = Vec::new();
        for name in self.folder.names()? {
            match name.strip_suffix(SUFFIX).and_then(|number| number.parse().ok()) {
                Some(generation) if self::name(generation) == name => generations.push(generation),
                _ if name.ends_with(".tmp") => self.folder.destroy_file(&name)?,
                _ => {}
            }
        }
        Ok(generations)
    }
}

fn name(generation: u64) -> String {
    format!("{generation}{SUFFIX}")
}

fn aad(generation: u64) -> Vec<u8> {
    format!("file|{FOLDER}|{generation}").into_bytes()
}
