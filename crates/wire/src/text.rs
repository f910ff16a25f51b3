//! Members that are text on the wire and a domain type in the program.

use alloc::{string::String, vec::Vec};
use core::{fmt, marker::PhantomData, str::FromStr};

use serde::{
    Deserialize, Deserializer, Serializer,
    de::{Error, Visitor},
};
use zmon_domain::error::FieldError;

use crate::secret::{or_null, read_text};

/// Writes the value's `Display` form.
///
/// # Errors
/// Those of the serialiser.
pub fn serialize<T: fmt::Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

/// Reads text and parses it; the error is the rule that was broken, without the text.
///
/// # Errors
/// Those of the deserialiser, and the rule.
pub fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
where
    T: FromStr<Err = FieldError>,
    D: Deserializer<'de>,
{
    from.deserialize_str(TextVisitor(PhantomData))
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: FromStr<Err = FieldError>> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|error: FieldError| E::custom(error.rule()))
    }
}

/// The same for members that may be `null` or absent.
pub mod option {
    use core::{fmt, marker::PhantomData, str::FromStr};

    use serde::{Deserializer, Serializer, de::Visitor};
    use zmon_domain::error::FieldError;

    /// Writes the value's `Display` form, or `null`.
    ///
    /// # Errors
    /// Those of the serialiser.
    pub fn serialize<T: fmt::Display, S: Serializer>(
        value: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.collect_str(value),
            None => to.serialize_none(),
        }
    }

    /// Reads text or `null`.
    ///
    /// # Errors
    /// Those of the deserialiser, and the rule.
    pub fn deserialize<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err = FieldError>,
        D: Deserializer<'de>,
    {
        from.deserialize_option(OptionVisitor(PhantomData))
    }

    struct OptionVisitor<T>(PhantomData<T>);

    impl<'de, T: FromStr<Err = FieldError>> Visitor<'de> for OptionVisitor<T> {
        type Value = Option<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string or null")
        }

        fn visit_none<E>(self) -> Result<Option<T>, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Option<T>, D::Error> {
            super::deserialize(from).map(Some)
        }
    }
}

/// A list of such members.
pub mod list {
    use alloc::vec::Vec;
    use core::{fmt, str::FromStr};

    use serde::{Deserialize, Deserializer, Serializer};
    use zmon_domain::error::FieldError;

    struct Item<T>(T);

    impl<'de, T: FromStr<Err = FieldError>> Deserialize<'de> for Item<T> {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            super::deserialize(from).map(Self)
        }
    }

    /// Writes each value's `Display` form.
    ///
    /// # Errors
    /// Those of the serialiser.
    pub fn serialize<T: fmt::Display, S: Serializer>(
        values: &[T],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(values.iter().map(alloc::string::ToString::to_string))
    }

    /// Reads texts and parses each.
    ///
    /// # Errors
    /// Those of the deserialiser, and the rule.
    pub fn deserialize<'de, T, D>(from: D) -> Result<Vec<T>, D::Error>
    where
        T: FromStr<Err = FieldError>,
        D: Deserializer<'de>,
    {
        let items: Vec<Item<T>> = Vec::deserialize(from)?;
        Ok(items.into_iter().map(|item| item.0).collect())
    }
}

/// Longest word of the protocol, in bytes.
const WORD_MAX: usize = 64;
/// Longest text for people, in bytes.
const WORDS_MAX: usize = 1024;

/// Reads a word that no type stands for: at most 64 bytes, no control characters.
///
/// # Errors
/// Those of the deserialiser, and the rule.
pub(crate) fn word<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    read_text(from, "must be text of at most 64 bytes without control characters", |text| {
        is_plain(text, WORD_MAX).then(|| text.into())
    })
}

or_null!(pub(crate) word_option, word, String);

/// Reads a list of such words.
pub(crate) fn word_list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    struct Item(String);
    impl<'de> Deserialize<'de> for Item {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            word(from).map(Self)
        }
    }
    let items: Vec<Item> = Vec::deserialize(from)?;
    Ok(items.into_iter().map(|item| item.0).collect())
}

/// Reads text for people: at most 1024 bytes, no control characters.
///
/// # Errors
/// Those of the deserialiser, and the rule.
pub(crate) fn words<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    read_text(from, "must be text of at most 1024 bytes without control characters", |text| {
        is_plain(text, WORDS_MAX).then(|| text.into())
    })
}

or_null!(pub(crate) words_option, words, String);

fn is_plain(text: &str, max: usize) -> bool {
    text.len() <= max && !text.chars().any(char::is_control)
}

/// A time as whole seconds since the epoch: NumericDate (RFC 7519 §2).
pub mod unix_seconds {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use zmon_domain::time::UnixTime;

    /// Writes whole seconds.
    ///
    /// # Errors
    /// Those of the serialiser.
    pub fn serialize<S: Serializer>(time: &UnixTime, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(time.unix())
    }

    /// Reads whole seconds of the years 1970 to 9999.
    ///
    /// # Errors
    /// Those of the deserialiser, and the rule.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<UnixTime, D::Error> {
        UnixTime::from_unix(i64::deserialize(from)?)
            .ok_or_else(|| D::Error::custom("must be a time in the years 1970 to 9999"))
    }
}

/// An interval as whole seconds within its limits.
pub mod sync_interval {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use zmon_domain::settings::SyncInterval;

    /// Writes whole seconds.
    ///
    /// # Errors
    /// Those of the serialiser.
    pub fn serialize<S: Serializer>(interval: &SyncInterval, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(interval.as_secs())
    }

    /// Reads whole seconds.
    ///
    /// # Errors
    /// Those of the deserialiser, and the rule.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SyncInterval, D::Error> {
        SyncInterval::from_secs(u64::deserialize(from)?)
            .map_err(|error| D::Error::custom(error.rule()))
    }
}

/// An interval that may be `null` or absent.
pub mod sync_interval_option {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use zmon_domain::settings::SyncInterval;

    /// Writes whole seconds or `null`.
    ///
    /// # Errors
    /// Those of the serialiser.
    pub fn serialize<S: Serializer>(
        interval: &Option<SyncInterval>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match interval {
            Some(interval) => to.serialize_u64(interval.as_secs()),
            None => to.serialize_none(),
        }
    }

    /// Reads whole seconds or `null`.
    ///
    /// # Errors
    /// Those of the deserialiser, and the rule.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<SyncInterval>, D::Error> {
        Option::<u64>::deserialize(from)?
            .map(SyncInterval::from_secs)
            .transpose()
            .map_err(|error| D::Error::custom(error.rule()))
    }
}

/// A hash as lower-case hexadecimal, which may be `null` or absent.
pub mod hash_option {
    use alloc::string::String;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use zmon_domain::hex;

    /// Writes 64 digits or `null`.
    ///
    /// # Errors
    /// Those of the serialiser.
    pub fn serialize<S: Serializer>(hash: &Option<[u8; 32]>, to: S) -> Result<S::Ok, S::Error> {
        match hash {
            Some(hash) => to.serialize_str(&hex::encode(hash)),
            None => to.serialize_none(),
        }
    }

    /// Reads 64 digits or `null`.
    ///
    /// # Errors
    /// Those of the deserialiser, and the rule.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<[u8; 32]>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
        let hash = hex::decode(&text);
        hash.map(Some).ok_or_else(|| D::Error::custom("must be 64 hexadecimal digits"))
    }
}

/// A hash as lower-case hexadecimal.
pub mod hash {
    use serde::{Deserializer, Serializer};
    use zmon_domain::hex;

    use super::super::secret::read_text;

    /// Writes 64 digits.
    ///
    /// # Errors
    /// Those of the serialiser.
    pub fn serialize<S: Serializer>(hash: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(hash))
    }

    /// Reads 64 digits.
    ///
    /// # Errors
    /// Those of the deserialiser, and the rule.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
        read_text(from, "must be 64 hexadecimal digits", hex::decode)
    }
}
