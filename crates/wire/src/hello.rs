//! The station's first word to a device: payload of `zp-hello+jws` (D2, D3).

use serde::{Deserialize, Serialize};
use zmon_domain::{
    ids::{DeviceId, SessionId, SiteId, StationId, StationName},
    time::UnixTime,
};

use crate::{
    b64,
    kind::{Method, V1},
    text,
};

/// Who wants to pair with which device, in which window, by which method.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hello {
    /// Version of the message.
    pub v: V1,
    /// The session that the station opens.
    #[serde(with = "text")]
    pub session_id: SessionId,
    /// The station.
    #[serde(with = "text")]
    pub station_id: StationId,
    /// Its name for people, shown as unverified until the chain is checked.
    #[serde(with = "text")]
    pub station_name: StationName,
    /// Its site.
    #[serde(with = "text")]
    pub site_id: SiteId,
    /// How the session was begun.
    pub method: Method,
    /// The device that is meant.
    #[serde(with = "text")]
    pub device_id: DeviceId,
    /// Token id (QR) or window id (typed).
    #[serde(with = "b64::array")]
    pub window_ref: [u8; 16],
    /// Left half of the thumbprint of the key that the station expects.
    #[serde(with = "b64::array")]
    pub device_key16: [u8; 16],
    /// Fresh random bytes that the identity document answers.
    #[serde(with = "b64::array")]
    pub station_nonce: [u8; 32],
    /// When the hello was signed.
    #[serde(with = "text::unix_seconds")]
    pub iat: UnixTime,
}
