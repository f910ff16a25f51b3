//! Batches of pairings ([W §1]): where a batch and each of its items stand.

use core::{fmt, str::FromStr};

use crate::error::FieldError;

macro_rules! standing {
    ($(#[doc = $doc:literal])+ $name:ident, $field:literal, $rule:literal { $($(#[doc = $variant_doc:literal])+ $variant:ident = $text:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[doc = $variant_doc])+ $variant,)+
        }

        impl $name {
            /// Every state.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in messages, audit rows and the database.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl FromStr for $name {
            type Err = FieldError;

            fn from_str(text: &str) -> Result<Self, FieldError> {
                let known = Self::ALL.iter().copied().find(|state| state.as_str() == text);
                known.ok_or(FieldError::new($field, $rule))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

standing! {
    /// Where a batch stands.
    BatchState, "state", "must be open, paused or closed" {
        /// Scans are taken.
        Open = "open",
        /// No scan is taken; what has been scanned runs to its end.
        Paused = "paused",
        /// Nothing is taken any more.
        Closed = "closed",
    }
}

standing! {
    /// Where an item of a batch stands.
    ItemState, "state", "must be waiting, pairing, paired, failed or skipped" {
        /// Not scanned yet.
        Waiting = "waiting",
        /// Scanned: its pairing runs.
        Pairing = "pairing",
        /// Paired.
        Paired = "paired",
        /// Its row was bad, or its pairing has failed.
        Failed = "failed",
        /// The batch was closed before it was scanned.
        Skipped = "skipped",
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn words_of_states_round_trip() {
        for state in BatchState::ALL {
            assert_eq!(state.to_string().parse(), Ok(*state));
        }
        for state in ItemState::ALL {
            assert_eq!(state.to_string().parse(), Ok(*state));
        }
        assert_eq!("Open".parse::<BatchState>().unwrap_err().field(), "state");
        assert_eq!("".parse::<ItemState>().unwrap_err().field(), "state");
    }
}
