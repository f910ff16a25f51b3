//! Bytes of a snapshot: fixed widths, big-endian, a length before what has none of its own.

use alloc::vec::Vec;
use core::time::Duration;

use zeroize::Zeroizing;
use zmon_crypto::SecretBytes;
use zmon_domain::error::FieldError;
use zmon_domain::time::{Now, Tick};

use super::SnapshotError;

/// What a snapshot needs at first; most sessions need no more.
const ROOM: usize = 32_768;

/// A clock that outlives the process: the wall's, in Unix milliseconds, and what it says of a tick.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    mono: Tick,
    millis: i64,
}

impl Clock {
    /// The clock at one reading; none without a wall clock.
    pub(super) fn at(now: &Now) -> Option<Self> {
        Some(Self { mono: now.mono, millis: now.millis? })
    }

    /// When a tick will be, or now if it has been.
    fn wall(self, tick: Tick) -> i64 {
        let left = tick.since(self.mono);
        // Never early.
        let left = left.as_millis() + u128::from(!left.subsec_nanos().is_multiple_of(1_000_000));
        self.millis.saturating_add(i64::try_from(left).unwrap_or(i64::MAX))
    }

    /// The tick of that time, at most `most` from now: a wall clock that was set back gives nobody more.
    fn tick(self, wall: i64, most: Duration) -> Tick {
        let left = u64::try_from(wall.saturating_sub(self.millis)).unwrap_or(0);
        self.mono + Duration::from_millis(left).min(most)
    }
}

/// Collects the bytes; what is outgrown is wiped.
pub(super) struct Writer {
    bytes: Zeroizing<Vec<u8>>,
    clock: Clock,
}

impl Writer {
    pub(super) fn new(clock: Clock) -> Self {
        Self { bytes: Zeroizing::new(Vec::with_capacity(ROOM)), clock }
    }

    /// Bytes of a length that is known.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        let needed = self.bytes.len().saturating_add(bytes.len());
        if needed > self.bytes.capacity() {
            let mut grown = Zeroizing::new(Vec::with_capacity(needed.saturating_mul(2)));
            grown.extend_from_slice(&self.bytes);
            self.bytes = grown;
        }
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.raw(&[byte]);
    }

    pub(super) fn flag(&mut self, flag: bool) {
        self.byte(flag.into());
    }

    pub(super) fn number(&mut self, number: u64) {
        self.raw(&number.to_be_bytes());
    }

    /// Bytes of any length.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.raw(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(super) fn tick(&mut self, tick: Tick) {
        self.raw(&self.clock.wall(tick).to_be_bytes());
    }

    /// What may be absent.
    pub(super) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    pub(super) fn finish(self) -> SecretBytes {
        SecretBytes::copy_from(&self.bytes)
    }
}

/// Takes the bytes apart again; every member is named when it is wrong.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    clock: Clock,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8], clock: Clock) -> Self {
        Self { rest: bytes, clock }
    }

    pub(super) fn array<const N: usize>(
        &mut self,
        member: &'static str,
    ) -> Result<[u8; N], SnapshotError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(SnapshotError::Member(member))?;
        self.rest = rest;
        Ok(*bytes)
    }

    pub(super) fn byte(&mut self, member: &'static str) -> Result<u8, SnapshotError> {
        self.array::<1>(member).map(|[byte]| byte)
    }

    pub(super) fn flag(&mut self, member: &'static str) -> Result<bool, SnapshotError> {
        match self.byte(member)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(SnapshotError::Member(member)),
        }
    }

    pub(super) fn number(&mut self, member: &'static str) -> Result<u64, SnapshotError> {
        self.array(member).map(u64::from_be_bytes)
    }

    pub(super) fn bytes(&mut self, member: &'static str) -> Result<&'a [u8], SnapshotError> {
        let wrong = SnapshotError::Member(member);
        let length = usize::try_from(self.number(member)?).map_err(|_| wrong)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(wrong)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn str(&mut self, member: &'static str) -> Result<&'a str, SnapshotError> {
        core::str::from_utf8(self.bytes(member)?).map_err(|_| SnapshotError::Member(member))
    }

    /// A text that its type reads.
    pub(super) fn text<T>(
        &mut self,
        member: &'static str,
        parse: impl FnOnce(&str) -> Result<T, FieldError>,
    ) -> Result<T, SnapshotError> {
        parse(self.str(member)?).map_err(|_| SnapshotError::Member(member))
    }

    /// A tick that is at most `most` from now.
    pub(super) fn tick(
        &mut self,
        member: &'static str,
        most: Duration,
    ) -> Result<Tick, SnapshotError> {
        let wall = self.array(member).map(i64::from_be_bytes)?;
        Ok(self.clock.tick(wall, most))
    }

    pub(super) fn option<T>(
        &mut self,
        member: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, SnapshotError>,
    ) -> Result<Option<T>, SnapshotError> {
        if self.flag(member)? { read(self).map(Some) } else { Ok(None) }
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), SnapshotError> {
        if self.rest.is_empty() { Ok(()) } else { Err(SnapshotError::Member("end")) }
    }
}
