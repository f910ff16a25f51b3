//! The device's (or station's) root secret and the keys derived from it.

use core::fmt;

use rand_core::CryptoRng;
use zmon_domain::code::PairingCode;
use zmon_domain::ids::{SessionId, StationId};

use crate::kdf;
use crate::labels;
use crate::secret::Secret32;

/// 32 random bytes made once at initialisation and kept by the key store.
///
/// It never leaves the party that made it and is never used directly: every use goes through
/// `Expand(root, label, 32)` with a label of [`crate::labels`].
#[derive(Clone)]
pub struct RootSecret(Secret32);

impl RootSecret {
    /// Makes a new root secret.
    #[must_use]
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self(Secret32::generate(rng))
    }

    /// Wraps a root secret that the key store kept.
    #[must_use]
    pub fn from_secret(secret: Secret32) -> Self {
        Self(secret)
    }

    /// For the key store that must write it down.
    #[must_use]
    pub fn as_secret(&self) -> &Secret32 {
        &self.0
    }

    /// `Expand(root, label, 32)`; `label` is one of [`crate::labels`] or a key store's own.
    #[must_use]
    pub fn derive(&self, label: &[u8]) -> Secret32 {
        kdf::expand(&self.0, &[label])
    }

    /// Key that authenticates this device's pairing tokens (D3).
    #[must_use]
    pub fn token_key(&self) -> TokenKey {
        TokenKey(self.derive(labels::TOKEN))
    }

    /// Key of [`code_hash`].
    #[must_use]
    pub fn code_hash_key(&self) -> CodeHashKey {
        CodeHashKey(self.derive(labels::CODE_HASH))
    }

    /// Pepper mixed into operator PINs before Argon2id (D22).
    #[must_use]
    pub fn pin_pepper(&self) -> Secret32 {
        self.derive(labels::PIN)
    }

    /// Key under which a file key store seals slot secrets (D19).
    #[must_use]
    pub fn slot_key(&self) -> Secret32 {
        self.derive(labels::SLOT)
    }

    /// Key under which a station seals what it keeps of a running session, one for each session (D11).
    #[must_use]
    pub fn held_session_key(&self, session: &SessionId) -> Secret32 {
        kdf::expand(&self.0, &[labels::HELD, session.as_bytes()])
    }

    /// Key under which a station seals how far its record had come (D16).
    #[must_use]
    pub fn high_water_key(&self, station: &StationId) -> Secret32 {
        kdf::expand(&self.0, &[labels::HIGH_WATER, station.as_str().as_bytes()])
    }

    /// Key under which a file key store seals the identity key (D19).
    #[must_use]
    pub fn identity_sealing_key(&self) -> Secret32 {
        self.derive(labels::IDENTITY)
    }
}

impl fmt::Debug for RootSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Key of the token MAC, `Expand(root, "zp1 token", 32)`.
#[derive(Clone, Debug)]
pub struct TokenKey(pub(crate) Secret32);

impl TokenKey {
    /// For a key store that derives without showing the root secret.
    #[must_use]
    pub fn from_secret(secret: Secret32) -> Self {
        Self(secret)
    }
}

/// Key of [`code_hash`], `Expand(root, "zp1 code hash", 32)`.
#[derive(Clone, Debug)]
pub struct CodeHashKey(Secret32);

impl CodeHashKey {
    /// For a key store that derives without showing the root secret.
    #[must_use]
    pub fn from_secret(secret: Secret32) -> Self {
        Self(secret)
    }
}

/// The keyed hash that stands for a pairing code in the audit log (D16, [W §12.1]).
///
/// Keyed, because nine symbols can be searched: a copy of the log tells nothing about the codes.
/// Two spellings of one code hash alike, since the canonical display form is what is hashed.
#[must_use]
pub fn code_hash(key: &CodeHashKey, code: &PairingCode) -> [u8; 32] {
    kdf::hmac(&key.0, &[code.display().as_bytes()])
}

#[cfg(test)]
mod tests;
