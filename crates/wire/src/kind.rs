//! Versions and enumerations as messages carry them.

use core::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use zmon_domain::error::FieldError;

use crate::strict::VERSION_RULE;

/// The version member of a message: the number `N` and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Version<const N: u8>;

/// Version 1, `"v": 1`.
pub type V1 = Version<1>;

impl<const N: u8> Serialize for Version<N> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u8(N)
    }
}

impl<'de, const N: u8> Deserialize<'de> for Version<N> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if u64::deserialize(from)? == u64::from(N) {
            Ok(Self)
        } else {
            Err(D::Error::custom(VERSION_RULE))
        }
    }
}

macro_rules! numbered {
    ($(#[doc = $doc:literal])+ $name:ident, $rule:literal { $($(#[doc = $variant_doc:literal])+ $variant:ident = $number:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[doc = $variant_doc])+ $variant,)+
        }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The number on the wire.
            #[must_use]
            pub const fn number(self) -> u8 {
                match self {
                    $(Self::$variant => $number,)+
                }
            }

            /// The value with this number.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_u8(self.number())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let number = u64::deserialize(from)?;
                let known = u8::try_from(number).ok().and_then(Self::from_number);
                known.ok_or_else(|| D::Error::custom($rule))
            }
        }
    };
}

numbered! {
    /// The kind of the device's identity key, which fixes the whole suite; never negotiated.
    Suite, "must be suite 1 or 2" {
        /// P-256.
        P256 = 1,
        /// RSA-2048.
        Rsa2048 = 2,
    }
}

numbered! {
    /// How the session was begun.
    Method, "must be a method from 1 to 4" {
        /// By the scanned QR code.
        Qr = 1,
        /// By the typed code.
        Typed = 2,
        /// By renewal over the link.
        Renewal = 3,
        /// By recovery of an expired certificate.
        Recovery = 4,
    }
}

macro_rules! constant_bool {
    ($(#[doc = $doc:literal])+ $name:ident, $value:literal, $rule:literal) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $name;

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_bool($value)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                if bool::deserialize(from)? == $value { Ok(Self) } else { Err(D::Error::custom($rule)) }
            }
        }
    };
}

constant_bool!(
    /// A member that is always `true`, as `success` in an answer that is one.
    True, true, "must be true"
);
constant_bool!(
    /// A member that is always `false`, as `success` in a problem document.
    False, false, "must be false"
);

/// Where a device's identity key and root secret live (D19).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyProtection {
    /// In files: protects copies of the database, not a stolen disk.
    File,
    /// In hardware that does not give them away.
    Hardware,
}

impl KeyProtection {
    /// The word on the wire: `file` or `hardware`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Hardware => "hardware",
        }
    }
}

impl FromStr for KeyProtection {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        match text {
            "file" => Ok(Self::File),
            "hardware" => Ok(Self::Hardware),
            _ => Err(FieldError::new("keyProtection", "must be file or hardware")),
        }
    }
}

impl fmt::Display for KeyProtection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// On what ground a device believes the station of a session (D8); what its certificate says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TrustLevel {
    /// The station's certificate leads to an anchor of the device.
    #[default]
    Anchored,
    /// An operator at the device compared four words and confirmed the station.
    Proximity,
    /// Nobody: a simulation (D20).
    Simulated,
}

impl TrustLevel {
    /// Every level.
    pub const ALL: [Self; 3] = [Self::Anchored, Self::Proximity, Self::Simulated];

    /// The word on the wire, in certificates and in audit rows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anchored => "anchored",
            Self::Proximity => "proximity",
            Self::Simulated => "simulated",
        }
    }

    /// Whether it is the usual one, which the identity document leaves out.
    #[must_use]
    pub const fn is_anchored(&self) -> bool {
        matches!(self, Self::Anchored)
    }
}

impl FromStr for TrustLevel {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        let known = Self::ALL.into_iter().find(|level| level.as_str() == text);
        known.ok_or(FieldError::new("stationTrust", "must be anchored, proximity or simulated"))
    }
}

impl fmt::Display for TrustLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What keeps a station from taking pairings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Obstacle {
    /// Its record cannot be read.
    Store,
    /// It has not read for too long what other processes of it have done to the record.
    Behind,
    /// Its revocation list is missing, or its time is over: no device gets in.
    RevocationList,
}

impl Obstacle {
    /// Every obstacle.
    pub const ALL: [Self; 3] = [Self::Store, Self::Behind, Self::RevocationList];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Behind => "behind",
            Self::RevocationList => "revocationList",
        }
    }
}

impl FromStr for Obstacle {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        let known = Self::ALL.into_iter().find(|obstacle| obstacle.as_str() == text);
        known.ok_or(FieldError::new("reasons", "must be store, behind or revocationList"))
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString};

    use super::*;
    use crate::strict::{self, WireErrorKind};

    #[test]
    fn numbers_round_trip() {
        for suite in Suite::ALL {
            assert_eq!(Suite::from_number(suite.number()), Some(*suite));
            let json = strict::to_vec(suite).unwrap();
            assert_eq!(strict::parse::<Suite>(&json, 10), Ok(*suite));
        }
        for method in Method::ALL {
            let json = strict::to_vec(method).unwrap();
            assert_eq!(strict::parse::<Method>(&json, 10), Ok(*method));
        }
        assert_eq!(Suite::P256.number(), 1);
        assert_eq!(Method::Recovery.number(), 4);
    }

    #[test]
    fn other_numbers_are_refused() {
        for bad in ["0", "3", "257", "-1", "1.0", "\"1\"", "null"] {
            assert!(strict::parse::<Suite>(bad.as_bytes(), 10).is_err(), "{bad}");
        }
        for bad in ["0", "5"] {
            let error = strict::parse::<Method>(bad.as_bytes(), 10).unwrap_err();
            assert_eq!(error.rule(), "must be a method from 1 to 4");
        }
    }

    #[test]
    fn a_version_is_one_number_and_another_is_told_apart_from_junk() {
        assert_eq!(strict::parse::<V1>(b"1", 10), Ok(Version));
        assert_eq!(strict::to_vec(&V1::default()).unwrap(), b"1");
        for other in ["0", "2", "257"] {
            let error = strict::parse::<V1>(other.as_bytes(), 10).unwrap_err();
            assert_eq!(error.kind(), WireErrorKind::Version, "{other}");
        }
        let junk = strict::parse::<V1>(b"\"1\"", 10).unwrap_err();
        assert_eq!(junk.kind(), WireErrorKind::Member);
    }

    #[test]
    fn constant_members_have_one_value() {
        assert_eq!(strict::to_vec(&(True, False)).unwrap(), b"[true,false]");
        assert_eq!(strict::parse::<(True, False)>(b"[true,false]", 20), Ok((True, False)));
        let error = strict::parse::<True>(b"false", 10).unwrap_err();
        assert_eq!(error.rule(), "must be true");
        assert_eq!(strict::parse::<False>(b"true", 10).unwrap_err().rule(), "must be false");
        assert_eq!(strict::parse::<False>(b"0", 10).unwrap_err().rule(), "must be a boolean");
    }

    #[test]
    fn trust_has_three_levels() {
        for level in TrustLevel::ALL {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        assert!(TrustLevel::default().is_anchored());
        assert!("Anchored".parse::<TrustLevel>().is_err());
    }

    #[test]
    fn key_protection_has_two_words() {
        for protection in [KeyProtection::File, KeyProtection::Hardware] {
            assert_eq!(protection.to_string().parse(), Ok(protection));
        }
        assert_eq!(
            format!("{}", "tpm".parse::<KeyProtection>().unwrap_err()),
            "keyProtection must be file or hardware"
        );
    }
}
