//! Lets any [`IdentityKey`] sign what `x509-cert`'s builders assemble.

use alloc::vec::Vec;

use p256::ecdsa::signature::Keypair;
use p256::pkcs8::Document;
use rand_core::CryptoRng;
use x509_cert::AlgorithmIdentifier;
use x509_cert::builder::Builder;
use x509_cert::der::Decode;
use x509_cert::der::Encode;
use x509_cert::der::asn1::BitString;
use x509_cert::spki::{DynSignatureAlgorithmIdentifier, EncodePublicKey};

use crate::identity::{IdentityKey, IdentityPublic, KeyError, Suite, es256_to_der};

/// Builds and signs with `key`, and returns the DER.
pub(super) fn build<B>(
    mut builder: B,
    key: &dyn IdentityKey,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<u8>, KeyError>
where
    B: Builder,
    B::Output: Encode,
{
    let public = BuilderKey(key.public().clone());
    let message = builder.finalize(&public).map_err(|_| KeyError::Malformed)?;
    let signature = x509_signature(key, &message, rng)?;
    let signature = BitString::from_bytes(&signature).map_err(|_| KeyError::Malformed)?;
    let output = builder.assemble(signature, &public).map_err(|_| KeyError::Malformed)?;
    output.to_der().map_err(|_| KeyError::Malformed)
}

/// The signature in the form X.509 wants.
fn x509_signature(
    key: &dyn IdentityKey,
    message: &[u8],
    rng: &mut dyn CryptoRng,
) -> Result<Vec<u8>, KeyError> {
    let signature = key.sign(message, rng)?;
    match key.public().suite() {
        Suite::P256 => es256_to_der(&signature),
        Suite::Rsa2048 => Ok(signature),
    }
}

/// The `AlgorithmIdentifier` of signatures by keys of `suite`.
pub(super) fn signature_algorithm(suite: Suite) -> Result<AlgorithmIdentifier, KeyError> {
    let content = match suite {
        Suite::P256 => rustls_pki_types::alg_id::ECDSA_SHA256,
        Suite::Rsa2048 => rustls_pki_types::alg_id::RSA_PSS_SHA256,
    };
    // pki-types carries the content of the SEQUENCE; it is shorter than 128 bytes.
    let length = u8::try_from(content.len()).map_err(|_| KeyError::Malformed)?;
    let der = [&[0x30, length], content.as_ref()].concat();
    AlgorithmIdentifier::from_der(&der).map_err(|_| KeyError::Malformed)
}

/// The public half, as the builders ask for it.
#[derive(Clone)]
struct BuilderKey(IdentityPublic);

impl Keypair for BuilderKey {
    type VerifyingKey = Self;

    fn verifying_key(&self) -> Self {
        self.clone()
    }
}

impl EncodePublicKey for BuilderKey {
    fn to_public_key_der(&self) -> x509_cert::spki::Result<Document> {
        Ok(Document::try_from(self.0.spki_der())?)
    }
}

impl DynSignatureAlgorithmIdentifier for BuilderKey {
    fn signature_algorithm_identifier(&self) -> x509_cert::spki::Result<AlgorithmIdentifier> {
        signature_algorithm(self.0.suite()).map_err(|_| x509_cert::spki::Error::KeyMalformed)
    }
}
