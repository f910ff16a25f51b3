//! A client key that the station made, sealed once more inside the configuration (D6).
//!
//! ```text
//! info    = "zp1 private" ‖ suite ‖ T        aad = SHA-256(client certificate, DER)
//! suite 1 : (enc, ct) = HPKE SealPSK(kemKey, info, aad, psk = kKey, psk_id = sessionId)
//! suite 2 : as the envelope, with kKey for psk and this info and aad
//! sealed  = L(enc) ‖ L(ct);                  plaintext = PKCS#8, DER
//! ```
//!
//! The envelope's MAC and the configuration's signature have been checked before a device opens it.

use alloc::vec::Vec;

use rand_core::CryptoRng;
use zmon_domain::ids::SessionId;

use super::{Context, EnvelopeError, TAG_LEN, enc_length_fits, info, take_prefixed};
use crate::hash::{length_prefix, sha256};
use crate::identity::{Suite, TlsKey};
use crate::kem::{KemKey, KemPublic};
use crate::labels;
use crate::schedule::{SessionKeys, Transcript};

/// Longest sealed key that is read, in bytes: one RSA block and a P-256 key leave room to spare.
pub const MAX_LEN: usize = 1024;

/// What a sealed client key is bound to.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// The session; also the HPKE `psk_id`.
    pub session_id: SessionId,
    /// The session's transcript `T`.
    pub transcript: &'a Transcript,
    /// The session's keys.
    pub keys: &'a SessionKeys,
    /// The certificate of the key, DER.
    pub certificate: &'a [u8],
}

/// Seals `key` for the holder of `kem`.
///
/// # Errors
///
/// [`EnvelopeError::Seal`] if one of the keys cannot be used.
pub fn seal(
    binding: &Binding<'_>,
    kem: &KemPublic,
    key: &TlsKey,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<u8>, EnvelopeError> {
    // Wiped with the end of this call.
    let pkcs8 = key.pkcs8().map_err(|_| EnvelopeError::Seal)?;
    let (enc, ct) =
        binding.with_context(kem.suite(), |context| context.seal(kem, pkcs8.expose(), rng))?;
    let mut out = Vec::with_capacity(8 + enc.len() + ct.len());
    for part in [&enc, &ct] {
        out.extend_from_slice(&length_prefix(part));
        out.extend_from_slice(part);
    }
    Ok(out)
}

/// Opens what [`seal`] made. `rng` blinds the RSA operation; suite 1 draws nothing from it.
///
/// # Errors
///
/// [`EnvelopeError::Malformed`] for other bytes, [`EnvelopeError::Open`] for everything else that can
/// fail: another session, certificate or key, or a plaintext that is no P-256 key.
pub fn open(
    binding: &Binding<'_>,
    kem: &KemKey,
    sealed: &[u8],
    rng: &mut dyn CryptoRng,
) -> Result<TlsKey, EnvelopeError> {
    if sealed.len() > MAX_LEN {
        return Err(EnvelopeError::Malformed);
    }
    let (enc, rest) = take_prefixed(sealed)?;
    let (ct, rest) = take_prefixed(rest)?;
    if !rest.is_empty() || ct.len() < TAG_LEN || !enc_length_fits(kem.suite(), enc.len()) {
        return Err(EnvelopeError::Malformed);
    }
    let pkcs8 = binding.with_context(kem.suite(), |context| context.open(kem, enc, ct, rng))?;
    TlsKey::from_pkcs8(pkcs8.expose()).map_err(|_| EnvelopeError::Open)
}

impl Binding<'_> {
    fn with_context<T>(&self, suite: Suite, work: impl FnOnce(&Context<'_>) -> T) -> T {
        work(&Context {
            aad: &sha256(self.certificate),
            info: &info(labels::PRIVATE, suite, self.transcript),
            transcript: self.transcript,
            psk: self.keys.key(),
            psk_id: self.session_id.as_bytes(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::IdentityKey;
    use crate::schedule::{Prk, transcript};
    use crate::testing::{rng, suites};

    const CERTIFICATE: &[u8] = b"client certificate";

    struct Session {
        kem: KemKey,
        keys: SessionKeys,
        transcript: Transcript,
    }

    impl Session {
        fn new(suite: Suite, seed: u8) -> Self {
            let transcript = transcript(b"hello", &[seed]);
            Self {
                kem: KemKey::generate(suite, &mut rng(seed)).unwrap(),
                keys: Prk::from_hello(b"hello", &[seed; 51]).session(&transcript),
                transcript,
            }
        }

        fn binding<'a>(&'a self, certificate: &'a [u8]) -> Binding<'a> {
            let session_id = SessionId::from_bytes([7; 16]);
            Binding { session_id, transcript: &self.transcript, keys: &self.keys, certificate }
        }

        fn open(&self, binding: &Binding<'_>, sealed: &[u8]) -> Result<TlsKey, EnvelopeError> {
            open(binding, &self.kem, sealed, &mut rng(9))
        }
    }

    #[test]
    fn a_sealed_key_opens_for_its_session_certificate_and_device_only() {
        for suite in suites() {
            let (session, other) = (Session::new(suite, 1), Session::new(suite, 2));
            let key = TlsKey::generate(&mut rng(3)).unwrap();
            let binding = session.binding(CERTIFICATE);
            let sealed = seal(&binding, session.kem.public(), &key, &mut rng(4)).unwrap();
            assert!(sealed.len() <= MAX_LEN, "{}", sealed.len());
            let opened = session.open(&binding, &sealed).unwrap();
            assert_eq!(opened.public(), key.public());

            let refused = |binding: &Binding<'_>, kem: &KemKey| {
                open(binding, kem, &sealed, &mut rng(9)).unwrap_err()
            };
            assert_eq!(
                refused(&session.binding(b"another"), &session.kem),
                EnvelopeError::Open,
                "{suite:?}"
            );
            assert_eq!(refused(&other.binding(CERTIFICATE), &session.kem), EnvelopeError::Open);
            assert_eq!(refused(&binding, &other.kem), EnvelopeError::Open);
            let foreign = Binding { session_id: SessionId::from_bytes([8; 16]), ..binding };
            // Suite 2 binds the session by T alone, which repeats its id.
            assert_eq!(session.open(&foreign, &sealed).is_err(), suite == Suite::P256);
        }
    }

    #[test]
    fn every_flipped_byte_and_every_length_is_refused() {
        for suite in suites() {
            let session = Session::new(suite, 1);
            let key = TlsKey::generate(&mut rng(3)).unwrap();
            let binding = session.binding(CERTIFICATE);
            let sealed = seal(&binding, session.kem.public(), &key, &mut rng(4)).unwrap();
            // An RSA operation each: not every byte of the block.
            let step = if suite == Suite::P256 { 1 } else { 37 };
            for index in (0..sealed.len()).step_by(step) {
                let mut changed = sealed.clone();
                changed[index] ^= 1;
                assert!(session.open(&binding, &changed).is_err(), "{suite:?} {index}");
            }
            for length in [0, 3, 4, 8, sealed.len() - 1] {
                let cut = &sealed[..length];
                assert_eq!(session.open(&binding, cut).unwrap_err(), EnvelopeError::Malformed);
            }
            let long = [sealed.as_slice(), &[0]].concat();
            assert_eq!(session.open(&binding, &long).unwrap_err(), EnvelopeError::Malformed);
            let endless = alloc::vec![0; MAX_LEN + 1];
            assert_eq!(session.open(&binding, &endless).unwrap_err(), EnvelopeError::Malformed);
        }
    }

    #[test]
    fn an_envelope_s_key_does_not_open_it() {
        for suite in suites() {
            let session = Session::new(suite, 1);
            let binding = session.binding(CERTIFICATE);
            let pkcs8 = TlsKey::generate(&mut rng(3)).unwrap().pkcs8().unwrap();
            // Sealed with psk and the configuration's label, as the envelope is.
            let context = Context {
                aad: &sha256(CERTIFICATE),
                info: &info(labels::CONFIG, suite, &session.transcript),
                transcript: &session.transcript,
                psk: session.keys.psk(),
                psk_id: binding.session_id.as_bytes(),
            };
            let (enc, ct) =
                context.seal(session.kem.public(), pkcs8.expose(), &mut rng(4)).unwrap();
            let sealed = [&length_prefix(&enc), enc.as_slice(), &length_prefix(&ct), &ct].concat();
            assert_eq!(session.open(&binding, &sealed).unwrap_err(), EnvelopeError::Open);
        }
    }
}
