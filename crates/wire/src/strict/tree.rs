//! The grammar: any JSON value as a tree, refusing depth, duplicate members and trailing data.

use alloc::{string::String, vec::Vec};
use core::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;
use zmon_domain::limits;

use super::{WireError, WireErrorKind};

/// Text borrowed from the input, or unescaped and wiped on drop.
pub(super) enum Text<'a> {
    Borrowed(&'a str),
    Unescaped(Zeroizing<String>),
}

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Unescaped(text) => text,
        }
    }
}

/// One JSON value.
pub(super) enum Node<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(Text<'a>),
    Array(Vec<Self>),
    Object(Vec<(Text<'a>, Self)>),
}

impl<'a> Node<'a> {
    pub(super) fn parse(bytes: &'a [u8], max: usize) -> Result<Self, WireError> {
        if bytes.len() > max {
            let rule = alloc::format!("must be at most {max} bytes long");
            return Err(WireError::new(WireErrorKind::TooLarge, rule));
        }
        let text = core::str::from_utf8(bytes).map_err(|error| {
            WireError::new(WireErrorKind::NotUtf8, "must be UTF-8").at_offset(error.valid_up_to())
        })?;
        let fault = Cell::new(None);
        let mut reader = serde_json::Deserializer::from_str(text);
        let seed = Seed { levels_left: limits::JSON_DEPTH.default, fault: &fault };
        let node = seed.deserialize(&mut reader).map_err(|error| {
            // The visitor's own finding is more exact than what serde_json makes of it.
            let syntax = if error.is_eof() { "must be complete JSON" } else { "must be JSON" };
            let found = fault.take();
            let found = found.unwrap_or_else(|| WireError::new(WireErrorKind::Syntax, syntax));
            found.at_offset(offset(text, &error))
        })?;
        reader.end().map_err(|error| {
            let rule = "must hold one JSON value and nothing after it";
            WireError::new(WireErrorKind::TrailingData, rule).at_offset(offset(text, &error))
        })?;
        Ok(node)
    }
}

/// The byte that line and column of a serde_json error stand for.
fn offset(text: &str, error: &serde_json::Error) -> usize {
    let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    let start: usize = lines.map(str::len).sum();
    start + error.column().saturating_sub(1)
}

/// Reads one value with so many levels of nesting left.
#[derive(Clone, Copy)]
struct Seed<'f> {
    levels_left: usize,
    fault: &'f Cell<Option<WireError>>,
}

impl Seed<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.levels_left.checked_sub(1) {
            Some(levels_left) => Ok(Self { levels_left, ..self }),
            None => Err(self.fail(WireError::new(
                WireErrorKind::TooDeep,
                alloc::format!("must be nested at most {} deep", limits::JSON_DEPTH.default),
            ))),
        }
    }

    fn fail<E: serde::de::Error>(self, error: WireError) -> E {
        let refused = E::custom(error.rule());
        self.fault.set(Some(error));
        refused
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node<'de>, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node<'de>, E> {
        Ok(Node::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node<'de>, E> {
        Ok(Node::Signed(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node<'de>, E> {
        Ok(Node::Float(value))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Text::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Text::Unescaped(Zeroizing::new(text.into()))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node<'de>, A::Error> {
        let seed = self.deeper()?;
        let mut elements = Vec::new();
        while let Some(element) = access.next_element_seed(seed)? {
            elements.push(element);
        }
        Ok(Node::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node<'de>, A::Error> {
        let seed = self.deeper()?;
        let mut members = Vec::new();
        while let Some(key) = access.next_key_seed(seed)? {
            let Node::Text(name) = key else { return Err(A::Error::custom("must be a name")) };
            members.push((name, access.next_value_seed(seed)?));
        }
        match duplicate(&members) {
            Some(name) => Err(self
                .fail(WireError::new(WireErrorKind::Duplicate, "must appear once").within(name))),
            None => Ok(Node::Object(members)),
        }
    }
}

/// A name that appears twice, compared after unescaping. Sorted, so that a large object costs
/// n log n and not n².
fn duplicate<'m>(members: &'m [(Text<'_>, Node<'_>)]) -> Option<&'m str> {
    let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.windows(2).find_map(|pair| match pair {
        [a, b] if a == b => Some(*a),
        _ => None,
    })
}
