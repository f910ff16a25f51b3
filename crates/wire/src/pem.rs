//! Certificates in JSON: base64 of PEM ([W §5], [I §3.2]).

use alloc::string::String;
use core::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zmon_domain::error::FieldError;

use crate::{b64, secret::read_text};

const BEGIN: &str = "-----BEGIN ";
const TEXT_RULE: &str = "must be base64 of PEM, or PEM, of at most 32768 characters";
const PEM_RULE: &str = "must be base64 of PEM, or PEM";
const TEXT_MAX: usize = 32_768;

/// A certificate or a chain, leaf first, as JSON carries it: base64 (standard alphabet, padded) of PEM.
/// The reader also takes bare PEM. What is inside is for the X.509 layer to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PemBase64(String);

impl PemBase64 {
    /// Takes the text of a member: not empty, ASCII, no control characters but line ends.
    ///
    /// # Errors
    /// A [`FieldError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        if is_plain(text) {
            Ok(Self(text.into()))
        } else {
            Err(FieldError::new("certificate", TEXT_RULE))
        }
    }

    /// Wraps PEM for a message.
    ///
    /// # Errors
    /// A [`FieldError`] if the text is not PEM or is too long.
    pub fn from_pem(pem: &str) -> Result<Self, FieldError> {
        if !pem.starts_with(BEGIN) {
            return Err(FieldError::new("certificate", PEM_RULE));
        }
        Self::parse(&b64::encode_standard(pem.as_bytes()))
    }

    /// The text of the member.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The PEM inside, from either form.
    ///
    /// # Errors
    /// A [`FieldError`] if there is none.
    pub fn to_pem(&self) -> Result<String, FieldError> {
        if self.0.starts_with(BEGIN) {
            return Ok(self.0.clone());
        }
        b64::decode_standard(&self.0)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .filter(|pem| pem.starts_with(BEGIN) && pem.is_ascii())
            .ok_or(FieldError::new("certificate", PEM_RULE))
    }
}

impl FromStr for PemBase64 {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        Self::parse(text)
    }
}

impl fmt::Display for PemBase64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for PemBase64 {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PemBase64 {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read_text(from, TEXT_RULE, |text| Self::parse(text).ok())
    }
}

fn is_plain(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_graphic() || matches!(b, b' ' | b'\n' | b'\r');
    (1..=TEXT_MAX).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::strict;

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nZm9v\n-----END CERTIFICATE-----\n";

    #[test]
    fn both_forms_lead_to_the_same_pem() {
        let wrapped = PemBase64::from_pem(PEM).unwrap();
        assert_eq!(wrapped.to_pem().unwrap(), PEM);
        assert_eq!(PemBase64::parse(PEM).unwrap().to_pem().unwrap(), PEM);
        assert_eq!(wrapped.to_string().parse(), Ok(wrapped.clone()));
        assert!(wrapped.as_str().starts_with("LS0tLS1CRUdJTi"));
    }

    #[test]
    fn chains_are_allowed() {
        let chain = [PEM, PEM].concat();
        assert_eq!(PemBase64::from_pem(&chain).unwrap().to_pem().unwrap(), chain);
    }

    #[test]
    fn the_documents_placeholder_is_text_but_not_pem() {
        let placeholder = PemBase64::parse("base64-encoded-ca-cert").unwrap();
        assert_eq!(placeholder.to_pem().unwrap_err().rule(), PEM_RULE);
        let not_utf8 = PemBase64::parse("/////w==").unwrap();
        assert!(not_utf8.to_pem().is_err());
        assert!(PemBase64::parse("Zm9v").unwrap().to_pem().is_err());
        assert!(PemBase64::from_pem("foo").is_err());
    }

    #[test]
    fn other_text_is_refused() {
        for bad in ["", "a\tb", "a\0", "ä", &"a".repeat(TEXT_MAX + 1)] {
            assert_eq!(PemBase64::parse(bad).unwrap_err().rule(), TEXT_RULE);
        }
        assert_eq!(strict::parse::<PemBase64>(b"\"\"", 10).unwrap_err().rule(), TEXT_RULE);
        assert_eq!(strict::parse::<PemBase64>(b"1", 10).unwrap_err().rule(), "must be a string");
    }
}
