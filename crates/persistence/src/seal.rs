//! Sealing at rest: AES-256-GCM with a random 96-bit nonce in front (D19).

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use rand_core::CryptoRng;
use zeroize::Zeroizing;
use zmon_crypto::Secret32;
use zmon_domain::error::ErrorCode;

use crate::error::{PersistenceError, Result};

const NONCE: usize = 12;
const TAG: usize = 16;

/// `nonce(12) ‖ ciphertext ‖ tag(16)`.
///
/// Random nonces are safe here: a slot secret seals at most three values in its life, the file keys
/// one per stored key, far below the 2³² of NIST SP 800-38D §8.3.
pub(crate) fn seal(
    key: &Secret32,
    aad: &[u8],
    plaintext: &[u8],
    rng: &mut dyn CryptoRng,
) -> Result<Vec<u8>> {
    let mut nonce = [0; NONCE];
    rng.fill_bytes(&mut nonce);
    let sealed = cipher(key)
        .encrypt(&Nonce::from(nonce), Payload { msg: plaintext, aad })
        .map_err(|_| PersistenceError::new(ErrorCode::Internal, "a value cannot be sealed"))?;
    Ok([nonce.as_slice(), &sealed].concat())
}

/// The plaintext, if key and associated data are the ones it was sealed with and no bit differs.
pub(crate) fn open(
    key: &Secret32,
    aad: &[u8],
    sealed: &[u8],
    what: &str,
) -> Result<Zeroizing<Vec<u8>>> {
    let damaged = || PersistenceError::corrupt(format!("{what}: the sealed value does not open"));
    let (nonce, body) = sealed.split_first_chunk::<NONCE>().ok_or_else(damaged)?;
    if body.len() < TAG {
        return Err(damaged());
    }
    cipher(key)
        .decrypt(&Nonce::from(*nonce), Payload { msg: body, aad })
        .map(Zeroizing::new)
        .map_err(|_| damaged())
}

fn cipher(key: &Secret32) -> Aes256Gcm {
    Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key.expose()))
}
