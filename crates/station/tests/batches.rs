//! Batches of pairings ([W §1]): each item by itself, whatever its neighbours do.

#[cfg(test)]
#[path = "cases/batches/mod.rs"]
mod cases;
#[cfg(test)]
mod common;
