//! The ports of station and device with ordered faults in front of them.

mod device;
mod station;

pub(crate) use device::{FaultyLink, FaultyStore};
pub(crate) use station::{FaultyDialer, FaultyIssuer};

use crate::fault::{Faults, Kind, Step};
use crate::power::Power;

/// Where faults come from and what a crash cuts.
#[derive(Clone)]
pub(crate) struct Luck {
    pub(crate) faults: Faults,
    pub(crate) power: Power,
}

impl Luck {
    async fn at(&self, step: Step) -> Option<Kind> {
        self.faults.at(step, &self.power).await
    }
}

/// The text with the character in its middle changed.
fn spoil_text(text: &mut String) {
    let middle = text.len() / 2;
    let other = if text.get(middle..=middle) == Some("A") { "B" } else { "A" };
    if text.is_char_boundary(middle) && text.is_char_boundary(middle + 1) {
        text.replace_range(middle..=middle, other);
    }
}

/// The bytes with the last bit changed.
fn spoil(bytes: &mut [u8]) {
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
}
