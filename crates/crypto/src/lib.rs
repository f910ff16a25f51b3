//! Cryptography of Z Monitor provisioning: everything that turns keys and bytes into a decision.
//!
//! The crate composes published primitives and never invents one: HPKE (RFC 9180) for suite 1,
//! RSAES-OAEP (RFC 8017) with HKDF (RFC 5869) and AES-256-GCM for suite 2, ES256 and PS256 in JWS
//! compact form (RFC 7515, RFC 7518), HMAC-SHA256, and X.509 path validation by `rustls-webpki`
//! followed by this project's own certificate profiles; SPAKE2+ (RFC 9383) for the typed code.
//!
//! ```text
//!   QR token ───► schedule::Prk ─► claim MAC ──► evidence::CodeClaimed
//!   typed code ─► pake ─┤        ─► confirmP ──► evidence::CodeClaimed
//!                     │
//!   hello, identity ──┴─► Transcript ─► SessionKeys{mac, psk, key, words}
//!                                            │
//!   Envelope::parse ─► verify_mac ─► open ─► JWS ─► verify_with ─► evidence::SignatureVerified
//!                     MacVerified            │
//!                                            └─► x509::verify_signing_chain ─► ChainVerified
//! ```
//!
//! What it does *not* do: no clock, no random source, no environment, no I/O. Time and a
//! [`rand_core::CryptoRng`] are parameters. It stores nothing; who keeps which key, and for how
//! long, is written in `docs/CRYPTO.md`.
//!
//! # Rules that hold everywhere
//!
//! - A verifier takes the key *and* the algorithm from its own record, never from the message.
//! - Secrets have no readable `Debug`, are wiped on drop and compared in constant time.
//! - Evidence tokens ([`evidence`]) have no public constructor: holding one means the check ran.
//! - Every error maps to one [`zmon_domain::error::ErrorCode`] by `code()`.
//!
//! # Example
//!
//! Both sides of one sealed message, from the scanned token on:
//!
//! ```
//! use rand_core::SeedableRng;
//! use zmon_crypto::envelope::{Envelope, SealInput, seal};
//! use zmon_crypto::schedule::{Prk, transcript};
//! use zmon_crypto::{KemKey, Suite};
//! use zmon_domain::ids::{MessageId, SessionId};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut rng = rand_chacha::ChaCha20Rng::from_seed([7; 32]); // a product passes the system's
//! let kem = KemKey::generate(Suite::P256, &mut rng)?;
//! let (hello, identity, token) = (b"hello JWS", b"identity JWS", [9; 51]);
//! let t = transcript(hello, identity);
//! let keys = Prk::from_hello(hello, &token).session(&t);
//!
//! let sealed = seal(
//!     &SealInput {
//!         suite: Suite::P256,
//!         kem_public: kem.public(),
//!         session_id: SessionId::generate(&mut rng),
//!         message_id: MessageId::generate(&mut rng),
//!         transcript: &t,
//!         keys: &keys,
//!     },
//!     b"configuration JWS",
//!     &mut rng,
//! )?;
//!
//! let envelope = Envelope::parse(&sealed)?;
//! let proof = envelope.verify_mac(&keys)?; // nothing opens without it
//! let opened = envelope.open(proof, &kem, &keys, &t, &mut rng)?;
//! assert_eq!(opened.expose(), b"configuration JWS");
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! - `rsa`: RSA-2048 identities and suite 2. Without it such keys are refused as unsupported.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

#[cfg(test)]
extern crate std;

pub mod algorithms;
pub mod audit;
pub mod envelope;
pub mod evidence;
pub mod hash;
pub mod identity;
pub mod jws;
pub mod kem;
pub mod labels;
pub mod pake;
pub mod root;
pub mod schedule;
pub mod secret;
pub mod token;
pub mod x509;

mod kdf;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod wycheproof;

pub use algorithms::Algorithms;
pub use hash::sha256;
pub use identity::{
    IdentityKey, IdentityPublic, KeyError, SoftIdentity, Suite, TlsKey, ec_parameters, es256_to_der,
};
pub use kem::{KemKey, KemPublic};
pub use root::{CodeHashKey, RootSecret, TokenKey, code_hash};
pub use schedule::{SessionKeys, Transcript};
pub use secret::{Secret32, SecretBytes};
pub use token::PairingToken;
pub use x509::{Anchor, AnchorSet, CertificateChain};
