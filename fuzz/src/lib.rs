//! What fuzz targets share: how an input chooses, and one property of every parser.

use core::fmt::Debug;

/// What is accepted is written back so that it reads the same again.
///
/// # Panics
/// When it does not: that is what a target looks for.
pub fn reads_back<T: PartialEq + Debug, E: Debug>(
    value: T,
    written: &str,
    read: impl FnOnce(&str) -> Result<T, E>,
) {
    let again = read(written);
    assert!(
        again.as_ref().is_ok_and(|again| *again == value),
        "{value:?} as {written:?}: {again:?}"
    );
}

/// The first byte as a choice of so many, and the rest.
#[must_use]
pub fn choice(data: &[u8], of: usize) -> Option<(usize, &[u8])> {
    let (first, rest) = data.split_first()?;
    Some((usize::from(*first) % of.max(1), rest))
}
