//! The one way in and out of JSON (RFC 8259, D24).
//!
//! Reading goes in steps, cheapest first: size, UTF-8, grammar with depth and duplicate members, then
//! the type. What is borrowed from the input stays borrowed; what had to be unescaped is wiped
//! afterwards, so that reading leaves no copy of a secret.

use alloc::vec::Vec;

use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

mod error;
mod tree;
mod typed;

pub(crate) use error::VERSION_RULE;
pub use error::{WireError, WireErrorKind};

/// Reads one message of at most `max` bytes.
///
/// # Errors
/// A [`WireError`] that names the member and the rule, never a value.
pub fn parse<T: DeserializeOwned>(bytes: &[u8], max: usize) -> Result<T, WireError> {
    let tree = tree::Node::parse(bytes, max)?;
    T::deserialize(&tree)
}

/// Reads an array of at most `max` bytes, each element by itself: a wrong one does not spoil the others.
///
/// # Errors
/// A [`WireError`] when it is no array; those of an element stand in its place.
pub fn parse_each<T: DeserializeOwned>(
    bytes: &[u8],
    max: usize,
) -> Result<Vec<Result<T, WireError>>, WireError> {
    let tree::Node::Array(elements) = tree::Node::parse(bytes, max)? else {
        return Err(WireError::new(WireErrorKind::Member, "must be an array"));
    };
    Ok(elements.iter().map(T::deserialize).collect())
}

/// Writes a message; members come in the order of the struct's fields.
///
/// # Errors
/// A [`WireError`] if the value has no JSON form; no message of this crate is such a value.
pub fn to_vec<T: Serialize>(value: &T) -> Result<Vec<u8>, WireError> {
    serde_json::to_vec(value).map_err(|_| WireError::unwritable())
}

/// Writes a message of at most `room` bytes that holds a secret, into a buffer that is wiped when it is
/// dropped. A longer one is written all the same and leaves parts of itself behind, and so does any without the
/// feature `std`, because the JSON library then brings its own buffer.
///
/// # Errors
/// As [`to_vec`].
pub fn to_secret<T: Serialize>(value: &T, room: usize) -> Result<Zeroizing<Vec<u8>>, WireError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    #[cfg(feature = "std")]
    serde_json::to_writer(&mut *bytes, value).map_err(|_| WireError::unwritable())?;
    #[cfg(not(feature = "std"))]
    bytes.extend_from_slice(&Zeroizing::new(to_vec(value)?));
    Ok(bytes)
}

#[cfg(test)]
mod tests;
