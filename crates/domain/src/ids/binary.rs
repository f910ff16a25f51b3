//! Identifiers and digests as bytes, with hexadecimal or UUID text.

use core::{fmt, str::FromStr};

use rand_core::CryptoRng;
use uuid::{Builder, Uuid};

use crate::{error::FieldError, hex};

macro_rules! uuid_type {
    ($(#[doc = $doc:literal])+ $name:ident, $field:literal) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh random identifier (UUID version 4).
            pub fn generate(rng: &mut dyn CryptoRng) -> Self {
                let mut bytes = [0; 16];
                rng.fill_bytes(&mut bytes);
                Self(Builder::from_random_bytes(bytes).into_uuid())
            }

            /// The identifier with these 16 bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The 16 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Reads the hyphenated form only.
            ///
            /// # Errors
            /// A [`FieldError`] for any other form.
            pub fn parse(text: &str) -> Result<Self, FieldError> {
                let uuid = if text.len() == 36 { Uuid::try_parse(text).ok() } else { None };
                uuid.map(Self).ok_or(FieldError::new($field, "must be a UUID of 36 characters"))
            }
        }

        impl FromStr for $name {
            type Err = FieldError;
            fn from_str(text: &str) -> Result<Self, FieldError> {
                Self::parse(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.hyphenated())
            }
        }
    };
}

macro_rules! bytes_type {
    ($(#[doc = $doc:literal])+ $name:ident, $len:literal, $field:literal, $rule:literal) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// The value with these bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Reads hexadecimal text of exactly this length.
            ///
            /// # Errors
            /// A [`FieldError`] for any other text.
            pub fn parse(text: &str) -> Result<Self, FieldError> {
                let mut bytes = [0; $len];
                hex::read(text, &mut bytes).ok_or(FieldError::new($field, $rule))?;
                Ok(Self(bytes))
            }
        }

        impl FromStr for $name {
            type Err = FieldError;
            fn from_str(text: &str) -> Result<Self, FieldError> {
                Self::parse(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex::write(f, &self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

uuid_type!(
    /// One pairing session between a device and a station (D11).
    SessionId, "sessionId"
);
uuid_type!(
    /// One batch of pairings ([W §1]).
    BatchId, "batchId"
);
uuid_type!(
    /// One envelope: a retry has a new one inside the same session.
    MessageId, "messageId"
);
bytes_type!(
    /// One provisioning window of a device; Regenerate makes a new one (D10).
    WindowId, 16, "windowId", "must be 32 hexadecimal digits"
);
bytes_type!(
    /// What names a token without giving it away: the first 16 bytes of
    /// SHA-256("zp1 token id" ‖ token).
    TokenId, 16, "tokenId", "must be 32 hexadecimal digits"
);
bytes_type!(
    /// SHA-256 of a public key's SubjectPublicKeyInfo in DER.
    Thumbprint, 32, "thumbprint", "must be 64 hexadecimal digits"
);

impl WindowId {
    /// A fresh random window.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }
}

impl Thumbprint {
    /// The left half, as carried in tokens and hellos (D3).
    #[must_use]
    pub fn short(&self) -> [u8; 16] {
        let mut half = [0; 16];
        half.iter_mut().zip(&self.0).for_each(|(to, from)| *to = *from);
        half
    }
}

const SERIAL_RULE: &str = "must be 1 to 20 bytes in hexadecimal and not zero";

/// The serial number of a certificate: a positive integer of at most 20 octets (RFC 5280
/// §4.1.2.2), big-endian, without the leading zeros that DER may add, so that equal numbers are equal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial {
    len: u8,
    // Unused bytes are zero, so that the derived comparisons hold.
    bytes: [u8; 20],
}

impl Serial {
    /// Takes big-endian octets; leading zeros are dropped.
    ///
    /// # Errors
    /// A [`FieldError`] for zero and for more than 20 significant octets.
    pub fn from_bytes(octets: &[u8]) -> Result<Self, FieldError> {
        let error = FieldError::new("serial", SERIAL_RULE);
        let start = octets.iter().position(|b| *b != 0).ok_or_else(|| error.clone())?;
        let significant = octets.get(start..).unwrap_or_default();
        let mut bytes = [0; 20];
        let target = bytes.get_mut(..significant.len()).ok_or_else(|| error.clone())?;
        target.copy_from_slice(significant);
        Ok(Self { len: u8::try_from(significant.len()).map_err(|_| error)?, bytes })
    }

    /// Reads hexadecimal text of an even number of digits.
    ///
    /// # Errors
    /// A [`FieldError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let mut octets = [0; 21];
        octets
            .get_mut(..text.len() / 2)
            .and_then(|out| hex::read(text, out).map(|()| &*out))
            .ok_or(FieldError::new("serial", SERIAL_RULE))
            .and_then(Self::from_bytes)
    }

    /// The significant octets, big-endian.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl FromStr for Serial {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        Self::parse(text)
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(f, self.as_bytes())
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    #[test]
    fn session_ids_are_version_4_and_round_trip() {
        let mut rng = ChaCha20Rng::from_seed([7; 32]);
        let id = SessionId::generate(&mut rng);
        assert_ne!(id, SessionId::generate(&mut rng));
        assert_eq!(id.to_string().as_bytes()[14], b'4');
        assert_eq!(SessionId::parse(&id.to_string()), Ok(id));
        assert_eq!(SessionId::from_bytes(*id.as_bytes()), id);
        assert_eq!(MessageId::generate(&mut rng).to_string().len(), 36);
    }

    #[test]
    fn only_the_hyphenated_uuid_is_read() {
        for bad in [
            "",
            "67e5504410b1426f9247bb680e5fe0c8",
            "{67e55044-10b1-426f-9247-bb680e5fe0c8}",
            "urn:uuid:67e55044-10b1-426f-9247-bb680e5fe0c8",
            "67e55044-10b1-426f-9247-bb680e5fe0cg",
            "67e5504410b1-426f-9247-bb680e5fe0c8--",
        ] {
            assert_eq!(SessionId::parse(bad).unwrap_err().field(), "sessionId", "{bad}");
        }
    }

    #[test]
    fn thumbprints_read_64_digits_and_have_a_left_half() {
        let text = "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef";
        let thumbprint = Thumbprint::parse(text).unwrap();
        assert_eq!(thumbprint.to_string(), text);
        assert_eq!(thumbprint.short()[..2], [0x00, 0x11]);
        assert_eq!(thumbprint.short()[15], 0xff);
        assert!(Thumbprint::parse(&text[1..]).is_err());
        assert!(Thumbprint::parse(&text.replace('0', "g")).is_err());
        assert!(WindowId::parse("zz").is_err());
        assert!(TokenId::parse(&"é".repeat(16)).is_err());
    }

    #[test]
    fn window_ids_are_random() {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        assert_ne!(WindowId::generate(&mut rng), WindowId::generate(&mut rng));
    }

    #[test]
    fn serials_have_one_form() {
        assert_eq!(Serial::from_bytes(&[0, 0x80]), Serial::parse("80"));
        assert_eq!(Serial::parse("0080").unwrap().to_string(), "80");
        assert_eq!(Serial::from_bytes(&[0xff; 20]).unwrap().as_bytes(), [0xff; 20]);
        let mut padded = [0xff; 21];
        padded[0] = 0;
        assert_eq!(Serial::from_bytes(&padded), Serial::from_bytes(&[0xff; 20]));
    }

    #[test]
    fn serials_refuse_zero_odd_long_and_foreign_text() {
        for bad in ["", "0", "00", "123", "zz", &"ff".repeat(21), &"ff".repeat(22), "0x12", "é1"] {
            assert_eq!(Serial::parse(bad).unwrap_err().rule(), SERIAL_RULE, "{bad}");
        }
        assert!(Serial::from_bytes(&[]).is_err());
        assert!(Serial::from_bytes(&[1; 21]).is_err());
    }

    proptest! {
        #[test]
        fn serial_text_round_trips(octets in proptest::collection::vec(any::<u8>(), 1..=20)) {
            prop_assume!(octets.iter().any(|b| *b != 0));
            let serial = Serial::from_bytes(&octets).unwrap();
            prop_assert_eq!(Serial::parse(&serial.to_string()), Ok(serial));
        }
    }
}
