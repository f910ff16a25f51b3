//! What the status screen shows of the link.

use core::time::Duration;

use zmon_domain::address::ServerUrl;
use zmon_domain::error::ErrorCode;
use zmon_domain::time::UnixTime;

/// The monitoring link ([W §9.2]). Counters run since the service started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkStatus {
    /// Whether the last heartbeat was answered.
    pub connected: bool,
    /// The server of the active configuration; `None` while the device has none.
    pub server_url: Option<ServerUrl>,
    /// Wall-clock time of the last answered heartbeat.
    pub last_connected: Option<UnixTime>,
    /// How long heartbeats have been answered without a gap.
    pub uptime: Duration,
    /// Bytes of messages sent, without TLS and HTTP framing.
    pub bytes_sent: u64,
    /// Bytes of messages received, without TLS and HTTP framing.
    pub bytes_received: u64,
    /// Heartbeats that were not answered.
    pub errors: u64,
    /// Why the last heartbeat was not answered, until one is.
    pub last_error: Option<ErrorCode>,
    /// Last instant of the client certificate's validity.
    pub certificate_expires: Option<UnixTime>,
}
