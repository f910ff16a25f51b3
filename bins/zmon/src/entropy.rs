//! Randomness of the operating system.

#![expect(clippy::disallowed_types, reason = "this is where randomness enters")]

use getrandom::SysRng;
use rand_core::{CryptoRng, UnwrapErr};

/// The operating system's generator. If it fails there is no safe way on: the process ends.
pub(crate) fn generator() -> Box<dyn CryptoRng + Send> {
    Box::new(UnwrapErr(SysRng))
}
