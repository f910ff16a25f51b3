//! What the station configures on the monitor besides its identity ([I §3.2]).

use core::{fmt, str::FromStr, time::Duration};

use crate::{
    error::FieldError,
    ids::{BedId, DeviceLabel},
    limits,
};

/// The system of units on the monitor's screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MeasurementUnit {
    /// Celsius, kilograms, millimetres of mercury.
    #[default]
    Metric,
    /// Fahrenheit, pounds.
    Imperial,
}

impl MeasurementUnit {
    /// The word of [I §3.2]: `METRIC` or `IMPERIAL`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Metric => "METRIC",
            Self::Imperial => "IMPERIAL",
        }
    }

    /// Reads `METRIC` or `IMPERIAL`.
    ///
    /// # Errors
    /// A [`FieldError`] for any other word.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        match text {
            "METRIC" => Ok(Self::Metric),
            "IMPERIAL" => Ok(Self::Imperial),
            _ => Err(FieldError::new("measurementUnit", "must be METRIC or IMPERIAL")),
        }
    }
}

impl FromStr for MeasurementUnit {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        Self::parse(text)
    }
}

impl fmt::Display for MeasurementUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The language of the monitor's screen: two upper-case letters (ISO 639-1), `EN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Language([u8; 2]);

impl Language {
    /// English.
    pub const EN: Self = Self(*b"EN");
    /// Spanish.
    pub const ES: Self = Self(*b"ES");
    /// German.
    pub const DE: Self = Self(*b"DE");
    /// French.
    pub const FR: Self = Self(*b"FR");

    /// Reads two upper-case letters. Whether the monitor has that language is for it to say.
    ///
    /// # Errors
    /// A [`FieldError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        match text.as_bytes() {
            [a @ b'A'..=b'Z', b @ b'A'..=b'Z'] => Ok(Self([*a, *b])),
            _ => Err(FieldError::new("language", "must be two upper-case letters, as EN")),
        }
    }

    /// The two letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Two ASCII letters by construction.
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Default for Language {
    fn default() -> Self {
        Self::EN
    }
}

impl FromStr for Language {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        Self::parse(text)
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How often a provisioned monitor reports: whole seconds within [`limits::SYNC_INTERVAL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SyncInterval(u16);

impl SyncInterval {
    /// Takes whole seconds.
    ///
    /// # Errors
    /// A [`FieldError`] naming the range.
    pub fn from_secs(seconds: u64) -> Result<Self, FieldError> {
        let seconds = limits::SYNC_INTERVAL.check(Duration::from_secs(seconds))?.as_secs();
        u16::try_from(seconds)
            .map(Self)
            .map_err(|_| FieldError::new(limits::SYNC_INTERVAL.name, "must be a number of seconds"))
    }

    /// Whole seconds.
    #[must_use]
    pub fn as_secs(self) -> u64 {
        u64::from(self.0)
    }

    /// The interval.
    #[must_use]
    pub fn as_duration(self) -> Duration {
        Duration::from_secs(self.as_secs())
    }
}

impl Default for SyncInterval {
    fn default() -> Self {
        Self::from_secs(limits::SYNC_INTERVAL.default.as_secs()).unwrap_or(Self(1))
    }
}

/// The settings that reach the monitor together with its identity, all or none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceSettings {
    /// The label on the screen; none until one is given.
    pub label: Option<DeviceLabel>,
    /// The bed; none until one is given.
    pub bed: Option<BedId>,
    /// Units on the screen.
    pub unit: MeasurementUnit,
    /// Language of the screen.
    pub language: Language,
    /// Interval of the heartbeat.
    pub sync_interval: SyncInterval,
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn units_and_languages_round_trip() {
        for unit in [MeasurementUnit::Metric, MeasurementUnit::Imperial] {
            assert_eq!(unit.to_string().parse(), Ok(unit));
        }
        for language in [Language::EN, Language::ES, Language::DE, Language::FR] {
            assert_eq!(language.to_string().parse(), Ok(language));
        }
    }

    #[test]
    fn other_words_are_refused_by_field() {
        for bad in ["", "metric", "METRIC ", "SI"] {
            let error = bad.parse::<MeasurementUnit>().unwrap_err();
            assert_eq!(error.field(), "measurementUnit");
        }
        for bad in ["", "E", "en", "ENG", "E1", "É", "ＥＮ"] {
            assert_eq!(bad.parse::<Language>().unwrap_err().field(), "language");
        }
    }

    #[test]
    fn the_sync_interval_keeps_its_range() {
        assert_eq!(SyncInterval::default().as_secs(), 10);
        for good in [1, 10, 3600] {
            assert_eq!(SyncInterval::from_secs(good).unwrap().as_secs(), good);
        }
        for bad in [0, 3601, 65_536 + 10, u64::MAX] {
            assert_eq!(SyncInterval::from_secs(bad).unwrap_err().field(), "syncInterval");
        }
        assert_eq!(SyncInterval::default().as_duration(), Duration::from_secs(10));
    }

    #[test]
    fn the_default_settings_are_the_documents() {
        let settings = DeviceSettings::default();
        assert_eq!(settings.unit.as_str(), "METRIC");
        assert_eq!(settings.language.as_str(), "EN");
        assert_eq!((settings.label, settings.bed), (None, None));
    }
}
