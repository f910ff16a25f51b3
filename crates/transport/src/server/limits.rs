//! How much one listener gives to its peers (T21).

use core::time::Duration;

use zmon_domain::limits;

/// Bounds of one listener. Times are liveness bounds of sockets, not of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerLimits {
    /// Connections served at once; further ones wait in the operating system's queue.
    pub connections: usize,
    /// Connections served at once for one source (an IPv4 address, an IPv6 /64); further ones are
    /// closed unheard, so that one host cannot keep every place.
    pub per_source: usize,
    /// From accept to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the first byte of a request (of the first one: from the handshake) to its last header.
    pub head: Duration,
    /// Between two requests of a kept connection.
    pub idle: Duration,
    /// From the last header to the answer, reading the body included.
    pub request: Duration,
    /// Longest stall of a peer that does not read its answer.
    pub write_stall: Duration,
    /// How long a stopped server waits for answers under way.
    pub drain: Duration,
}

impl ServerLimits {
    /// Most bytes of a request's head; more is answered with 431.
    pub const HEAD_BYTES: usize = 16 * 1024;
    /// Most headers of a request; more is answered with 431.
    pub const HEADERS: usize = 64;

    /// The device's provisioning listener: few peers, one long answer (a delivery is answered when
    /// it is applied, at most 30 s later). Only a connection that has made its claim ever rests for
    /// `idle`: every refusal before one closes the connection, so that strangers keep no places.
    pub const fn device() -> Self {
        Self {
            connections: limits::CONNECTIONS_MAX.default,
            per_source: limits::CONNECTIONS_MAX.default / 4,
            handshake: limits::HEADER_TIMEOUT.default,
            head: limits::HEADER_TIMEOUT.default,
            idle: limits::CLAIM_WITHOUT_PAIR.default.saturating_mul(2),
            request: with_margin(limits::DELIVERY_TIMEOUT.default),
            write_stall: limits::REQUEST_TIMEOUT.default,
            drain: with_margin(limits::DELIVERY_TIMEOUT.default),
        }
    }

    /// The operators' listener of a station: `pair` may wait for its device.
    pub const fn operators() -> Self {
        Self {
            connections: 1024,
            per_source: 512,
            handshake: limits::HEADER_TIMEOUT.default,
            head: limits::HEADER_TIMEOUT.default,
            idle: Duration::from_mins(2),
            request: with_margin(limits::PAIR_TIMEOUT.default),
            write_stall: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }

    /// The devices' listener of a station: every monitor keeps one connection, some behind one
    /// address. A heartbeat comes at least once an hour.
    pub const fn devices() -> Self {
        Self {
            connections: 16_384,
            per_source: 16_384,
            handshake: Duration::from_secs(10),
            head: limits::HEADER_TIMEOUT.default,
            idle: with_margin(limits::SYNC_INTERVAL.max),
            request: limits::REQUEST_TIMEOUT.default,
            write_stall: limits::REQUEST_TIMEOUT.default,
            drain: Duration::from_secs(5),
        }
    }

    /// The device's screen: one browser beside the program, whose streams stay open.
    pub const fn screen() -> Self {
        Self {
            connections: 32,
            per_source: 32,
            handshake: limits::HEADER_TIMEOUT.default,
            head: limits::HEADER_TIMEOUT.default,
            idle: Duration::from_secs(30),
            request: with_margin(limits::DELIVERY_TIMEOUT.default),
            write_stall: limits::REQUEST_TIMEOUT.default,
            drain: Duration::from_secs(2),
        }
    }

    /// The device's control socket: local tools, one may watch for hours.
    pub const fn control() -> Self {
        Self {
            connections: 16,
            per_source: 16,
            handshake: limits::HEADER_TIMEOUT.default,
            head: limits::HEADER_TIMEOUT.default,
            idle: Duration::from_secs(30),
            request: with_margin(limits::DELIVERY_TIMEOUT.default),
            write_stall: limits::REQUEST_TIMEOUT.default,
            drain: Duration::from_secs(2),
        }
    }
}

/// A little longer than what happens inside, so that the inner bound speaks first.
const fn with_margin(bound: Duration) -> Duration {
    bound.saturating_add(Duration::from_secs(10))
}
