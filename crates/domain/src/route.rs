//! The ways a message of a pairing takes between station and device (D7).

use core::{fmt, str::FromStr};

use crate::error::FieldError;

/// Who carries a message. The message is the same, whoever carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Route {
    /// The station dials the device.
    #[default]
    Push,
    /// The device asks the station.
    Pull,
    /// A person's machine, or files in a person's hand.
    Courier,
}

impl Route {
    /// Every route.
    pub const ALL: [Self; 3] = [Self::Push, Self::Pull, Self::Courier];

    /// The word in messages and audit rows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Pull => "pull",
            Self::Courier => "courier",
        }
    }
}

impl FromStr for Route {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        Self::ALL
            .into_iter()
            .find(|route| route.as_str() == text)
            .ok_or(FieldError::new("delivery", "must be push, pull or courier"))
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn words_read_back_and_others_are_refused() {
        for route in Route::ALL {
            assert_eq!(route.to_string().parse(), Ok(route));
        }
        assert_eq!("Push".parse::<Route>().unwrap_err().field(), "delivery");
        assert_eq!(Route::default(), Route::Push);
    }
}
