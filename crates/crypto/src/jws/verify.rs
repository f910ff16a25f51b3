//! Parsing and verification.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use zeroize::Zeroizing;
use zmon_domain::limits;
use zmon_wire::jws::JwsHeader;

use super::{JwsError, Typ, header};
use crate::algorithms::Algorithms;
use crate::evidence::SignatureVerified;
use crate::identity::{IdentityPublic, Suite, es256_to_der};
use crate::x509::CertificateChain;

/// A JWS whose syntax is right and whose signature nobody has checked.
pub struct Unverified<'a> {
    header: JwsHeader,
    /// `BASE64URL(header) ‖ '.' ‖ BASE64URL(payload)`.
    signing_input: &'a [u8],
    /// Wiped: the configuration has the pairing code in it.
    payload: Zeroizing<Vec<u8>>,
    signature_part: &'a str,
    signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    /// Reads the three parts and the header.
    ///
    /// # Errors
    ///
    /// [`JwsError`]: too large, malformed or header.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, JwsError> {
        if bytes.len() > limits::BODY_MAX.default {
            return Err(JwsError::TooLarge);
        }
        let text = core::str::from_utf8(bytes).map_err(|_| JwsError::Malformed)?;
        let (signed, signature_part) = text.rsplit_once('.').ok_or(JwsError::Malformed)?;
        let (header_part, payload_part) = signed.split_once('.').ok_or(JwsError::Malformed)?;
        // A fourth part would sit in `payload_part`; the alphabet has no '.', so decoding refuses.
        Ok(Self {
            header: header::decode(&decode(header_part)?)?,
            signing_input: signed.as_bytes(),
            payload: Zeroizing::new(decode(payload_part)?),
            signature_part,
            signature: decode(signature_part)?,
        })
    }

    /// What `typ` claims, to route a message. `None` for a value the protocol does not have.
    #[must_use]
    pub fn claimed_typ(&self) -> Option<Typ> {
        Typ::ALL.into_iter().find(|typ| typ.as_str() == self.header.typ)
    }

    /// The certificate chain of the header, leaf first, still to be verified against anchors.
    ///
    /// # Errors
    ///
    /// [`JwsError::Chain`] if there is none or it is malformed.
    pub fn x5c(&self) -> Result<CertificateChain, JwsError> {
        let x5c = self.header.x5c.as_deref().ok_or(JwsError::Chain)?;
        CertificateChain::from_x5c(x5c).map_err(|_| JwsError::Chain)
    }

    /// Whether the header has a certificate chain.
    #[must_use]
    pub fn has_x5c(&self) -> bool {
        self.header.x5c.is_some()
    }

    /// The payload before anyone vouched for it.
    ///
    /// Only to find the record that verification needs, for example the key whose hash the
    /// registry knows. Acting on it is a bug.
    #[must_use]
    pub fn payload_unverified(&self) -> &[u8] {
        &self.payload
    }

    /// Checks type, algorithm and signature against the verifier's record.
    ///
    /// `key` decides the algorithm: ES256 for P-256, PS256 for RSA. The header must say the same.
    ///
    /// # Errors
    ///
    /// [`JwsError`]: typ, chain out of place, algorithm, unsupported or signature.
    pub fn verify_with(
        self,
        typ: Typ,
        key: &IdentityPublic,
        algorithms: &Algorithms,
    ) -> Result<Verified, JwsError> {
        if self.header.typ != typ.as_str() {
            return Err(JwsError::Typ);
        }
        if !typ.accepts_chain(self.header.x5c.is_some()) {
            return Err(JwsError::Chain);
        }
        if self.header.alg != key.suite().jws_alg() {
            return Err(JwsError::Algorithm);
        }
        verify_signature(key, algorithms, self.signing_input, &self.signature)?;
        Ok(Verified {
            typ,
            payload: self.payload,
            signature_part: self.signature_part.into(),
            proof: SignatureVerified(()),
        })
    }
}

impl fmt::Debug for Unverified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unverified")
            .field("typ", &self.header.typ)
            .field("payload_len", &self.payload.len())
            .finish()
    }
}

/// A message whose signature was right under the recorded key.
pub struct Verified {
    typ: Typ,
    payload: Zeroizing<Vec<u8>>,
    signature_part: String,
    proof: SignatureVerified,
}

impl Verified {
    /// The type that was asked for and found.
    #[must_use]
    pub fn typ(&self) -> Typ {
        self.typ
    }

    /// The exact bytes that were signed.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Gives up the payload.
    #[must_use]
    pub fn into_payload(self) -> Zeroizing<Vec<u8>> {
        self.payload
    }

    /// The third part, base64url: the `signature` member of the document view (D4). Not an id.
    #[must_use]
    pub fn signature_part(&self) -> &str {
        &self.signature_part
    }

    /// The proof that verification ran.
    pub fn proof(&self) -> SignatureVerified {
        self.proof
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("typ", &self.typ)
            .field("payload_len", &self.payload.len())
            .finish()
    }
}

/// Checks the signature part of a JWS: r ‖ s for P-256, RSASSA-PSS for RSA (RFC 7518 §3.4, §3.5).
pub(crate) fn verify_signature(
    key: &IdentityPublic,
    algorithms: &Algorithms,
    message: &[u8],
    signature: &[u8],
) -> Result<(), JwsError> {
    match key.suite() {
        Suite::P256 => {
            // RFC 7518 §3.4: r ‖ s, 64 bytes. Verifiers of X.509 and TLS take the DER form.
            let der = es256_to_der(signature).map_err(|_| JwsError::Signature)?;
            algorithms.ecdsa_p256_sha256().verify_signature(key.key_bits(), message, &der)
        }
        Suite::Rsa2048 => algorithms
            .rsa_pss_sha256()
            .ok_or(JwsError::Unsupported)?
            .verify_signature(key.key_bits(), message, signature),
    }
    .map_err(|_| JwsError::Signature)
}

fn decode(part: &str) -> Result<Vec<u8>, JwsError> {
    Base64UrlUnpadded::decode_vec(part).map_err(|_| JwsError::Malformed)
}
