//! The station's console.
#[cfg(test)]
mod catalogue;
#[cfg(test)]
mod pages;
