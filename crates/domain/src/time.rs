//! Monotonic time for deadlines, wall-clock time for documents, and what expiry means (D14).

use alloc::{format, string::String};
use core::{
    fmt,
    ops::{Add, Sub},
    str::FromStr,
    time::Duration,
};

use chrono::{DateTime, Datelike, SecondsFormat, Utc};

use crate::error::FieldError;

/// A point on the monotonic, suspend-aware clock: the time since some fixed point of this run.
/// Ticks of different runs have nothing in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tick(Duration);

impl Tick {
    /// The fixed point itself.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// The point `elapsed` after the fixed point.
    #[must_use]
    pub const fn new(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// The time since the fixed point.
    #[must_use]
    pub const fn elapsed(self) -> Duration {
        self.0
    }

    /// The first point past this one: when what is good until here is over ([`is_expired`]).
    #[must_use]
    pub const fn after(self) -> Self {
        Self(self.0.saturating_add(Duration::from_nanos(1)))
    }

    /// The time from `earlier` to here; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Tick {
    type Output = Self;
    /// Saturates at the end of time.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

const TIME_RULE: &str = "must be a UTC time in whole seconds, as 2024-11-25T14:30:00Z";
const LAST: i64 = 253_402_300_799; // 9999-12-31T23:59:59Z, the last with four digits of year.

/// A wall-clock time: UTC, whole seconds, the years 1970 to 9999. Its text is RFC 3339 with `Z`,
/// always 20 characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(DateTime<Utc>);

impl UnixTime {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(DateTime::<Utc>::UNIX_EPOCH);

    /// The time `seconds` after the epoch; `None` outside the years 1970 to 9999.
    #[must_use]
    pub fn from_unix(seconds: i64) -> Option<Self> {
        if !(0..=LAST).contains(&seconds) {
            return None;
        }
        DateTime::from_timestamp(seconds, 0).map(Self)
    }

    /// The same time in chrono's type; parts of seconds are dropped. `None` outside the years
    /// 1970 to 9999.
    #[must_use]
    pub fn from_datetime(time: DateTime<Utc>) -> Option<Self> {
        Self::from_unix(time.timestamp())
    }

    /// Seconds since the epoch, never negative.
    #[must_use]
    pub fn unix(self) -> i64 {
        self.0.timestamp()
    }

    /// The same time in chrono's type.
    #[must_use]
    pub const fn datetime(self) -> DateTime<Utc> {
        self.0
    }

    /// Reads exactly the form `2024-11-25T14:30:00Z`: no other offset, no fraction, no leap second.
    ///
    /// # Errors
    /// A [`FieldError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let well_formed = text.len() == 20 && text.ends_with('Z') && text.get(10..11) == Some("T");
        DateTime::parse_from_rfc3339(text)
            .ok()
            .filter(|time| well_formed && time.timestamp_subsec_nanos() == 0 && time.year() >= 1970)
            .and_then(|time| Self::from_unix(time.timestamp()))
            .ok_or(FieldError::new("time", TIME_RULE))
    }

    /// The time from `earlier` to here; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(u64::try_from(self.unix() - earlier.unix()).unwrap_or(0))
    }

    fn shifted(seconds: i64) -> Self {
        Self::from_unix(seconds.clamp(0, LAST)).unwrap_or(Self::EPOCH)
    }
}

impl Add<Duration> for UnixTime {
    type Output = Self;
    /// Parts of seconds are dropped; saturates at the end of the year 9999.
    fn add(self, duration: Duration) -> Self {
        let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        Self::shifted(self.unix().saturating_add(seconds))
    }
}

impl Sub<Duration> for UnixTime {
    type Output = Self;
    /// Parts of seconds are dropped; saturates at the epoch.
    fn sub(self, duration: Duration) -> Self {
        let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        Self::shifted(self.unix().saturating_sub(seconds))
    }
}

impl FromStr for UnixTime {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        Self::parse(text)
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

impl fmt::Debug for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnixTime({self})")
    }
}

/// How far a device trusts its wall clock (D14).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClockQuality {
    /// Never set: dates are not compared.
    None,
    /// Set from a time that a trusted station signed.
    Signed,
    /// Kept by a time service.
    Synced,
}

impl ClockQuality {
    /// The word used on the wire: `none`, `signed` or `synced`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Signed => "signed",
            Self::Synced => "synced",
        }
    }
}

impl FromStr for ClockQuality {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        match text {
            "none" => Ok(Self::None),
            "signed" => Ok(Self::Signed),
            "synced" => Ok(Self::Synced),
            _ => Err(FieldError::new("clockQuality", "must be none, signed or synced")),
        }
    }
}

impl fmt::Display for ClockQuality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The time of one call, given to every machine instead of a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// For deadlines.
    pub mono: Tick,
    /// For documents; `None` when the wall clock was never set.
    pub wall: Option<UnixTime>,
    /// How far `wall` is trusted.
    pub quality: ClockQuality,
    /// Milliseconds since the epoch, for audit rows only; `None` when the wall clock was never set.
    pub millis: Option<i64>,
}

impl Now {
    /// The wall clock, if it may be compared with dates in documents: quality `synced` (D14).
    #[must_use]
    pub fn synced(&self) -> Option<UnixTime> {
        self.wall.filter(|_| self.quality == ClockQuality::Synced)
    }
}

/// Whether something that is good until `expires_at` has expired: the last second still counts
/// ([I §3.1], [I §3.2]). The window of the code goes by the same rule on the monotonic clock.
#[must_use]
pub fn is_expired(now: UnixTime, expires_at: UnixTime) -> bool {
    now > expires_at
}

/// Whole seconds until `expires_at`, never below zero ([I §3.1] `secondsUntilExpiry`).
#[must_use]
pub fn seconds_until(now: UnixTime, expires_at: UnixTime) -> u64 {
    expires_at.since(now).as_secs()
}

/// A remaining time as people read it, `8:45 remaining` ([W §9.1]).
#[must_use]
pub fn remaining(duration: Duration) -> String {
    let seconds = duration.as_secs();
    format!("{}:{:02} remaining", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> UnixTime {
        UnixTime::from_unix(seconds).unwrap()
    }

    #[test]
    fn expiry_begins_one_second_after_the_deadline() {
        let deadline = UnixTime::parse("2024-11-25T14:30:00Z").unwrap();
        assert!(!is_expired(deadline - Duration::from_secs(1), deadline));
        assert!(!is_expired(deadline, deadline));
        assert!(is_expired(deadline + Duration::from_secs(1), deadline));
    }

    #[test]
    fn seconds_until_expiry_never_fall_below_zero() {
        assert_eq!(seconds_until(at(100), at(700)), 600);
        assert_eq!(seconds_until(at(700), at(700)), 0);
        assert_eq!(seconds_until(at(701), at(700)), 0);
    }

    #[test]
    fn the_documents_times_round_trip() {
        for text in [
            "2024-11-25T14:30:00Z",
            "2024-11-25T14:25:00Z",
            "1970-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "2024-02-29T00:00:00Z",
        ] {
            assert_eq!(UnixTime::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_forms_of_time_are_refused() {
        for bad in [
            "",
            "2024-11-25",
            "2024-11-25T14:30:00",
            "2024-11-25T14:30:00+00:00",
            "2024-11-25T14:30:00.0Z",
            "2024-11-25 14:30:00Z",
            "2024-11-25t14:30:00Z",
            "2024-11-25T14:30:00z",
            "2024-13-25T14:30:00Z",
            "2023-02-29T00:00:00Z",
            "2016-12-31T23:59:60Z",
            "1969-12-31T23:59:59Z",
            "+024-11-25T14:30:00Z",
            "2024-11-25T24:00:00Z",
            "２０２４Z",
        ] {
            let error = UnixTime::parse(bad).unwrap_err();
            assert_eq!((error.field(), error.rule()), ("time", TIME_RULE), "{bad}");
        }
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(at(LAST) + Duration::MAX, at(LAST));
        assert_eq!(at(5) - Duration::from_secs(6), UnixTime::EPOCH);
        assert_eq!(at(5).since(at(6)), Duration::ZERO);
        assert_eq!(UnixTime::from_unix(-1), None);
        assert_eq!(UnixTime::from_unix(LAST + 1), None);
        assert_eq!(UnixTime::from_datetime(at(77).datetime()), Some(at(77)));
        let tick = Tick::new(Duration::from_secs(1));
        assert_eq!(Tick::ZERO.since(tick), Duration::ZERO);
        assert_eq!((tick + Duration::MAX).elapsed(), Duration::MAX);
    }

    #[test]
    fn only_a_synced_clock_is_compared() {
        for (quality, expected) in [
            (ClockQuality::None, None),
            (ClockQuality::Signed, None),
            (ClockQuality::Synced, Some(at(9))),
        ] {
            let now = Now { mono: Tick::ZERO, wall: Some(at(9)), quality, millis: None };
            assert_eq!(now.synced(), expected);
            assert_eq!(quality.as_str().parse(), Ok(quality));
        }
        assert!("Synced".parse::<ClockQuality>().is_err());
    }

    #[test]
    fn remaining_time_reads_as_in_the_document() {
        assert_eq!(remaining(Duration::from_secs(525)), "8:45 remaining");
        assert_eq!(remaining(Duration::ZERO), "0:00 remaining");
    }

    proptest! {
        #[test]
        fn text_round_trips(seconds in 0..=LAST) {
            let time = at(seconds);
            prop_assert_eq!(time.to_string().len(), 20);
            prop_assert_eq!(UnixTime::parse(&time.to_string()), Ok(time));
        }

        #[test]
        fn parsing_any_text_never_panics(text in ".{0,40}") {
            drop(UnixTime::parse(&text));
        }
    }
}
