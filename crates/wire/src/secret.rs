//! Text that must not be left behind: wiped on drop, never printed.

use alloc::string::String;
use core::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};
use zeroize::{Zeroize, ZeroizeOnDrop};
use zmon_domain::limits;

/// A secret as text: pairing code, pairing token, PIN, password, private key. It is wiped on drop and
/// its `Debug` shows nothing. It has no equality: parse it into its own type and compare that.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretText(String);

impl SecretText {
    /// Takes a copy of the text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Takes the text itself.
    #[must_use]
    pub const fn from_string(text: String) -> Self {
        Self(text)
    }

    /// The text. Named so that every use stands out.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for SecretText {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read_text(from, "must be a string", |text| Some(Self::new(text)))
    }
}

/// The reader `$read` for a member that may be `null`.
macro_rules! or_null {
    ($vis:vis $name:ident, $read:path, $type:ty) => {
        /// The same for a member that may be `null`.
        $vis fn $name<'de, D: serde::Deserializer<'de>>(
            from: D,
        ) -> Result<Option<$type>, D::Error> {
            struct Item($type);
            impl<'de> serde::Deserialize<'de> for Item {
                fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                    $read(from).map(Self)
                }
            }
            let item: Option<Item> = serde::Deserialize::deserialize(from)?;
            Ok(item.map(|item| item.0))
        }
    };
}
pub(crate) use or_null;

/// Longest pairing code as people may write it, in bytes.
const CODE_MAX: usize = 64;
/// Longest token of any kind, in bytes.
const TOKEN_MAX: usize = 256;
/// Longest text in the place of a PIN, in bytes. Longer than a PIN: what cannot be one is to be judged, and
/// written down, where PINs are.
const PIN_MAX: usize = 64;
/// Longest private key, sealed and as base64 of PEM, in bytes.
const KEY_MAX: usize = 32_768;

/// Reads a pairing code: at most 64 bytes. The domain says what is one.
pub(crate) fn code<'de, D: Deserializer<'de>>(from: D) -> Result<SecretText, D::Error> {
    read_bounded(from, "must be a pairing code of at most 64 bytes", CODE_MAX)
}

or_null!(pub(crate) code_option, code, SecretText);

/// Reads a token: base64url of at most 256 characters.
pub(crate) fn token<'de, D: Deserializer<'de>>(from: D) -> Result<SecretText, D::Error> {
    read_text(from, "must be base64url of at most 256 characters", |text| {
        let is_one = text.len() <= TOKEN_MAX && text.bytes().all(is_base64url);
        is_one.then(|| SecretText::new(text))
    })
}

or_null!(pub(crate) token_option, token, SecretText);

/// Reads what was typed as a PIN: at most 64 bytes.
pub(crate) fn pin<'de, D: Deserializer<'de>>(from: D) -> Result<SecretText, D::Error> {
    read_bounded(from, "must be a PIN of at most 64 bytes", PIN_MAX)
}

/// Reads a password: at most 256 bytes ([`limits::PASSWORD_MAX`]).
pub(crate) fn password<'de, D: Deserializer<'de>>(from: D) -> Result<SecretText, D::Error> {
    read_bounded(from, "must be a password of at most 256 bytes", limits::PASSWORD_MAX.default)
}

or_null!(pub(crate) password_option, password, SecretText);

/// Reads a sealed private key: at most 32,768 bytes.
fn key<'de, D: Deserializer<'de>>(from: D) -> Result<SecretText, D::Error> {
    read_bounded(from, "must be a key of at most 32768 bytes", KEY_MAX)
}

or_null!(pub(crate) key_option, key, SecretText);

/// A character of the URL alphabet of base64 (RFC 4648 §5).
pub(crate) fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn read_bounded<'de, D: Deserializer<'de>>(
    from: D,
    rule: &'static str,
    max: usize,
) -> Result<SecretText, D::Error> {
    read_text(from, rule, |text| (text.len() <= max).then(|| SecretText::new(text)))
}

/// Reads borrowed text through `read` without keeping a copy; `rule` is the error when it declines.
pub(crate) fn read_text<'de, D, T>(
    from: D,
    rule: &'static str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
{
    struct Reader<F, T>(F, &'static str, PhantomData<T>);

    impl<F: FnOnce(&str) -> Option<T>, T> Visitor<'_> for Reader<F, T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            (self.0)(text).ok_or_else(|| E::custom(self.1))
        }
    }

    from.deserialize_str(Reader(read, rule, PhantomData))
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;
    use crate::strict;

    #[test]
    fn debug_shows_nothing() {
        let secret = SecretText::new("ABC-123-XYZ");
        assert_eq!(format!("{secret:?}"), "[secret]");
        assert_eq!(secret.expose(), "ABC-123-XYZ");
    }

    #[test]
    fn wiping_empties_it() {
        let mut secret = SecretText::from("483920");
        secret.zeroize();
        assert!(secret.is_empty());
        assert_eq!(SecretText::from_string(String::from("a")).expose(), "a");
    }

    #[test]
    fn json_carries_it_as_a_string_and_nothing_else_is_taken() {
        let secret: SecretText = strict::parse(br#""a\u0062c""#, 100).unwrap();
        assert_eq!(secret.expose(), "abc");
        assert_eq!(strict::to_vec(&secret).unwrap(), br#""abc""#);
        let error = strict::parse::<SecretText>(b"483920", 100).unwrap_err();
        assert_eq!(error.rule(), "must be a string");
    }
}
