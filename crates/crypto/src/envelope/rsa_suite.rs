//! Suite 2: RSAES-OAEP-SHA256 as a key encapsulation, HKDF-SHA256, AES-256-GCM.

use alloc::vec::Vec;

use rand_core::CryptoRng;
use rsa::Oaep;
use rsa::traits::PublicKeyParts;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::content::ContentKey;
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
    let ct = content_key(context, &cek, &enc)
        .encrypt(context.aad, plaintext)
        .ok_or(EnvelopeError::Seal)?;
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
    let cek = decapsulate(key, context.info, enc, rng).ok_or(EnvelopeError::Open)?;
    let cek = Secret32::from_slice(&cek).ok_or(EnvelopeError::Open)?;
    content_key(context, &cek, enc)
        .decrypt(context.aad, ct)
        .map(SecretBytes::new)
        .ok_or(EnvelopeError::Open)
}

/// RSAES-OAEP decryption with SHA-256 and MGF1-SHA-256 (RFC 8017 §7.1.2), blinded.
pub(crate) fn decapsulate(
    key: &rsa::PrivateKey,
    label: &[u8],
    enc: &[u8],
    rng: &mut dyn CryptoRng,
) -> Option<Zeroizing<Vec<u8>>> {
    if enc.len() != key.size() {
        return None;
    }
    let oaep = Oaep::<Sha256>::new_with_label(label);
    key.decrypt_blinded(rng, oaep, enc).map(Zeroizing::new).ok()
}

/// `key(32) ‖ iv(12) = Expand(Extract(salt = psk, CEK), "zp1 rsa" ‖ T ‖ H(enc), 44)`.
fn content_key(context: &Context<'_>, cek: &Secret32, enc: &[u8]) -> ContentKey {
    let prk = kdf::extract(context.psk.expose(), cek.expose());
    let info: [&[u8]; 3] = [labels::RSA, context.transcript.as_bytes(), &sha256(enc)];
    ContentKey::derive(|okm| kdf::expand_into(&prk, &info, okm))
}
