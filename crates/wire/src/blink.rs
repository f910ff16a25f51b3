//! Which of ten monitors is it? The station has the one of its session blink.

use core::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use zmon_domain::ids::SessionId;

use crate::{b64, kind::True, text};

/// `POST /api/provisioning/blink` at the device: the station of a claimed session has its screen blink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BlinkRequest {
    /// The session.
    #[serde(with = "text")]
    pub session_id: SessionId,
    /// Which blink of the session, from 1: the same again is the same blink, an earlier one is refused.
    pub number: NonZeroU32,
    /// HMAC over session and number by the session's own key for this.
    #[serde(with = "b64::array")]
    pub mac: [u8; 32],
}

/// The device's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BlinkAnswer {
    /// How many whole seconds its screen still blinks; 0 for a blink that is over.
    pub seconds: u32,
}

/// `POST /api/provisioning/pair/{sessionId}/blink` at the station: the device's screen blinks now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Blinking {
    /// Always `true`.
    pub success: True,
    /// For so many whole seconds from now.
    pub seconds: u32,
}
