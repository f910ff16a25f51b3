//! Base64 (RFC 4648): the URL alphabet without padding for binary members, the standard alphabet with
//! padding where another standard asks for it (`x5c`, PEM). Decoding is strict and in constant time.

use alloc::{string::String, vec::Vec};

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use zmon_domain::error::FieldError;

const URL_RULE: &str = "must be base64url without padding (RFC 4648 §5)";
/// Longest member of any length, in characters: keys and certificate requests have hundreds.
const MEMBER_MAX: usize = 32_768;
const MEMBER_RULE: &str =
    "must be base64url without padding (RFC 4648 §5) of at most 32768 characters";
const STANDARD_RULE: &str = "must be base64 with padding (RFC 4648 §4)";
const LENGTH_RULE: &str = "must be base64url of its fixed length";

/// Encodes with the URL alphabet, without padding.
#[must_use]
pub fn encode_url(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// Decodes the URL alphabet without padding.
///
/// # Errors
/// A [`FieldError`] for any other text.
pub fn decode_url(text: &str) -> Result<Vec<u8>, FieldError> {
    Base64UrlUnpadded::decode_vec(text).map_err(|_| FieldError::new("base64", URL_RULE))
}

/// Decodes the URL alphabet without padding into exactly `N` bytes.
///
/// # Errors
/// A [`FieldError`] for any other text or length.
pub fn decode_url_array<const N: usize>(text: &str) -> Result<[u8; N], FieldError> {
    let mut bytes = [0; N];
    match Base64UrlUnpadded::decode(text, &mut bytes) {
        Ok(read) if read.len() == N => Ok(bytes),
        _ => Err(FieldError::new("base64", LENGTH_RULE)),
    }
}

/// Encodes with the standard alphabet and padding.
#[must_use]
pub fn encode_standard(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

/// Decodes the standard alphabet with padding.
///
/// # Errors
/// A [`FieldError`] for any other text.
pub fn decode_standard(text: &str) -> Result<Vec<u8>, FieldError> {
    Base64::decode_vec(text).map_err(|_| FieldError::new("base64", STANDARD_RULE))
}

/// Bytes of any length as base64url, for `#[serde(with = "b64::url")]`.
pub mod url {
    use alloc::vec::Vec;

    use serde::{Deserializer, Serializer};

    use crate::secret::read_text;

    /// Writes base64url.
    ///
    /// # Errors
    /// Those of the serialiser.
    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::encode_url(bytes))
    }

    /// Reads base64url.
    ///
    /// # Errors
    /// Those of the deserialiser, and the rule.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        read_text(from, super::MEMBER_RULE, |text| {
            super::decode_url(text).ok().filter(|_| text.len() <= super::MEMBER_MAX)
        })
    }
}

/// As [`url`], or `null`, for `#[serde(with = "b64::url_option")]`. The member must be there.
pub mod url_option {
    use alloc::vec::Vec;
    use core::fmt;

    use serde::{
        Deserializer, Serializer,
        de::{Error, Visitor},
    };

    /// Writes base64url, or `null`.
    ///
    /// # Errors
    /// Those of the serialiser.
    pub fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => super::url::serialize(bytes, to),
            None => to.serialize_none(),
        }
    }

    /// Reads base64url, or `null`.
    ///
    /// # Errors
    /// Those of the deserialiser, and the rule.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Option<Vec<u8>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64url or null")
            }

            fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
                Ok(None)
            }

            fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
                super::url::deserialize(from).map(Some)
            }
        }

        from.deserialize_option(Reader)
    }
}

/// Bytes of fixed length as base64url, for `#[serde(with = "b64::array")]`.
pub mod array {
    use serde::{Deserializer, Serializer};

    use crate::secret::read_text;

    /// Writes base64url.
    ///
    /// # Errors
    /// Those of the serialiser.
    pub fn serialize<S: Serializer, const N: usize>(
        bytes: &[u8; N],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::encode_url(bytes))
    }

    /// Reads base64url of exactly `N` bytes.
    ///
    /// # Errors
    /// Those of the deserialiser, and the rule.
    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        from: D,
    ) -> Result<[u8; N], D::Error> {
        read_text(from, super::LENGTH_RULE, |text| super::decode_url_array(text).ok())
    }
}

/// The same for members that may be absent, for `#[serde(with = "b64::array_option")]`.
pub mod array_option {
    use serde::{Deserializer, Serializer};

    /// Writes base64url, or `null`.
    ///
    /// # Errors
    /// Those of the serialiser.
    pub fn serialize<S: Serializer, const N: usize>(
        bytes: &Option<[u8; N]>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => super::array::serialize(bytes, to),
            None => to.serialize_none(),
        }
    }

    /// Reads base64url of exactly `N` bytes; a member that is there has a value.
    ///
    /// # Errors
    /// Those of the deserialiser, and the rule.
    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        from: D,
    ) -> Result<Option<[u8; N]>, D::Error> {
        super::array::deserialize(from).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_vectors_of_the_standard_hold() {
        // RFC 4648 §10, without and with padding.
        for (plain, url, standard) in [
            ("", "", ""),
            ("f", "Zg", "Zg=="),
            ("fo", "Zm8", "Zm8="),
            ("foo", "Zm9v", "Zm9v"),
            ("foobar", "Zm9vYmFy", "Zm9vYmFy"),
        ] {
            assert_eq!(encode_url(plain.as_bytes()), url);
            assert_eq!(encode_standard(plain.as_bytes()), standard);
            assert_eq!(decode_url(url).unwrap(), plain.as_bytes());
            assert_eq!(decode_standard(standard).unwrap(), plain.as_bytes());
        }
    }

    #[test]
    fn only_one_text_stands_for_the_same_bytes() {
        for bad in ["Zg==", "Zh", "Z", "Zm9v\n", " Zm9v", "Zm+v", "Zm/v", "Zm9vYg=", "é"] {
            assert_eq!(decode_url(bad).unwrap_err().rule(), URL_RULE, "{bad}");
        }
        for bad in ["Zg", "Zh==", "Zm9v\n", "Zm-v", "Zm_v", "====", "Zg==Zg=="] {
            assert_eq!(decode_standard(bad).unwrap_err().rule(), STANDARD_RULE, "{bad}");
        }
    }

    #[test]
    fn arrays_have_their_length() {
        assert_eq!(decode_url_array("Zm9v"), Ok(*b"foo"));
        for bad in ["Zm8", "Zm9vYg", "Zm9vYmFyZm9v", "Zm9*", ""] {
            assert_eq!(decode_url_array::<3>(bad).unwrap_err().rule(), LENGTH_RULE, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn bytes_round_trip(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(&decode_url(&encode_url(&bytes)).unwrap(), &bytes);
            prop_assert_eq!(&decode_standard(&encode_standard(&bytes)).unwrap(), &bytes);
        }

        #[test]
        fn what_decodes_was_canonical(text in "[A-Za-z0-9_-]{0,12}") {
            if let Ok(bytes) = decode_url(&text) {
                prop_assert_eq!(encode_url(&bytes), text);
            }
        }
    }
}
