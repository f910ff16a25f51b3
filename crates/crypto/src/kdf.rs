//! HKDF-SHA256 (RFC 5869) and HMAC-SHA256 (RFC 2104) in the protocol's notation.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroize;

use crate::secret::Secret32;

/// `Extract(salt, ikm)`.
pub(crate) fn extract(salt: &[u8], ikm: &[u8]) -> Secret32 {
    let (mut out, _) = Hkdf::<Sha256>::extract(Some(salt), ikm);
    let mut prk = Secret32::zeroed();
    prk.expose_mut().copy_from_slice(&out);
    out.as_mut_slice().zeroize();
    prk
}

/// `Expand(prk, info, out.len())`, where `info` is the concatenation of `info_parts`.
///
/// `out` is at most 255 × 32 bytes (RFC 5869 §2.3); the callers ask for 48 or fewer.
pub(crate) fn expand_into(prk: &Secret32, info_parts: &[&[u8]], out: &mut [u8]) {
    let done = Hkdf::<Sha256>::from_prk(prk.expose())
        .map_err(|_| ())
        .and_then(|hkdf| hkdf.expand_multi_info(info_parts, out).map_err(|_| ()));
    // Failing loudly is the safe side: an all-zero key must never be mistaken for a derived one.
    assert!(done.is_ok(), "a 32-byte key and at most 8,160 bytes of output are always accepted");
}

/// `Expand(prk, info, 32)`.
pub(crate) fn expand(prk: &Secret32, info_parts: &[&[u8]]) -> Secret32 {
    let mut out = Secret32::zeroed();
    expand_into(prk, info_parts, out.expose_mut());
    out
}

/// HMAC-SHA256 over the concatenation of `parts`.
pub(crate) fn hmac(key: &Secret32, parts: &[&[u8]]) -> [u8; 32] {
    mac_of(key, parts).finalize().into_bytes().into()
}

/// Whether `tag` is the HMAC-SHA256 of `parts`, compared in constant time.
///
/// `tag` may be shorter than 32 bytes: then the leftmost bytes count. An empty tag never passes.
pub(crate) fn hmac_matches(key: &Secret32, parts: &[&[u8]], tag: &[u8]) -> bool {
    mac_of(key, parts).verify_truncated_left(tag).is_ok()
}

fn mac_of(key: &Secret32, parts: &[&[u8]]) -> Hmac<Sha256> {
    // `KeyInit::new` takes exactly the block size; a 32-byte key goes in zero-padded, as
    // RFC 2104 §2 prescribes for keys shorter than a block.
    let mut block = [0_u8; 64];
    for (to, from) in block.iter_mut().zip(key.expose()) {
        *to = *from;
    }
    let mut mac = Hmac::<Sha256>::new((&block).into());
    block.zeroize();
    for part in parts {
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests;
