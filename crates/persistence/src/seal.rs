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
/// More than the cipher uses of the stack, in bytes.
const STACK: usize = 32 * 1024;

/// `nonce(12) ‖ ciphertext ‖ tag(16)`.
///
/// Random nonces are safe here: a slot secret seals at most three values in its life, the file keys
/// one per stored key, the key of a running session one per step, far below the 2³² of NIST SP 800-38D
/// §8.3.
pub(crate) fn seal(
    key: &Secret32,
    aad: &[u8],
    plaintext: &[u8],
    rng: &mut dyn CryptoRng,
) -> Result<Vec<u8>> {
    let mut nonce = [0; NONCE];
    rng.fill_bytes(&mut nonce);
    let sealed = cipher(key).encrypt(&Nonce::from(nonce), Payload { msg: plaintext, aad });
    wipe_stack();
    let sealed = sealed
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
    let plain = cipher(key).decrypt(&Nonce::from(*nonce), Payload { msg: body, aad });
    wipe_stack();
    plain.map(Zeroizing::new).map_err(|_| damaged())
}

/// Overwrites what the cipher has left below the caller's frame: it works on up to a kilobyte of plaintext at a
/// time, in registers where there are enough of them and on the stack where not.
#[inline(never)]
fn wipe_stack() {
    core::hint::black_box(&mut [0_u8; STACK]);
}

fn cipher(key: &Secret32) -> Aes256Gcm {
    Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key.expose()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    proptest! {
        #[test]
        fn only_the_same_key_place_and_bytes_open(
            plain in prop::collection::vec(any::<u8>(), 0..200),
            aad in "[a-z|0-9]{1,20}",
            seed: u64,
            flip: prop::sample::Index,
        ) {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            let key = Secret32::generate(&mut rng);
            let sealed = seal(&key, aad.as_bytes(), &plain, &mut rng).unwrap();
            prop_assert_eq!(sealed.len(), NONCE + plain.len() + TAG);
            let opened = open(&key, aad.as_bytes(), &sealed, "test").unwrap();
            prop_assert_eq!(opened.as_slice(), plain.as_slice());

            let again = seal(&key, aad.as_bytes(), &plain, &mut rng).unwrap();
            prop_assert_ne!(&again, &sealed);
            prop_assert!(open(&Secret32::generate(&mut rng), aad.as_bytes(), &sealed, "t").is_err());
            let elsewhere = [aad.as_bytes(), b"|"].concat();
            prop_assert!(open(&key, &elsewhere, &sealed, "t").is_err());
            let mut damaged = sealed.clone();
            damaged[flip.index(sealed.len())] ^= 0x10;
            prop_assert!(open(&key, aad.as_bytes(), &damaged, "t").is_err());
            prop_assert!(open(&key, aad.as_bytes(), &sealed[..sealed.len() - 1], "t").is_err());
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let key = Secret32::from_bytes([7; 32]);
            prop_assert!(open(&key, b"", &bytes, "test").is_err());
        }
    }
}
