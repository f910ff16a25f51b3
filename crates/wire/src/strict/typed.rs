//! From the tree to a type: a serde deserialiser whose errors carry the path to the member.

use serde::{
    de::{
        DeserializeSeed, Deserializer, EnumAccess, Error as _, MapAccess, SeqAccess, Unexpected,
        VariantAccess, Visitor,
    },
    forward_to_deserialize_any,
};

use super::{
    WireError, WireErrorKind,
    tree::{Node, Text},
};

impl<'de> Deserializer<'de> for &'de Node<'de> {
    type Error = WireError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, WireError> {
        match self {
            Node::Null => visitor.visit_unit(),
            Node::Bool(value) => visitor.visit_bool(*value),
            Node::Unsigned(value) => visitor.visit_u64(*value),
            Node::Signed(value) => visitor.visit_i64(*value),
            Node::Float(value) => visitor.visit_f64(*value),
            Node::Text(text) => visitor.visit_borrowed_str(text.as_str()),
            Node::Array(elements) => visitor.visit_seq(Elements(elements.iter().enumerate())),
            Node::Object(members) => {
                visitor.visit_map(Members { rest: members.iter(), next: None })
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, WireError> {
        if matches!(self, Node::Null) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, WireError> {
        visitor.visit_newtype_struct(self)
    }

    /// An object only: serde's visitors would take an array of the members' values as well.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, WireError> {
        if !matches!(self, Node::Object(_)) {
            return Err(WireError::new(WireErrorKind::Member, "must be an object"));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, WireError> {
        if let Node::Text(name) = self {
            return visitor.visit_enum(Variant { name, content: &Node::Null });
        }
        let Node::Object(members) = self else {
            return Err(WireError::new(WireErrorKind::Member, "must be an object with one member"));
        };
        let [(name, content)] = members.as_slice() else {
            return Err(WireError::new(WireErrorKind::Member, "must have exactly one member"));
        };
        visitor.visit_enum(Variant { name, content })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, WireError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map identifier
    }
}

struct Elements<'de>(core::iter::Enumerate<core::slice::Iter<'de, Node<'de>>>);

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = WireError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, WireError> {
        let Some((index, element)) = self.0.next() else { return Ok(None) };
        seed.deserialize(element).map(Some).map_err(|error| error.within_element(index))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Members<'de> {
    rest: core::slice::Iter<'de, (Text<'de>, Node<'de>)>,
    next: Option<&'de (Text<'de>, Node<'de>)>,
}

impl<'de> MapAccess<'de> for Members<'de> {
    type Error = WireError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, WireError> {
        self.next = self.rest.next();
        self.next.map(|(name, _)| seed.deserialize(Name(name.as_str()))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, WireError> {
        let Some((name, value)) = self.next.take() else {
            return Err(WireError::new(WireErrorKind::Member, "must follow its name"));
        };
        seed.deserialize(value).map_err(|error| error.within(name.as_str()))
    }
}

/// A member's name, deserialised as text.
struct Name<'de>(&'de str);

impl<'de> Deserializer<'de> for Name<'de> {
    type Error = WireError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, WireError> {
        visitor.visit_borrowed_str(self.0)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}

struct Variant<'de> {
    name: &'de Text<'de>,
    content: &'de Node<'de>,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = WireError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), WireError> {
        seed.deserialize(Name(self.name.as_str())).map(|value| (value, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = WireError;

    fn unit_variant(self) -> Result<(), WireError> {
        if matches!(self.content, Node::Null) {
            return Ok(());
        }
        Err(WireError::invalid_type(Unexpected::Other("content"), &"a plain name"))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, WireError> {
        seed.deserialize(self.content).map_err(|error| error.within(self.name.as_str()))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, WireError> {
        self.content.deserialize_any(visitor).map_err(|error| error.within(self.name.as_str()))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, WireError> {
        self.content
            .deserialize_struct("", fields, visitor)
            .map_err(|error| error.within(self.name.as_str()))
    }
}
