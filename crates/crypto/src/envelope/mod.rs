//! The sealed configuration: header, encapsulated key, ciphertext, HMAC (D4, D5).
//!
//! ```text
//! header   = 0x01 ‖ suite ‖ sessionId(16) ‖ messageId(16)      info = "zp1 config" ‖ suite ‖ T
//! suite 1  : (enc, ct) = HPKE SealPSK(kemKey, info, aad = header, psk, psk_id = sessionId)
//! suite 2  : enc = RSAES-OAEP(SHA-256, MGF1-SHA-256, label = info, CEK = 32 random bytes)
//!            key(32) ‖ iv(12) = Expand(Extract(salt = psk, CEK), "zp1 rsa" ‖ T ‖ H(enc), 44)
//!            ct = AES-256-GCM(key, iv, aad = header)
//! envelope = header ‖ L(enc) ‖ L(ct) ‖ HMAC(kMac, header ‖ L(enc) ‖ L(ct))
//! ```
//!
//! The MAC is checked before any private-key operation, and [`Envelope::open`] asks for the proof.
//! A client key that the station made travels inside the plaintext, sealed once more ([`client_key`]).

pub mod client_key;
#[cfg(feature = "rsa")]
pub(crate) mod content;
mod p256_suite;
#[cfg(feature = "rsa")]
pub(crate) mod rsa_suite;

use alloc::vec::Vec;
use core::fmt;

use rand_core::CryptoRng;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{MessageId, SessionId};
use zmon_domain::limits;

use crate::evidence::MacVerified;
use crate::hash::length_prefix;
use crate::identity::Suite;
use crate::kdf;
use crate::kem::{KemKey, KemPrivate, KemPublic, KemPublicKey};
use crate::labels;
use crate::schedule::{SessionKeys, Transcript};
use crate::secret::SecretBytes;

/// The only version of the envelope's layout.
pub const VERSION: u8 = 1;
/// Bytes of the header.
pub const HEADER_LEN: usize = 34;
/// Bytes of the HMAC at the end.
pub const MAC_LEN: usize = 32;
/// Bytes of the AES-256-GCM tag inside `ct`.
const TAG_LEN: usize = 16;

/// Why an envelope was refused. Nothing here says which byte was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Longer than a message may be, 64 KiB.
    #[error("the envelope is longer than a message may be")]
    TooLarge,
    /// Truncated, with trailing bytes, or with impossible lengths.
    #[error("the envelope is malformed")]
    Malformed,
    /// A version this build does not know.
    #[error("the envelope has an unknown version")]
    Version,
    /// An unknown suite, or not the suite on record.
    #[error("the envelope is of another suite")]
    Suite,
    /// The HMAC is wrong.
    #[error("the envelope is not from this session")]
    Mac,
    /// The proof belongs to another envelope.
    #[error("the envelope was not the one whose MAC was checked")]
    Evidence,
    /// The ciphertext does not open.
    #[error("the envelope does not open")]
    Open,
    /// The plaintext could not be sealed.
    #[error("the configuration could not be sealed")]
    Seal,
}

impl EnvelopeError {
    /// The error code for screens and the audit log.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            Self::TooLarge => ErrorCode::RequestTooLarge,
            Self::Malformed | Self::Version => ErrorCode::EnvelopeMalformed,
            Self::Suite => ErrorCode::SuiteUnsupported,
            Self::Mac => ErrorCode::EnvelopeMacInvalid,
            Self::Open => ErrorCode::EnvelopeOpenFailed,
            Self::Evidence | Self::Seal => ErrorCode::Internal,
        }
    }
}

/// What an envelope is sealed with.
#[derive(Debug, Clone, Copy)]
pub struct SealInput<'a> {
    /// Suite of the device's identity key on record; the KEM key must be of the same.
    pub suite: Suite,
    /// The device's encryption key from its identity document.
    pub kem_public: &'a KemPublic,
    /// The session; also the HPKE `psk_id`.
    pub session_id: SessionId,
    /// Fresh per message.
    pub message_id: MessageId,
    /// The session's transcript `T`.
    pub transcript: &'a Transcript,
    /// The session's keys.
    pub keys: &'a SessionKeys,
}

/// Seals `plaintext`, the configuration JWS, for one device in one session.
///
/// # Errors
///
/// [`EnvelopeError::Suite`] if the KEM key is not of the recorded suite, [`EnvelopeError::TooLarge`]
/// if the envelope would exceed 64 KiB, [`EnvelopeError::Seal`] if the key cannot be used.
pub fn seal(
    input: &SealInput<'_>,
    plaintext: &[u8],
    rng: &mut dyn CryptoRng,
) -> Result<Vec<u8>, EnvelopeError> {
    if input.kem_public.suite() != input.suite {
        return Err(EnvelopeError::Suite);
    }
    let header = header(input.suite, &input.session_id, &input.message_id);
    let context = Context {
        aad: &header,
        info: &info(labels::CONFIG, input.suite, input.transcript),
        transcript: input.transcript,
        psk: input.keys.psk(),
        psk_id: input.session_id.as_bytes(),
    };
    let (enc, ct) = context.seal(input.kem_public, plaintext, rng)?;
    let length = HEADER_LEN + 4 + enc.len() + 4 + ct.len() + MAC_LEN;
    if length > limits::BODY_MAX.default {
        return Err(EnvelopeError::TooLarge);
    }
    let mut out = Vec::with_capacity(length);
    out.extend_from_slice(&header);
    for part in [&enc, &ct] {
        out.extend_from_slice(&length_prefix(part));
        out.extend_from_slice(part);
    }
    let mac = kdf::hmac(input.keys.mac(), &[&out]);
    out.extend_from_slice(&mac);
    Ok(out)
}

/// A syntactically valid envelope, borrowed from the received bytes. Nothing in it is trusted yet.
#[derive(Clone, Copy)]
pub struct Envelope<'a> {
    suite: Suite,
    session_id: SessionId,
    message_id: MessageId,
    header: &'a [u8],
    enc: &'a [u8],
    ct: &'a [u8],
    /// Everything the HMAC covers.
    body: &'a [u8],
    tag: &'a [u8; MAC_LEN],
}

impl<'a> Envelope<'a> {
    /// Reads size, version, suite and lengths.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`]: too large, malformed, version or suite.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > limits::BODY_MAX.default {
            return Err(EnvelopeError::TooLarge);
        }
        let (body, tag) = bytes.split_last_chunk::<MAC_LEN>().ok_or(EnvelopeError::Malformed)?;
        let (header, rest) =
            body.split_first_chunk::<HEADER_LEN>().ok_or(EnvelopeError::Malformed)?;
        let (enc, rest) = take_prefixed(rest)?;
        let (ct, rest) = take_prefixed(rest)?;
        if !rest.is_empty() || ct.len() < TAG_LEN {
            return Err(EnvelopeError::Malformed);
        }
        let [version, suite, ids @ ..] = header;
        if *version != VERSION {
            return Err(EnvelopeError::Version);
        }
        let suite = Suite::from_u8(*suite).ok_or(EnvelopeError::Suite)?;
        if !enc_length_fits(suite, enc.len()) {
            return Err(EnvelopeError::Malformed);
        }
        let (session, message) = ids.split_first_chunk::<16>().ok_or(EnvelopeError::Malformed)?;
        let message: [u8; 16] = message.try_into().map_err(|_| EnvelopeError::Malformed)?;
        Ok(Self {
            suite,
            session_id: SessionId::from_bytes(*session),
            message_id: MessageId::from_bytes(message),
            header,
            enc,
            ct,
            body,
            tag,
        })
    }

    /// The suite in the header; compare it with the one on record.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The session in the header, to look up the keys.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        self.session_id
    }

    /// The message id in the header.
    #[must_use]
    pub fn message_id(&self) -> MessageId {
        self.message_id
    }

    /// Checks the HMAC in constant time. First of all checks after the session is known.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError::Mac`] if any byte differs from what the session's station sent.
    pub fn verify_mac(&self, keys: &SessionKeys) -> Result<MacVerified, EnvelopeError> {
        if kdf::hmac_matches(keys.mac(), &[self.body], self.tag) {
            Ok(MacVerified { tag: *self.tag })
        } else {
            Err(EnvelopeError::Mac)
        }
    }

    /// Opens the envelope whose MAC was verified. The proof is used up: three opens take three.
    ///
    /// `rng` blinds the RSA operation; suite 1 draws nothing from it.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError::Suite`] if the key is of another suite, [`EnvelopeError::Evidence`] if the
    /// proof is another envelope's, [`EnvelopeError::Open`] for everything else that can fail.
    pub fn open(
        &self,
        proof: MacVerified,
        key: &KemKey,
        keys: &SessionKeys,
        transcript: &Transcript,
        rng: &mut dyn CryptoRng,
    ) -> Result<SecretBytes, EnvelopeError> {
        // Tags are public; a plain comparison leaks nothing.
        if proof.tag != *self.tag {
            return Err(EnvelopeError::Evidence);
        }
        if key.suite() != self.suite {
            return Err(EnvelopeError::Suite);
        }
        let context = Context {
            aad: self.header,
            info: &info(labels::CONFIG, self.suite, transcript),
            transcript,
            psk: keys.psk(),
            psk_id: self.session_id.as_bytes(),
        };
        context.open(key, self.enc, self.ct, rng)
    }
}

impl fmt::Debug for Envelope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("suite", &self.suite)
            .field("session_id", &self.session_id)
            .field("message_id", &self.message_id)
            .field("ct_len", &self.ct.len())
            .finish()
    }
}

/// What both suites bind a ciphertext to.
pub(crate) struct Context<'a> {
    /// Additional authenticated data.
    pub(crate) aad: &'a [u8],
    /// HPKE `info`, or OAEP label.
    pub(crate) info: &'a [u8],
    #[cfg_attr(not(feature = "rsa"), expect(dead_code, reason = "suite 2 derives with it"))]
    pub(crate) transcript: &'a Transcript,
    pub(crate) psk: &'a crate::secret::Secret32,
    pub(crate) psk_id: &'a [u8],
}

impl Context<'_> {
    /// `(enc, ct)` for the holder of `kem`, whose suite the caller has checked.
    fn seal(
        &self,
        kem: &KemPublic,
        plaintext: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<(Vec<u8>, Vec<u8>), EnvelopeError> {
        match kem.key() {
            KemPublicKey::P256(key) => p256_suite::seal(key, self, plaintext, rng),
            #[cfg(feature = "rsa")]
            KemPublicKey::Rsa(key) => rsa_suite::seal(key, self, plaintext, rng),
        }
    }

    /// The plaintext of `(enc, ct)`.
    #[cfg_attr(
        not(feature = "rsa"),
        expect(unused_variables, reason = "only RSA operations are blinded")
    )]
    pub(crate) fn open(
        &self,
        key: &KemKey,
        enc: &[u8],
        ct: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<SecretBytes, EnvelopeError> {
        match key.private() {
            KemPrivate::P256(key) => p256_suite::open(key, self, enc, ct),
            #[cfg(feature = "rsa")]
            KemPrivate::Rsa(key) => rsa_suite::open(key, self, enc, ct, rng),
        }
    }
}

fn header(suite: Suite, session: &SessionId, message: &MessageId) -> [u8; HEADER_LEN] {
    let mut out = [0; HEADER_LEN];
    let bytes = [VERSION, suite.as_u8()]
        .into_iter()
        .chain(session.as_bytes().iter().copied())
        .chain(message.as_bytes().iter().copied());
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = from;
    }
    out
}

fn info(label: &[u8], suite: Suite, transcript: &Transcript) -> Vec<u8> {
    [label, &[suite.as_u8()], transcript.as_bytes()].concat()
}

/// Length of `enc` that a suite can have: one point, or one RSA block of 2,048 to 4,096 bits.
fn enc_length_fits(suite: Suite, length: usize) -> bool {
    match suite {
        Suite::P256 => length == p256_suite::ENC_LEN,
        Suite::Rsa2048 => (256..=512).contains(&length),
    }
}

fn take_prefixed(bytes: &[u8]) -> Result<(&[u8], &[u8]), EnvelopeError> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or(EnvelopeError::Malformed)?;
    let length =
        usize::try_from(u32::from_be_bytes(*length)).map_err(|_| EnvelopeError::Malformed)?;
    rest.split_at_checked(length).ok_or(EnvelopeError::Malformed)
}

#[cfg(test)]
mod tests;
