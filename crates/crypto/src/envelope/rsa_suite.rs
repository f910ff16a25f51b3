//! Suite 2: RSAES-OAEP-SHA256 as a key encapsulation, HKDF-SHA256, AES-256-GCM.

use alloc::vec::Vec;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use rand_core::CryptoRng;
use rsa::Oaep;
use rsa::traits::PublicKeyParts;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{Context, EnvelopeError};
use crate::hash::sha256;
use crate::kdf;
use crate::labels;
use crate::secret::{Secret32, SecretBytes};

pub(super) fn seal(
    key: &rsa::PublicKey,
    context: &Context<'_>,
    plaintext: &[u8],
    rng: &mut dyn CryptoRng,
) -> Result<(Vec<u8>, Vec<u8>), EnvelopeError> {
    let cek = Secret32::generate(rng);
    let enc = key
        .encrypt(rng, Oaep::<Sha256>::new_with_label(context.info), cek.expose())
        .map_err(|_| EnvelopeError::Seal)?;
    let (cipher, nonce) = cipher(context, &cek, &enc).ok_or(EnvelopeError::Seal)?;
    let ct = cipher
        .encrypt(&nonce, Payload { msg: plaintext, aad: context.aad })
        .map_err(|_| EnvelopeError::Seal)?;
    Ok((enc, ct))
}

/// Runs only after the envelope's HMAC passed, and blinded: a stranger's ciphertext never reaches
/// the private key, and its timing tells nothing (RUSTSEC-2023-0071).
pub(super) fn open(
    key: &rsa::PrivateKey,
    context: &Context<'_>,
    enc: &[u8],
    ct: &[u8],
    rng: &mut dyn CryptoRng,
) -> Result<SecretBytes, EnvelopeError> {
    if enc.len() != key.size() {
        return Err(EnvelopeError::Open);
    }
    let cek = key
        .decrypt_blinded(rng, Oaep::<Sha256>::new_with_label(context.info), enc)
        .map(Zeroizing::new)
        .map_err(|_| EnvelopeError::Open)?;
    let cek = Secret32::from_slice(&cek).ok_or(EnvelopeError::Open)?;
    let (cipher, nonce) = cipher(context, &cek, enc).ok_or(EnvelopeError::Open)?;
    cipher
        .decrypt(&nonce, Payload { msg: ct, aad: context.aad })
        .map(SecretBytes::new)
        .map_err(|_| EnvelopeError::Open)
}

/// `key(32) ‖ iv(12) = Expand(Extract(salt = psk, CEK), "zp1 rsa" ‖ T ‖ H(enc), 44)`.
fn cipher(
    context: &Context<'_>,
    cek: &Secret32,
    enc: &[u8],
) -> Option<(Aes256Gcm, Nonce<aes_gcm::aead::consts::U12>)> {
    let prk = kdf::extract(context.psk.expose(), cek.expose());
    let mut okm = Zeroizing::new([0_u8; 44]);
    let info: [&[u8]; 3] = [labels::RSA, context.transcript.as_bytes(), &sha256(enc)];
    kdf::expand_into(&prk, &info, okm.as_mut_slice());
    let (key, iv) = okm.split_at(32);
    let cipher = Aes256Gcm::new_from_slice(key).ok()?;
    Some((cipher, Nonce::try_from(iv).ok()?))
}
