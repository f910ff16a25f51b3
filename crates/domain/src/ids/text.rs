//! Identifiers and names as text ([W §3], [W §5], [I §3.2]).

use alloc::string::String;
use core::{fmt, str::FromStr};

use crate::{error::FieldError, limits};

const ID_RULE: &str =
    "must be 1 to 64 characters of A-Z a-z 0-9 . _ - and begin with a letter or digit";
const NAME_RULE: &str = "must be 1 to 64 printable characters without control or direction marks, \
     not beginning or ending with a space";

macro_rules! text_type {
    ($(#[doc = $doc:literal])+ $name:ident, $field:literal, $check:ident, $rule:ident) => {
        $(#[doc = $doc])+
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Takes the text as it is; nothing is trimmed or folded.
            ///
            /// # Errors
            /// A [`FieldError`] that names the rule, never the text.
            pub fn parse(text: &str) -> Result<Self, FieldError> {
                if $check(text) { Ok(Self(text.into())) } else { Err(FieldError::new($field, $rule)) }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = FieldError;
            fn from_str(text: &str) -> Result<Self, FieldError> {
                Self::parse(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

text_type!(
    /// A device's identifier, `ZM-001` ([W §3]). Letters keep their case and are compared exactly.
    DeviceId, "deviceId", is_id, ID_RULE
);
text_type!(
    /// A device's serial number, `SN-2024-001234` ([W §3]).
    DeviceSerial, "deviceSerial", is_id, ID_RULE
);
text_type!(
    /// A bed, `ICU-3B` ([W §5]).
    BedId, "bedId", is_id, ID_RULE
);
text_type!(
    /// A Central Station's identifier: the last part of `urn:zp:station:ID` (D8).
    StationId, "stationId", is_id, ID_RULE
);
text_type!(
    /// A process of a station among those that share one database, by the name its administrator gave it.
    InstanceName, "instance", is_id, ID_RULE
);
text_type!(
    /// A site's identifier: the last part of `urn:zp:site:ID` (D8).
    SiteId, "siteId", is_id, ID_RULE
);
text_type!(
    /// The version of a device's firmware, `1.2.3` ([W §3]).
    FirmwareVersion, "firmwareVersion", is_id, ID_RULE
);
text_type!(
    /// An operator's account name, on the station or on a device (D22).
    OperatorId, "operatorId", is_id, ID_RULE
);
text_type!(
    /// A device's label as people read it, `ICU-MON-04` ([I §3.2]).
    DeviceLabel, "deviceLabel", is_name, NAME_RULE
);
text_type!(
    /// What kind of device it is, as people read it, `Z Monitor 12`: for the person who pairs it.
    DeviceModel, "model", is_name, NAME_RULE
);
text_type!(
    /// What people call a batch of pairings, `Ward 3, new monitors`.
    BatchName, "batchName", is_name, NAME_RULE
);
text_type!(
    /// A Central Station's name as people read it.
    StationName, "stationName", is_name, NAME_RULE
);

text_type!(
    /// Why an administrator overrode the clinical interlock, in their own words (D22).
    OverrideReason, "overrideInterlock", is_name, NAME_RULE
);

impl InstanceName {
    /// What a process is called that nobody has given a name.
    pub const MAIN: &'static str = "main";
}

impl Default for InstanceName {
    fn default() -> Self {
        Self(Self::MAIN.into())
    }
}

fn is_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= limits::ID_MAX.default
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.chars().count() <= limits::LABEL_MAX.default
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && text.chars().all(is_printable)
}

/// Whether a character shows as itself: no control, no direction mark, nothing invisible.
fn is_printable(c: char) -> bool {
    let invisible = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{ffff}' | '\u{e000}'..='\u{f8ff}'
        | '\u{e0000}'..='\u{10ffff}');
    !(c.is_control() || invisible || (c.is_whitespace() && c != ' '))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_documents_examples_parse() {
        for id in ["ZM-001", "ZM-ICU-MON-04"] {
            assert_eq!(DeviceId::parse(id).unwrap().as_str(), id);
        }
        assert!(DeviceSerial::parse("SN-2024-001234").is_ok());
        assert!(BedId::parse("ICU-3B").is_ok());
        assert!(FirmwareVersion::parse("1.2.3").is_ok());
        assert!(DeviceLabel::parse("ICU-MON-04").is_ok());
        assert!(StationName::parse("Zentrale Überwachung, Süd 2").is_ok());
    }

    #[test]
    fn ids_refuse_everything_outside_their_alphabet() {
        let long = "a".repeat(65);
        for bad in [
            "",
            " ",
            "-a",
            ".a",
            "_a",
            "a b",
            "a/b",
            "a\\b",
            "a\0",
            "a\n",
            "é",
            "a\u{2011}b",
            "../x",
            "a;b",
            "'",
            &long,
        ] {
            let error = DeviceId::parse(bad).unwrap_err();
            assert_eq!((error.field(), error.rule()), ("deviceId", ID_RULE));
        }
        assert!(DeviceId::parse(&"a".repeat(64)).is_ok());
    }

    #[test]
    fn names_refuse_what_does_not_show() {
        let long = "ü".repeat(65);
        for bad in [
            "",
            " a",
            "a ",
            "a\tb",
            "a\nb",
            "a\u{7f}",
            "a\u{85}",
            "\u{202e}a",
            "a\u{200b}b",
            "\u{feff}a",
            "a\u{2066}b",
            "a\u{e0041}",
            "a\u{2028}b",
            "\u{1b}[31m",
            &long,
        ] {
            let error = DeviceLabel::parse(bad).unwrap_err();
            assert_eq!((error.field(), error.rule()), ("deviceLabel", NAME_RULE));
        }
        assert!(DeviceLabel::parse(&"ü".repeat(64)).is_ok());
    }

    proptest! {
        #[test]
        fn display_and_parse_agree(id in "[A-Za-z0-9][A-Za-z0-9._-]{0,63}") {
            let parsed = DeviceId::parse(&id).unwrap();
            prop_assert_eq!(alloc::format!("{parsed}"), id);
        }

        #[test]
        fn parsing_any_text_never_panics(text in "\\PC{0,80}") {
            drop(DeviceId::parse(&text));
            drop(DeviceLabel::parse(&text));
        }
    }
}
