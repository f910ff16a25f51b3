//! Bodies of Enrolment over Secure Transport: PKCS#7, PKCS#10 and attributes in base64 (RFC 7030, RFC 8951).

use cms::content_info::ContentInfo;
use x509_cert::Certificate;
use x509_cert::attr::Attribute;
use x509_cert::der::asn1::{Any, ObjectIdentifier, SetOfVec};
use x509_cert::der::{self, Decode, Encode};
use zmon_wire::b64;

/// Media type of a request, PKCS#10.
pub(crate) const REQUEST: &str = "application/pkcs10";
/// Media type of authorities.
pub(crate) const CERTIFICATES: &str = "application/pkcs7-mime";
/// Media type of an issued certificate.
pub(crate) const ISSUED: &str = "application/pkcs7-mime; smime-type=certs-only";
/// Media type of what a request should have.
pub(crate) const ATTRIBUTES: &str = "application/csrattrs";

/// Longest line of base64, in characters (RFC 2045 §6.8).
const LINE: usize = 76;

/// id-ecPublicKey, secp256r1 and ecdsa-with-SHA256 (RFC 5480, RFC 5758).
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");

/// Certificates (DER) as a certs-only message (RFC 5652 §5), in base64.
///
/// # Errors
/// For bytes that are no certificate.
pub(crate) fn certs_only(certificates: &[Vec<u8>]) -> der::Result<String> {
    let certificates: der::Result<Vec<_>> =
        certificates.iter().map(|bytes| Certificate::from_der(bytes)).collect();
    Ok(lines(&ContentInfo::try_from(certificates?)?.to_der()?))
}

/// What a request should have (RFC 7030 §4.5.2): a key on P-256, and a signature with SHA-256.
///
/// # Errors
/// Never for these values, by the encoder's type.
pub(crate) fn attributes() -> der::Result<String> {
    let values = SetOfVec::try_from([Any::encode_from(&P256)?])?;
    let key = Attribute { oid: EC_PUBLIC_KEY, values };
    let all = vec![Any::encode_from(&key)?, Any::encode_from(&ECDSA_SHA256)?];
    Ok(lines(&all.to_der()?))
}

/// The bytes of a body in base64, in lines or not; `None` for anything else.
pub(crate) fn decode(body: &[u8]) -> Option<Vec<u8>> {
    let text: String =
        core::str::from_utf8(body).ok()?.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    b64::decode_standard(&text).ok()
}

fn lines(bytes: &[u8]) -> String {
    let text = b64::encode_standard(bytes);
    let mut lines = String::with_capacity(text.len() + text.len() / LINE + 1);
    for (at, symbol) in text.chars().enumerate() {
        if at > 0 && at % LINE == 0 {
            lines.push('\n');
        }
        lines.push(symbol);
    }
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_base64_with_or_without_lines() {
        let bytes: Vec<u8> = (0..200).collect();
        let text = lines(&bytes);
        assert!(text.lines().all(|line| line.len() <= LINE) && text.lines().count() == 4);
        assert_eq!(decode(text.as_bytes()).unwrap(), bytes);
        assert_eq!(decode(text.replace('\n', "\r\n").as_bytes()).unwrap(), bytes);
        assert_eq!(decode(b64::encode_standard(&bytes).as_bytes()).unwrap(), bytes);
        for bad in [&b"-----BEGIN CERTIFICATE REQUEST-----"[..], b"AAA", b"\xff\xff", b"A-_="] {
            assert!(decode(bad).is_none(), "{bad:?}");
        }
    }

    /// The value of RFC 7030 §4.5.2 in the same shape, by another encoder: OpenSSL's `asn1parse -genconf`.
    #[test]
    fn attributes_name_the_curve_and_the_signature() {
        let der = decode(attributes().unwrap().as_bytes()).unwrap();
        let expected = [
            &[0x30, 0x21][..],
            &[0x30, 0x15, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01],
            &[0x31, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
            &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],
        ];
        assert_eq!(der, expected.concat());
    }

    #[test]
    fn what_is_no_certificate_is_no_message() {
        assert!(certs_only(&[vec![0x30, 0x00]]).is_err());
    }
}
