//! The station's page for tablets: its files, their policies, and its message catalogue.
#[cfg(test)]
mod catalogue;
#[cfg(test)]
mod pages;
