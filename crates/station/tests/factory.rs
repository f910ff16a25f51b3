//! Devices that their maker vouches for (D9): no manifest row, a certificate of the identity key.

#[cfg(test)]
#[path = "cases/factory.rs"]
mod cases;
#[cfg(test)]
mod common;
