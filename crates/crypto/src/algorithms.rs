//! Signature verification, behind the trait that `rustls-webpki` and TLS providers share.
//!
//! The same [`Algorithms`] value verifies JWS signatures and certificate paths. Binaries pass the
//! faster implementations of their TLS provider; [`Algorithms::rustcrypto`] is the portable one.

use rustls_pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};

use p256::ecdsa::signature::Verifier;

/// A signature verification algorithm with static lifetime.
pub type Verification = &'static dyn SignatureVerificationAlgorithm;

/// The verification algorithms in use.
///
/// `rsa_pss_sha256` absent means that RSA identities are refused as unsupported.
#[derive(Debug, Clone, Copy)]
pub struct Algorithms {
    ecdsa_p256_sha256: Verification,
    rsa_pss_sha256: Option<Verification>,
    all: &'static [Verification],
}

impl Algorithms {
    /// Takes the algorithms of a TLS provider.
    ///
    /// `ecdsa_p256_sha256` takes DER signatures, as X.509 and TLS have them. `all` is what
    /// certificate paths may be signed with; it must offer neither SHA-1 nor RSA below 2,048 bits.
    #[must_use]
    pub const fn new(
        ecdsa_p256_sha256: Verification,
        rsa_pss_sha256: Option<Verification>,
        all: &'static [Verification],
    ) -> Self {
        Self { ecdsa_p256_sha256, rsa_pss_sha256, all }
    }

    /// The implementations of the RustCrypto project: ECDSA P-256 with SHA-256 and, with the
    /// feature `rsa`, RSASSA-PSS with SHA-256 (2,048 to 4,096 bits).
    #[must_use]
    pub const fn rustcrypto() -> Self {
        Self {
            ecdsa_p256_sha256: ECDSA_P256_SHA256,
            #[cfg(feature = "rsa")]
            rsa_pss_sha256: Some(RSA_PSS_SHA256),
            #[cfg(not(feature = "rsa"))]
            rsa_pss_sha256: None,
            all: RUSTCRYPTO_ALL,
        }
    }

    /// ECDSA on P-256 with SHA-256, DER signatures.
    #[must_use]
    pub fn ecdsa_p256_sha256(&self) -> Verification {
        self.ecdsa_p256_sha256
    }

    /// RSASSA-PSS with SHA-256, if this build has it.
    #[must_use]
    pub fn rsa_pss_sha256(&self) -> Option<Verification> {
        self.rsa_pss_sha256
    }

    /// What certificate paths may be signed with.
    #[must_use]
    pub fn all(&self) -> &'static [Verification] {
        self.all
    }
}

/// ECDSA on P-256 with SHA-256 by the `p256` crate.
pub static ECDSA_P256_SHA256: Verification = &EcdsaP256Sha256;

/// RSASSA-PSS with SHA-256 and a 32-byte salt by the `rsa` crate, for `rsaEncryption` keys.
#[cfg(feature = "rsa")]
pub static RSA_PSS_SHA256: Verification = &RsaPssSha256;

static RUSTCRYPTO_ALL: &[Verification] = &[
    &EcdsaP256Sha256,
    #[cfg(feature = "rsa")]
    &RsaPssSha256,
];

#[derive(Debug)]
struct EcdsaP256Sha256;

impl SignatureVerificationAlgorithm for EcdsaP256Sha256 {
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }

    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        // 0x04: uncompressed, the only form accepted; parsing checks the curve equation.
        if public_key.len() != 65 || public_key.first() != Some(&4) {
            return Err(InvalidSignature);
        }
        let key =
            p256::ecdsa::VerifyingKey::from_sec1_bytes(public_key).map_err(|_| InvalidSignature)?;
        let signature =
            p256::ecdsa::Signature::from_der(signature).map_err(|_| InvalidSignature)?;
        key.verify(message, &signature).map_err(|_| InvalidSignature)
    }
}

#[cfg(feature = "rsa")]
#[derive(Debug)]
struct RsaPssSha256;

#[cfg(feature = "rsa")]
impl SignatureVerificationAlgorithm for RsaPssSha256 {
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::RSA_ENCRYPTION
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::RSA_PSS_SHA256
    }

    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        use rsa::pkcs1::DecodeRsaPublicKey;

        let key = rsa::PublicKey::from_pkcs1_der(public_key).map_err(|_| InvalidSignature)?;
        crate::identity::rsa_key::check_strength(&key).map_err(|_| InvalidSignature)?;
        key.pss_verify::<sha2::Sha256>(message, signature).map_err(|_| InvalidSignature)
    }
}

#[cfg(test)]
mod tests;
