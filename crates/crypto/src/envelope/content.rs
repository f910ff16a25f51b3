//! The content cipher of suite 2: AES-256-GCM (SP 800-38D) under a key and a nonce that are used once.

use alloc::vec::Vec;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use zeroize::Zeroizing;

/// Key and nonce of one ciphertext: 32 and 12 bytes, as they are derived. Wiped on drop.
pub(crate) struct ContentKey(Zeroizing<[u8; Self::LEN]>);

impl ContentKey {
    /// Length in bytes of key and nonce together.
    pub(crate) const LEN: usize = 44;

    /// Takes what `derive` writes.
    pub(crate) fn derive(derive: impl FnOnce(&mut [u8])) -> Self {
        let mut bytes = Zeroizing::new([0; Self::LEN]);
        derive(bytes.as_mut_slice());
        Self(bytes)
    }

    /// Ciphertext with the tag of 16 bytes behind it.
    pub(crate) fn encrypt(self, aad: &[u8], msg: &[u8]) -> Option<Vec<u8>> {
        let (cipher, nonce) = self.cipher()?;
        cipher.encrypt(&nonce, Payload { msg, aad }).ok()
    }

    /// The plaintext; nothing if a single bit was changed.
    pub(crate) fn decrypt(self, aad: &[u8], msg: &[u8]) -> Option<Vec<u8>> {
        let (cipher, nonce) = self.cipher()?;
        cipher.decrypt(&nonce, Payload { msg, aad }).ok()
    }

    fn cipher(&self) -> Option<(Aes256Gcm, Nonce<aes_gcm::aead::consts::U12>)> {
        let (key, iv) = self.0.split_at(32);
        Some((Aes256Gcm::new_from_slice(key).ok()?, Nonce::try_from(iv).ok()?))
    }
}
