//! From the token to the session: claim MAC, transcript and session keys.
//!
//! ```text
//! prk      = Extract(salt = H("zp1 hello" ‖ L(hello)), ikm)
//! claimMac = HMAC(Expand(prk, "zp1 claim", 32), hello)
//! T        = H("zp1 session" ‖ L(hello) ‖ L(identity))
//! kMac, psk, kKey, kBlink, words = Expand(prk, ("zp1 mac" | "zp1 psk" | "zp1 key" | "zp1 blink" | "zp1 words")
//!                                         ‖ T, 32 | 32 | 32 | 32 | 6)
//! ```
//!
//! `hello` and `identity` are the exact bytes of the two JWS in compact form.

use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU32;

use zeroize::{Zeroize, ZeroizeOnDrop};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{SessionId, TokenId};

use crate::evidence::CodeClaimed;
use crate::hash::{length_prefix, sha256_parts};
use crate::kdf;
use crate::labels;
use crate::secret::{Secret32, SecretBytes};
use crate::token::PairingToken;

/// The claim MAC was wrong. It says nothing more on purpose (D24).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the claim does not match the pairing token")]
pub struct ClaimError;

impl ClaimError {
    /// The code for the audit log; the peer only ever sees the uniform refusal.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        ErrorCode::ClaimMacInvalid
    }
}

/// The MAC over a blink was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request to blink is not of this session")]
pub struct BlinkError;

impl BlinkError {
    /// The code for audit log and peer.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        ErrorCode::BlinkRefused
    }
}

/// `T`: what both sides have said, in one value. Public, and repeated inside the configuration.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Transcript([u8; 32]);

impl Transcript {
    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Wraps bytes that came back inside a message, for comparison with the own record.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transcript(")?;
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}

/// `T = H("zp1 session" ‖ L(hello) ‖ L(identity))`.
#[must_use]
pub fn transcript(hello: &[u8], identity: &[u8]) -> Transcript {
    Transcript(sha256_parts(&[
        labels::SESSION,
        &length_prefix(hello),
        hello,
        &length_prefix(identity),
        identity,
    ]))
}

/// The public name of a device's pull, which the hello that answers it repeats: the first 16 bytes of
/// `H("zp1 pull id" ‖ pull)`, over the exact bytes of the JWS.
#[must_use]
pub fn pull_id(pull: &[u8]) -> TokenId {
    let [id @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] =
        sha256_parts(&[labels::PULL_ID, pull]);
    TokenId::from_bytes(id)
}

/// Does the work of a claim check for a session that does not exist, and refuses it.
///
/// The answer to an unknown token must take as long as the answer to a wrong MAC (D24).
#[must_use]
pub fn refuse_claim(hello: &[u8], mac: &[u8; 32]) -> ClaimError {
    // The verdict is thrown away: a MAC under this public key proves nothing.
    let _ = Prk::from_hello(hello, &[0; PairingToken::LEN]).verify_claim(hello, mac);
    ClaimError
}

/// The pseudorandom key of one hello. Lives as long as the session.
#[derive(Clone)]
pub struct Prk(Secret32);

impl Prk {
    /// `Extract(salt = H("zp1 hello" ‖ L(hello)), ikm)`.
    ///
    /// `ikm` is the 51 token bytes (method 1), the SPAKE2+ shared key (method 2), or 32 random
    /// bytes sent beside the hello inside TLS (methods 3 and 4). Never a typed code: whoever sees
    /// one MAC under it can search it.
    #[must_use]
    pub fn from_hello(hello: &[u8], ikm: &[u8]) -> Self {
        let salt = sha256_parts(&[labels::HELLO, &length_prefix(hello), hello]);
        Self(kdf::extract(&salt, ikm))
    }

    /// [`Prk::from_hello`] with the token of a scanned QR code.
    #[must_use]
    pub fn from_token(hello: &[u8], token: &PairingToken) -> Self {
        Self::from_hello(hello, token.as_bytes())
    }

    /// `claimMac`, made by the station.
    #[must_use]
    pub fn claim_mac(&self, hello: &[u8]) -> [u8; 32] {
        kdf::hmac(&self.claim_key(), &[hello])
    }

    /// Checks `claimMac` on the device, in constant time.
    ///
    /// # Errors
    ///
    /// [`ClaimError`] if the MAC is wrong.
    pub fn verify_claim(&self, hello: &[u8], mac: &[u8; 32]) -> Result<CodeClaimed, ClaimError> {
        if kdf::hmac_matches(&self.claim_key(), &[hello], mac) {
            Ok(CodeClaimed(()))
        } else {
            Err(ClaimError)
        }
    }

    /// The keys of the session whose transcript is `t`.
    #[must_use]
    pub fn session(&self, t: &Transcript) -> SessionKeys {
        let key = |label| kdf::expand(&self.0, &[label, t.as_bytes()]);
        let mut words = [0; 6];
        kdf::expand_into(&self.0, &[labels::WORDS, t.as_bytes()], &mut words);
        SessionKeys {
            mac: key(labels::MAC),
            psk: key(labels::PSK),
            key: key(labels::KEY),
            blink: key(labels::BLINK),
            words,
        }
    }

    /// The key itself, for a station that keeps a running session, sealed.
    #[must_use]
    pub fn expose(&self) -> &Secret32 {
        &self.0
    }

    /// Takes back what [`Prk::expose`] gave.
    #[must_use]
    pub fn kept(key: Secret32) -> Self {
        Self(key)
    }

    fn claim_key(&self) -> Secret32 {
        kdf::expand(&self.0, &[labels::CLAIM])
    }
}

impl fmt::Debug for Prk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// What both sides derive from the pseudorandom key and the transcript. Wiped on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SessionKeys {
    mac: Secret32,
    psk: Secret32,
    key: Secret32,
    blink: Secret32,
    words: [u8; 6],
}

impl SessionKeys {
    /// Length of [`SessionKeys::expose`] in bytes.
    pub const LEN: usize = 4 * Secret32::LEN + 6;

    /// `kMac ‖ psk ‖ kKey ‖ kBlink ‖ words`, for a station that keeps a running session, sealed.
    #[must_use]
    pub fn expose(&self) -> SecretBytes {
        let mut bytes = Vec::with_capacity(Self::LEN);
        for key in [&self.mac, &self.psk, &self.key, &self.blink] {
            bytes.extend_from_slice(key.expose());
        }
        bytes.extend_from_slice(&self.words);
        SecretBytes::new(bytes)
    }

    /// Takes back what [`SessionKeys::expose`] gave; `None` for any other length.
    #[must_use]
    pub fn kept(bytes: &[u8]) -> Option<Self> {
        let (mac, rest) = bytes.split_first_chunk::<{ Secret32::LEN }>()?;
        let (psk, rest) = rest.split_first_chunk::<{ Secret32::LEN }>()?;
        let (key, rest) = rest.split_first_chunk::<{ Secret32::LEN }>()?;
        let (blink, words) = rest.split_first_chunk::<{ Secret32::LEN }>()?;
        let key32 = |bytes: &[u8; Secret32::LEN]| Secret32::from_bytes(*bytes);
        let words = words.try_into().ok()?;
        Some(Self { mac: key32(mac), psk: key32(psk), key: key32(key), blink: key32(blink), words })
    }

    /// `kMac`: key of the envelope's HMAC.
    #[must_use]
    pub fn mac(&self) -> &Secret32 {
        &self.mac
    }

    /// `psk`: pre-shared key of HPKE, or extract salt of suite 2.
    #[must_use]
    pub fn psk(&self) -> &Secret32 {
        &self.psk
    }

    /// `kKey`: pre-shared key that seals a station-made client key (D6).
    #[must_use]
    pub fn key(&self) -> &Secret32 {
        &self.key
    }

    /// MAC over a blink of the session: `HMAC(kBlink, sessionId ‖ u32 number)`.
    #[must_use]
    pub fn blink_mac(&self, session: SessionId, number: NonZeroU32) -> [u8; 32] {
        kdf::hmac(&self.blink, &[session.as_bytes(), &number.get().to_be_bytes()])
    }

    /// Checks that MAC on the device, in constant time.
    ///
    /// # Errors
    ///
    /// [`BlinkError`] if the MAC is wrong.
    pub fn verify_blink(
        &self,
        session: SessionId,
        number: NonZeroU32,
        mac: &[u8; 32],
    ) -> Result<(), BlinkError> {
        let said: [&[u8]; 2] = [session.as_bytes(), &number.get().to_be_bytes()];
        if kdf::hmac_matches(&self.blink, &said, mac) { Ok(()) } else { Err(BlinkError) }
    }

    /// Indices of the four comparison words: the first 44 bits, 11 bits each, most significant
    /// first, over a list of 2,048.
    #[must_use]
    pub fn word_indices(&self) -> [u16; 4] {
        let bits = self.words.iter().fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte));
        [37, 26, 15, 4].map(|shift| u16::try_from((bits >> shift) & 0x7ff).unwrap_or_default())
    }

    /// The four comparison words themselves, from the English list of BIP-39 (D8).
    #[must_use]
    pub fn words(&self) -> [&'static str; 4] {
        let list = bip0039::English::words();
        // An index of 11 bits lies in a list of 2,048.
        self.word_indices().map(|index| list.get(usize::from(index)).copied().unwrap_or_default())
    }
}

impl fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests;
