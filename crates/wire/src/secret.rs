//! Text that must not be left behind: wiped on drop, never printed.

use alloc::string::String;
use core::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};
use zeroize::{Zeroize, ZeroizeOnDrop};

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
