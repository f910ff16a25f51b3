//! Suite 1: HPKE `mode_psk`, DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM (RFC 9180).

use alloc::vec::Vec;

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::DhP256HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, PskBundle, Serializable};
use rand_core::CryptoRng;

use super::{Context, EnvelopeError};
use crate::kem::{HpkePrivate, HpkePublic};
use crate::secret::SecretBytes;

/// Bytes of `enc`: an uncompressed point (RFC 9180 §7.1).
pub(super) const ENC_LEN: usize = 65;

pub(super) fn seal(
    key: &HpkePublic,
    context: &Context<'_>,
    plaintext: &[u8],
    mut rng: &mut dyn CryptoRng,
) -> Result<(Vec<u8>, Vec<u8>), EnvelopeError> {
    let psk = psk_bundle(context).ok_or(EnvelopeError::Seal)?;
    let (enc, ct) = hpke::single_shot_seal_with_rng::<AesGcm256, HkdfSha256, DhP256HkdfSha256>(
        &OpModeS::Psk(psk),
        key,
        context.info,
        plaintext,
        context.aad,
        &mut rng,
    )
    .map_err(|_| EnvelopeError::Seal)?;
    Ok((enc.to_bytes().to_vec(), ct))
}

pub(super) fn open(
    key: &HpkePrivate,
    context: &Context<'_>,
    enc: &[u8],
    ct: &[u8],
) -> Result<SecretBytes, EnvelopeError> {
    let psk = psk_bundle(context).ok_or(EnvelopeError::Open)?;
    // Refuses points off the curve and the point at infinity (T14).
    let enc =
        <DhP256HkdfSha256 as Kem>::EncappedKey::from_bytes(enc).map_err(|_| EnvelopeError::Open)?;
    hpke::single_shot_open::<AesGcm256, HkdfSha256, DhP256HkdfSha256>(
        &OpModeR::Psk(psk),
        key,
        &enc,
        context.info,
        ct,
        context.aad,
    )
    .map(SecretBytes::new)
    .map_err(|_| EnvelopeError::Open)
}

/// RFC 9180 wants a PSK of at least 32 bytes of entropy and a name for it, and `hpke` treats two
/// empty strings as "no PSK": so both are checked here, whatever the types promise today.
fn psk_bundle<'a>(context: &Context<'a>) -> Option<PskBundle<'a>> {
    let psk: &[u8] = context.psk.expose();
    if psk.len() != 32 || context.psk_id.is_empty() {
        return None;
    }
    PskBundle::new(psk, context.psk_id).ok()
}
