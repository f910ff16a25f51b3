//! The only home of defaults and ranges ([W §2.2], [W §7.2], [I §3], [I §8], D2, D10–D15, D22).
//!
//! Each constant is a [`Limit`]: a default, the range a configuration may choose from, the unit and
//! the clause it comes from. No other file of the workspace writes these numbers down.

use alloc::{format, string::String, vec::Vec};
use core::time::Duration;

use crate::error::FieldError;

/// A number that may be configured: its default, its inclusive range, its unit and its origin.
#[derive(Debug, Clone, Copy)]
pub struct Limit<T> {
    /// The name used in configuration files and error messages.
    pub name: &'static str,
    /// What holds when nothing is configured.
    pub default: T,
    /// The smallest permitted value.
    pub min: T,
    /// The largest permitted value.
    pub max: T,
    /// The unit of the numbers in text: `s`, `ms`, `days`, `bytes`, `px`, `%` or `count`.
    pub unit: &'static str,
    /// Where the number comes from.
    pub clause: &'static str,
    /// The range as a sentence, for errors.
    rule: &'static str,
}

impl<T: PartialOrd + Copy> Limit<T> {
    /// Returns `value` if it lies in the range.
    ///
    /// # Errors
    /// A [`FieldError`] naming this limit and its range.
    pub fn check(&self, value: T) -> Result<T, FieldError> {
        if value < self.min || value > self.max {
            return Err(FieldError::new(self.name, self.rule));
        }
        Ok(value)
    }
}

/// One row of the table of limits, as numbers in [`LimitRow::unit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitRow {
    /// Name in configuration and errors.
    pub name: &'static str,
    /// Default.
    pub default: u64,
    /// Smallest permitted value.
    pub min: u64,
    /// Largest permitted value.
    pub max: u64,
    /// Unit of the three numbers.
    pub unit: &'static str,
    /// What may choose another value from the range; `–` for nothing.
    pub set_by: &'static str,
    /// Origin.
    pub clause: &'static str,
    /// What it limits.
    pub meaning: &'static str,
}

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
const fn milliseconds(n: u64) -> Duration {
    Duration::from_millis(n)
}
const fn days(n: u64) -> Duration {
    Duration::from_secs(n * 86_400)
}
const fn plain<T: Copy>(n: T) -> T {
    n
}

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $name:ident: $ty:ty = $make:ident, $text:literal, $default:literal, $min:literal..=$max:literal, $unit:literal, $set_by:literal, $clause:literal;)+) => {
        $(
            $(#[doc = $doc])+
            pub const $name: Limit<$ty> = Limit {
                name: $text,
                default: $make($default),
                min: $make($min),
                max: $make($max),
                unit: $unit,
                clause: $clause,
                rule: concat!("must be between ", $min, " and ", $max, " (", $unit, ")"),
            };
        )+

        /// Every limit, in the order of this file, for documents and tests.
        #[must_use]
        pub fn all() -> Vec<LimitRow> {
            alloc::vec![$(LimitRow {
                name: $text, default: $default, min: $min, max: $max, unit: $unit, set_by: $set_by,
                clause: $clause, meaning: concat!($($doc),+),
            }),+]
        }
    };
}

limits! {
    /// How long a provisioning window, its code and its QR code live.
    WINDOW: Duration = seconds, "window", 600, 60..=3600, "s", "`windowMinutes` of device.toml", "[W §2.2], [W §4], [I §1], D10";
    /// How often the QR code is redrawn with a new token.
    ROTATION: Duration = seconds, "rotation", 30, 5..=300, "s", "–", "[W §3], D10";
    /// Attempts in all at what may pass (the network).
    ATTEMPTS: u8 = plain, "attempts", 3, 1..=10, "count", "–", "[W §7.2]";
    /// Pause between two of these attempts.
    ATTEMPT_PAUSE: Duration = milliseconds, "attemptPause", 500, 0..=60000, "ms", "–", "[W §7.2]";
    /// From a configuration's timestamp to its expiresAt.
    PAYLOAD_LIFETIME: Duration = seconds, "payloadLifetime", 3600, 60..=86400, "s", "`StationPolicy`", "[I §3.2], D14";
    /// Interval of the heartbeat of a provisioned device.
    SYNC_INTERVAL: Duration = seconds, "syncInterval", 10, 1..=3600, "s", "manifest, configuration", "[I §3.2]";
    /// Delay of the mock provisioning service.
    MOCK_DELAY: Duration = milliseconds, "mockDelay", 1000, 0..=600000, "ms", "`MockConfig`", "[I §4.2]";
    /// Width and height of the QR image.
    QR_PIXELS: u32 = plain, "qrPixels", 300, 300..=1200, "px", "–", "[I §3.1], [I §8], D15";
    /// Pixels of one module of the QR image.
    QR_MODULE_PIXELS: u32 = plain, "qrModulePixels", 3, 3..=12, "px", "–", "D15";
    /// Length of the QR content to aim at (version 17 at level H).
    QR_CONTENT_AIM: usize = plain, "qrContentAim", 280, 1..=310, "bytes", "–", "D15";
    /// Longest QR content that keeps 300 pixels.
    QR_CONTENT_MAX: usize = plain, "qrContentMax", 310, 1..=1273, "bytes", "–", "D15";
    /// Longest body, message or file that is read.
    BODY_MAX: usize = plain, "bodyMax", 65536, 1024..=1048576, "bytes", "–", "D24";
    /// Deepest nesting of JSON.
    JSON_DEPTH: usize = plain, "jsonDepth", 32, 1..=64, "count", "–", "D24";
    /// A claim at the scan is released when no `pair` follows for so long.
    CLAIM_WITHOUT_PAIR: Duration = seconds, "claimWithoutPair", 120, 10..=600, "s", "`StationPolicy`", "D11";
    /// The device releases its side of such a claim so much later, for a `pair` in the last moment.
    CLAIM_GRACE: Duration = seconds, "claimGrace", 30, 0..=120, "s", "–", "D11";
    /// A claimed session ends so long after the claim.
    SESSION_LIFETIME: Duration = seconds, "sessionLifetime", 900, 60..=3600, "s", "`StationPolicy`", "D11";
    /// A station's process has a session for so long; it renews that three times as often. After it another
    /// process goes on with the session.
    SESSION_LEASE: Duration = seconds, "sessionLease", 15, 3..=120, "s", "–", "D11";
    /// A process that has not read for so long what others have done to their common record reads it before it
    /// claims, issues or commits.
    RECORD_LAG: Duration = seconds, "recordLag", 5, 1..=60, "s", "–", "D11";
    /// A pending certificate is aborted so long after its issue.
    PENDING_CERTIFICATE: Duration = seconds, "pendingCertificate", 1800, 60..=86400, "s", "`StationPolicy`", "D13";
    /// How long a credential for one enrolment by EST lives.
    ENROLMENT_CREDENTIAL: Duration = seconds, "enrolmentCredential", 86400, 300..=604_800, "s", "–", "D26";
    /// Certificates that a device is given by EST per hour, by each process of a station: each that is not used is a
    /// line of the revocation list.
    ENROLMENTS_HOURLY: u8 = plain, "enrolmentsHourly", 10, 1..=100, "count", "–", "D26";
    /// How long a device that somebody works on is told to wait before it enrols.
    ENROLMENT_RETRY: Duration = seconds, "enrolmentRetry", 60, 1..=3600, "s", "–", "D26";
    /// Envelopes that a session opens before it ends.
    OPENS_PER_SESSION: u8 = plain, "opensPerSession", 3, 1..=10, "count", "–", "D5";
    /// Runs of the typed code before the window is void.
    TYPED_TRIES: u8 = plain, "typedTries", 5, 1..=10, "count", "–", "D2";
    /// How long a run of the typed code waits for the station's confirmation.
    TYPED_RUN: Duration = seconds, "typedRun", 30, 1..=120, "s", "–", "D2";
    /// Runs of the typed code that fail, per operator and hour, before the station takes no more.
    TYPED_TRIES_HOURLY: u8 = plain, "typedTriesHourly", 20, 1..=100, "count", "–", "D2";
    /// How long a device without an anchor waits for an operator to confirm its station.
    CONFIRMATION: Duration = seconds, "confirmation", 300, 30..=900, "s", "–", "D8";
    /// How long a monitor's screen blinks for the station that has claimed it.
    BLINK: Duration = seconds, "blink", 6, 1..=30, "s", "–", "D11";
    /// How long a station waits for a monitor to blink, which may poll only then.
    BLINK_WAIT: Duration = seconds, "blinkWait", 10, 1..=60, "s", "–", "D7";
    /// Tolerated difference of two synchronised clocks.
    CLOCK_SKEW: Duration = seconds, "clockSkew", 300, 0..=3600, "s", "–", "D14";
    /// Lifetime of a device's client certificate.
    CERT_LIFETIME: Duration = days, "certLifetime", 90, 1..=825, "days", "`StationPolicy`", "D13";
    /// Longest lifetime of a configuration-signing certificate.
    SIGNING_CERT_MAX: Duration = days, "signingCertMax", 90, 1..=90, "days", "–", "D8";
    /// Validity of the station's own authorities.
    AUTHORITY_LIFETIME: Duration = days, "authorityLifetime", 3653, 365..=9131, "days", "`CaParams`", "D8";
    /// Validity of the station's server certificate.
    SERVER_CERT_LIFETIME: Duration = days, "serverCertLifetime", 365, 1..=825, "days", "`CaParams`", "D17";
    /// How long a revocation list is valid; a new one is made after half of it.
    CRL_LIFETIME: Duration = seconds, "crlLifetime", 86400, 3600..=604800, "s", "`StationPolicy`", "D17";
    /// Fewest digits of a local operator's PIN.
    PIN_MIN_DIGITS: usize = plain, "pinMinDigits", 6, 6..=16, "count", "–", "D22";
    /// Most digits of a local operator's PIN.
    PIN_MAX_DIGITS: usize = plain, "pinMaxDigits", 16, 6..=64, "count", "–", "D22";
    /// Wrong PINs before the back-off begins.
    PIN_BACKOFF_AFTER: u32 = plain, "pinBackoffAfter", 3, 1..=10, "count", "–", "D22";
    /// First back-off after wrong PINs; it doubles.
    PIN_BACKOFF_FIRST: Duration = seconds, "pinBackoffFirst", 30, 1..=900, "s", "–", "D22";
    /// Longest back-off after wrong PINs.
    PIN_BACKOFF_MAX: Duration = seconds, "pinBackoffMax", 900, 30..=86400, "s", "–", "D22";
    /// Wrong passwords from one source, over all accounts, before its back-off begins.
    SOURCE_BACKOFF_AFTER: u32 = plain, "sourceBackoffAfter", 10, 3..=100, "count", "–", "[W §10.1]";
    /// A source or account without a wrong password for so long starts afresh.
    BACKOFF_FORGET: Duration = seconds, "backoffForget", 3600, 60..=86400, "s", "–", "[W §10.1]";
    /// Longest wait for the word of a clinical interlock; none in time objects.
    INTERLOCK_PATIENCE: Duration = seconds, "interlockPatience", 5, 1..=30, "s", "–", "D22";
    /// Lifetime of an operator's proof on the device.
    PROOF_LIFETIME: Duration = seconds, "proofLifetime", 300, 10..=3600, "s", "–", "D22";
    /// Lifetime of an operator's session on the station.
    LOGIN_LIFETIME: Duration = seconds, "loginLifetime", 28800, 300..=86400, "s", "`StationPolicy`", "[W §10.1]";
    /// Shortest password of a station operator.
    PASSWORD_MIN: usize = plain, "passwordMin", 12, 8..=128, "count", "–", "[W §10.1]";
    /// Longest password of a station operator.
    PASSWORD_MAX: usize = plain, "passwordMax", 256, 64..=1024, "bytes", "–", "[W §10.1]";
    /// Opening one connection.
    CONNECT_TIMEOUT: Duration = milliseconds, "connectTimeout", 2000, 100..=60000, "ms", "`ClientTimes`", "D18";
    /// One request and its answer.
    REQUEST_TIMEOUT: Duration = milliseconds, "requestTimeout", 10000, 100..=120000, "ms", "`ClientTimes`", "D18";
    /// How long a delivery waits for the device to apply the configuration.
    DELIVERY_TIMEOUT: Duration = seconds, "deliveryTimeout", 30, 1..=300, "s", "–", "D7";
    /// How long `pair` waits before it answers 202.
    PAIR_TIMEOUT: Duration = seconds, "pairTimeout", 40, 1..=300, "s", "`StationPolicy`", "D7";
    /// Pairings that one batch runs at a time.
    BATCH_CONCURRENCY: usize = plain, "batchConcurrency", 4, 1..=64, "count", "`batch_concurrency` of station.toml", "[W §1]";
    /// Pause between two polls of a device whose window is open.
    POLL_PAUSE: Duration = seconds, "pollPause", 5, 1..=60, "s", "–", "D7";
    /// A device that polled so lately comes for its messages by itself.
    POLL_SEEN: Duration = seconds, "pollSeen", 60, 10..=600, "s", "–", "D7";
    /// How long a station holds an answer back until its next message for the device is made.
    POLL_HOLD: Duration = milliseconds, "pollHold", 5000, 0..=30000, "ms", "–", "D7";
    /// Tokens of a window that a hello brought by courier may name, besides the two that are shown.
    COURIER_TOKENS: usize = plain, "courierTokens", 32, 0..=256, "count", "–", "D7";
    /// Reading the head of a request.
    HEADER_TIMEOUT: Duration = milliseconds, "headerTimeout", 5000, 100..=60000, "ms", "`ServerLimits`", "D18";
    /// Connections that one listener serves at a time.
    CONNECTIONS_MAX: usize = plain, "connectionsMax", 64, 1..=4096, "count", "`ServerLimits`", "D18";
    /// First pause before the link is tried again; it doubles.
    LINK_BACKOFF_FIRST: Duration = milliseconds, "linkBackoffFirst", 1000, 100..=60000, "ms", "–", "[W §9.2]";
    /// Longest pause before the link is tried again.
    LINK_BACKOFF_MAX: Duration = seconds, "linkBackoffMax", 60, 1..=3600, "s", "–", "[W §9.2]";
    /// Heartbeats missed in a row before a station calls a device disconnected.
    LINK_MISSED: u32 = plain, "linkMissed", 3, 2..=20, "count", "–", "[W §9.2]";
    /// Devices of which a station remembers the latest heartbeat.
    LINKS_KEPT: usize = plain, "linksKept", 20000, 1000..=100000, "count", "–", "[W §9.2]";
    /// A certificate that ends within so long is shown as one that ends soon.
    CERT_SOON: Duration = days, "certSoon", 30, 1..=90, "days", "–", "[W §9.2]";
    /// Longest text that a list is filtered by.
    FILTER_MAX: usize = plain, "filterMax", 64, 1..=64, "bytes", "–", "D24";
    /// Pause between two questions of a device in doubt.
    OUTCOME_PAUSE: Duration = seconds, "outcomePause", 5, 1..=3600, "s", "–", "D13";
    /// How far the renewal of a certificate may lie before or after its point, of the lifetime.
    RENEWAL_JITTER: u32 = plain, "renewalJitter", 5, 0..=20, "%", "–", "D23";
    /// Longest time between two looks at whether a renewal is due.
    RENEWAL_LOOK: Duration = seconds, "renewalLook", 3600, 1..=86400, "s", "–", "D23";
    /// First pause after a renewal that failed; it doubles.
    RENEWAL_RETRY_FIRST: Duration = seconds, "renewalRetryFirst", 60, 1..=3600, "s", "–", "D23";
    /// Longest pause after a renewal that failed.
    RENEWAL_RETRY_MAX: Duration = seconds, "renewalRetryMax", 21600, 60..=86400, "s", "–", "D23";
    /// Length of an identifier.
    ID_MAX: usize = plain, "idMax", 64, 1..=64, "count", "–", "[W §3]";
    /// Length of a label or name shown to people.
    LABEL_MAX: usize = plain, "labelMax", 64, 1..=64, "count", "–", "[I §3.2]";
    /// Rows of the audit log between two checkpoints.
    CHECKPOINT_ROWS: u64 = plain, "checkpointRows", 1000, 1..=100000, "count", "–", "D16";
    /// Longest time from a new audit row to its checkpoint.
    CHECKPOINT_PAUSE: Duration = seconds, "checkpointPause", 60, 1..=3600, "s", "–", "D16";
    /// Junk from one source is counted in one audit row for so long.
    JUNK_WINDOW: Duration = seconds, "junkWindow", 60, 1..=3600, "s", "–", "D16";
    /// Rows that one import of the registry takes.
    MANIFEST_ROWS: usize = plain, "manifestRows", 1000, 1..=10000, "count", "–", "D9";
    /// Longest manifest that one import takes.
    MANIFEST_BYTES: usize = plain, "manifestBytes", 1048576, 65536..=16777216, "bytes", "–", "D9";
    /// Rows of one page of a list.
    PAGE_ROWS: usize = plain, "pageRows", 100, 1..=1000, "count", "–", "D16";
    /// Lowest port of a device's provisioning listener.
    DEVICE_PORT_FIRST: u16 = plain, "devicePortFirst", 1024, 1..=65535, "count", "`NetworkPolicy`", "D18";
    /// Highest port of a device's provisioning listener.
    DEVICE_PORT_LAST: u16 = plain, "devicePortLast", 65535, 1..=65535, "count", "`NetworkPolicy`", "D18";
}

/// The part of a certificate's lifetime after which it is renewed: two thirds (D23).
pub const RENEWAL_POINT: (u32, u32) = (2, 3);

/// Error correction of the QR code: level H, some 30 % ([I §8], D15).
pub const QR_LEVEL: char = 'H';

/// The table as Markdown, for `docs/`.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "| name | default | range | unit | meaning | set by | clause |\n|---|---|---|---|---|---|---|\n",
    );
    for row in all() {
        let LimitRow { name, default, min, max, unit, set_by, clause, meaning } = row;
        let meaning = meaning.trim();
        text.push_str(&format!(
            "| `{name}` | {default} | {min}–{max} | {unit} | {meaning} | {set_by} | {clause} |\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_lies_in_its_range_and_no_cell_is_empty() {
        for row in all() {
            assert!(row.min <= row.default && row.default <= row.max, "{}", row.name);
            for cell in [row.name, row.unit, row.set_by, row.clause, row.meaning.trim()] {
                assert!(!cell.is_empty(), "{}", row.name);
            }
        }
    }

    #[test]
    fn names_are_unique() {
        let names: alloc::collections::BTreeSet<_> = all().iter().map(|row| row.name).collect();
        assert_eq!(names.len(), all().len());
    }

    #[test]
    fn the_documents_numbers_are_the_defaults() {
        assert_eq!(WINDOW.default, Duration::from_secs(10 * 60));
        assert_eq!((WINDOW.min, WINDOW.max), (Duration::from_secs(60), Duration::from_secs(3600)));
        assert_eq!(ROTATION.default, Duration::from_secs(30));
        assert_eq!(ATTEMPTS.default, 3);
        assert_eq!(PAYLOAD_LIFETIME.default, Duration::from_secs(3600));
        assert_eq!(SYNC_INTERVAL.default, Duration::from_secs(10));
        assert_eq!(MOCK_DELAY.default, Duration::from_millis(1000));
        assert_eq!((QR_PIXELS.default, QR_LEVEL), (300, 'H'));
        assert_eq!((RENEWAL_POINT, RENEWAL_JITTER.default), ((2, 3), 5));
        assert_eq!(CERT_LIFETIME.default, Duration::from_secs(90 * 86_400));
        assert_eq!(SIGNING_CERT_MAX.default, Duration::from_secs(90 * 86_400));
    }

    #[test]
    fn check_accepts_both_ends_and_names_the_rule_outside() {
        assert_eq!(WINDOW.check(WINDOW.min), Ok(WINDOW.min));
        assert_eq!(WINDOW.check(WINDOW.max), Ok(WINDOW.max));
        let error = WINDOW.check(Duration::from_secs(59)).unwrap_err();
        assert_eq!((error.field(), error.rule()), ("window", "must be between 60 and 3600 (s)"));
        assert!(WINDOW.check(Duration::from_secs(3601)).is_err());
    }

    #[test]
    fn markdown_has_one_line_per_limit() {
        assert_eq!(markdown().lines().count(), all().len() + 2);
    }
}
