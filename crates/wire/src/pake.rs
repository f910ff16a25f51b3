//! The typed code between station and device (D2): the window, and the three messages of SPAKE2+.

use alloc::string::String;

use serde::{Deserialize, Serialize};
use zmon_domain::ids::{DeviceId, SessionId};

use crate::{b64, kind::V1, text};

/// Answer to `GET /api/provisioning/window`: what a hello must name. Nothing of it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WindowAnswer {
    /// Version of the message.
    pub v: V1,
    /// The device.
    #[serde(with = "text")]
    pub device_id: DeviceId,
    /// Its open window; becomes `windowRef` of the hello.
    #[serde(with = "b64::array")]
    pub window_id: [u8; 16],
}

/// `POST /api/provisioning/pake/start`: who asks, and the station's share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PakeStart {
    /// The hello (`zp-hello+jws`, compact), method 2.
    #[serde(deserialize_with = "crate::jws::compact")]
    pub hello: String,
    /// `shareP`: a point of P-256, SEC1 uncompressed.
    #[serde(with = "b64::array")]
    pub share_p: [u8; 65],
}

/// The device's answer. The try is spent before it leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PakeStarted {
    /// `shareV`: a point of P-256, SEC1 uncompressed.
    #[serde(with = "b64::array")]
    pub share_v: [u8; 65],
    /// `confirmV`.
    #[serde(with = "b64::array")]
    pub confirm_v: [u8; 32],
}

/// `POST /api/provisioning/pake/confirm`: the claim. The answer is that of a claim by token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PakeConfirm {
    /// The session of the hello: nobody else's confirmation ends a run.
    #[serde(with = "text")]
    pub session_id: SessionId,
    /// `confirmP`.
    #[serde(with = "b64::array")]
    pub confirm_p: [u8; 32],
}
