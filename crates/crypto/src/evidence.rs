//! Proofs that a check has run, held as values.
//!
//! None of them can be built outside this crate, so a function that asks for one turns a skipped
//! check into a compile error. They carry what they vouch for where mixing two up would matter.
//!
//! ```compile_fail,E0423
//! let forged = zmon_crypto::evidence::SignatureVerified(());
//! ```

/// A claim was right: the peer has the pairing token, or has typed the code (§3 of the protocol, D11).
///
/// Returned by [`crate::schedule::Prk::verify_claim`] and [`crate::pake::Verifier::finish`].
#[derive(Debug)]
#[must_use]
pub struct CodeClaimed(pub(crate) ());

/// The HMAC of one particular envelope was right.
///
/// Returned by [`crate::envelope::Envelope::verify_mac`]; only that envelope can be opened with it.
#[derive(Debug)]
#[must_use]
pub struct MacVerified {
    /// Tag of the envelope that was checked.
    pub(crate) tag: [u8; 32],
}

/// A JWS signature was right under the key and algorithm of the verifier's record.
///
/// Comes with [`crate::jws::Verified`].
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct SignatureVerified(pub(crate) ());

/// A certification path was right, profile included, at a stated time.
///
/// Returned by `verified_at` of [`crate::x509::SigningCertificate`] and
/// [`crate::x509::ClientCertificate`].
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct ChainVerified(pub(crate) ());

/// A configuration-signing certificate has its profile and was valid at a stated time; nobody vouches
/// for it (D8, proximity).
///
/// Returned by `verified_at` of [`crate::x509::ShownCertificate`].
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct ProfileVerified(pub(crate) ());
