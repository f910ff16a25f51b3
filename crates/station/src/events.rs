//! What live views are told. No secrets, and nothing that is not in the store: a reader that falls
//! behind reads the store again.

use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{BatchId, DeviceId, OperatorId, Serial, SessionId};
use zmon_domain::time::UnixTime;

use crate::ports::{CertificateState, SessionPhase};

/// Something changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StationEvent {
    /// A pairing moved.
    Session {
        /// Which.
        id: SessionId,
        /// Which device.
        device_id: DeviceId,
        /// Who works on it; none where the device asked by itself.
        operator: Option<OperatorId>,
        /// Where it stands.
        phase: SessionPhase,
        /// Why it failed.
        error: Option<ErrorCode>,
    },
    /// A certificate moved.
    Certificate {
        /// Which.
        serial: Serial,
        /// Whose.
        device_id: DeviceId,
        /// Where it stands.
        state: CertificateState,
    },
    /// A new revocation list is the latest.
    CrlPublished {
        /// Its number.
        number: u64,
    },
    /// A batch or one of its items moved.
    Batch {
        /// Which.
        id: BatchId,
    },
    /// Devices were added to the registry.
    RegistryChanged,
    /// A provisioned device reported.
    Heartbeat {
        /// Which device.
        device_id: DeviceId,
        /// When.
        at: UnixTime,
    },
    /// Something a person should look at, e.g. a device id under another key (D9).
    Alarm {
        /// Which device, if known.
        device_id: Option<DeviceId>,
        /// What.
        code: ErrorCode,
    },
}
