//! Checks on RSA keys, shared by identities and the key encapsulation of suite 2.

use alloc::vec::Vec;

use rand_core::CryptoRng;
use rsa::pkcs8::{DecodePublicKey, EncodePublicKey};
use rsa::traits::PublicKeyParts;
use rsa::{BoxedUint, PrivateKey, PublicKey};

use super::KeyError;

/// Modulus length of the keys this crate makes, in bits.
pub(crate) const GENERATED_BITS: usize = 2048;
/// Modulus lengths accepted from others, in bits: SP 800-131A's floor, and a ceiling on work.
pub(crate) const ACCEPTED_BITS: core::ops::RangeInclusive<u32> = 2048..=4096;

/// Makes a key of [`GENERATED_BITS`] with public exponent 65,537.
pub(crate) fn generate(rng: &mut dyn CryptoRng) -> Result<PrivateKey, KeyError> {
    PrivateKey::new(rng, GENERATED_BITS).map_err(|_| KeyError::Generation)
}

/// Parses an SPKI and checks the key's strength.
pub(crate) fn parse_public(spki_der: &[u8]) -> Result<PublicKey, KeyError> {
    let key = PublicKey::from_public_key_der(spki_der).map_err(|_| KeyError::Malformed)?;
    check_strength(&key)?;
    Ok(key)
}

/// The SPKI of `key`.
pub(crate) fn public_to_der(key: &PublicKey) -> Result<Vec<u8>, KeyError> {
    let document = key.to_public_key_der().map_err(|_| KeyError::Malformed)?;
    Ok(document.as_bytes().to_vec())
}

/// RSA ≥ 2,048 bits with an odd public exponent in 65,537 ..= 2³² (T14, SP 800-57 part 1).
pub(crate) fn check_strength(key: &impl PublicKeyParts) -> Result<(), KeyError> {
    let bits = key.n().bit_width_vartime();
    let e = key.e();
    let weak = !ACCEPTED_BITS.contains(&bits)
        || e < &BoxedUint::from(65_537_u64)
        || e > &BoxedUint::from(1_u64 << 32)
        || !e.bit_vartime(0);
    if weak { Err(KeyError::Weak) } else { Ok(()) }
}
