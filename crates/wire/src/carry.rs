//! The messages of a pairing apart from who carries them (D7): the device's own polls, a courier's
//! requests, files.
//!
//! They hold the very bytes that a pushing station sends and is answered with.

use alloc::{string::String, vec::Vec};
use core::num::NonZeroU16;

use serde::{Deserialize, Serialize};
use zmon_domain::{
    address::DeviceAddress,
    error::ErrorCode,
    ids::{DeviceId, SessionId},
};

use crate::{
    b64,
    blink::{BlinkAnswer, BlinkRequest},
    kind::V1,
    pake::{PakeConfirm, PakeStart, PakeStarted, WindowAnswer},
    session::{DeliveryAnswer, SessionAnswer, SessionOpen},
    text,
};

/// What a station has to say to a device next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Message {
    /// Hello and claim of a scanned token.
    Session(SessionOpen),
    /// Which window is open?
    Window {},
    /// A run of the typed code begins.
    PakeStart(PakeStart),
    /// It ends.
    PakeConfirm(PakeConfirm),
    /// The screen of the claimed device shall blink.
    Blink(BlinkRequest),
    /// The sealed configuration.
    Configuration {
        /// Its exact bytes, base64url.
        #[serde(with = "b64::url")]
        envelope: Vec<u8>,
    },
}

impl Message {
    /// Every [name](Self::name).
    pub const NAMES: [&'static str; 6] =
        ["session", "window", "pakeStart", "pakeConfirm", "blink", "configuration"];

    /// Name of the file that carries a hello.
    pub const HELLO_FILE: &'static str = "hello.json";
    /// Name of the file that carries a configuration.
    pub const ENVELOPE_FILE: &'static str = "envelope.json";

    /// Name of its file; none for a run of the typed code and a blink, which cannot wait for a person.
    #[must_use]
    pub const fn file(&self) -> Option<&'static str> {
        match self {
            Self::Session(_) => Some(Self::HELLO_FILE),
            Self::Configuration { .. } => Some(Self::ENVELOPE_FILE),
            Self::Window {} | Self::PakeStart(_) | Self::PakeConfirm(_) | Self::Blink(_) => None,
        }
    }

    /// Name of the file that carries its answer.
    #[must_use]
    pub const fn answer_file(&self) -> Option<&'static str> {
        match self {
            Self::Session(_) => Some(Reply::IDENTITY_FILE),
            Self::Configuration { .. } => Some(Reply::STATUS_FILE),
            Self::Window {} | Self::PakeStart(_) | Self::PakeConfirm(_) | Self::Blink(_) => None,
        }
    }

    /// The word for it in audit rows and on screens.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Session(_) => "session",
            Self::Window {} => "window",
            Self::PakeStart(_) => "pakeStart",
            Self::PakeConfirm(_) => "pakeConfirm",
            Self::Blink(_) => "blink",
            Self::Configuration { .. } => "configuration",
        }
    }

    /// Whether this is an answer to it; a refusal is one to everything.
    #[must_use]
    pub const fn is_answered_by(&self, reply: &Reply) -> bool {
        match reply {
            Reply::Identity(_) => matches!(self, Self::Session(_) | Self::PakeConfirm(_)),
            Reply::Window(_) => matches!(self, Self::Window {}),
            Reply::Share(_) => matches!(self, Self::PakeStart(_)),
            Reply::Blinking(_) => matches!(self, Self::Blink(_)),
            Reply::Status(_) => matches!(self, Self::Configuration { .. }),
            Reply::Refused { .. } => true,
        }
    }
}

/// What a device answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Reply {
    /// To `session` and `pakeConfirm`.
    Identity(SessionAnswer),
    /// To `window`.
    Window(WindowAnswer),
    /// To `pakeStart`.
    Share(PakeStarted),
    /// To `blink`.
    Blinking(BlinkAnswer),
    /// To `configuration`.
    Status(DeliveryAnswer),
    /// It refused.
    Refused {
        /// Why.
        #[serde(with = "text")]
        code: ErrorCode,
    },
}

impl Reply {
    /// Name of the file that carries an identity document.
    pub const IDENTITY_FILE: &'static str = "identity.json";
    /// Name of the file that carries a status.
    pub const STATUS_FILE: &'static str = "status.json";

    /// Name of its file; none for what is not carried as one.
    #[must_use]
    pub const fn file(&self) -> Option<&'static str> {
        match self {
            Self::Identity(_) => Some(Self::IDENTITY_FILE),
            Self::Status(_) => Some(Self::STATUS_FILE),
            Self::Window(_) | Self::Share(_) | Self::Blinking(_) | Self::Refused { .. } => None,
        }
    }
}

/// A station's next message with the session it belongs to: a file on its way to a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Carriage {
    /// Version of the message.
    pub v: V1,
    /// The session.
    #[serde(with = "text")]
    pub session_id: SessionId,
    /// The device.
    #[serde(with = "text")]
    pub device_id: DeviceId,
    /// What it says.
    pub message: Message,
}

/// A device's answer with the session it belongs to: a courier's request, or a file on its way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Return {
    /// Version of the message.
    pub v: V1,
    /// The session.
    #[serde(with = "text")]
    pub session_id: SessionId,
    /// What the device says.
    pub reply: Reply,
}

/// `GET /api/provisioning/pair/{sessionId}/courier`: the next message, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CourierAnswer {
    /// Version of the message.
    pub v: V1,
    /// The session.
    #[serde(with = "text")]
    pub session_id: SessionId,
    /// The device.
    #[serde(with = "text")]
    pub device_id: DeviceId,
    /// Where it was said to listen.
    #[serde(with = "text")]
    pub ip_address: DeviceAddress,
    /// The port of its listener.
    pub port: NonZeroU16,
    /// Left half of SHA-256 of the key it must prove there.
    #[serde(with = "b64::array")]
    pub device_key16: [u8; 16],
    /// Nothing while the station is at work, or waits for `pair`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
}

/// Payload of `zp-pull+jws` in a poll: a device whose window is open asks for its next message.
///
/// Neither token nor code is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Poll {
    /// Version of the message.
    pub v: V1,
    /// The device.
    #[serde(with = "text")]
    pub device_id: DeviceId,
    /// The identity key that signs: SubjectPublicKeyInfo in DER.
    #[serde(with = "b64::url")]
    pub identity_key: Vec<u8>,
    /// Fresh random bytes.
    #[serde(with = "b64::array")]
    pub nonce: [u8; 32],
    /// Of the station's last answer; absent in the first poll.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "b64::array_option")]
    pub challenge: Option<[u8; 32]>,
    /// The answer to the message of the last poll.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "return")]
    pub answer: Option<Return>,
}

/// `POST /api/provisioning/poll`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PollRequest {
    /// The poll (`zp-pull+jws`, compact).
    #[serde(deserialize_with = "crate::jws::compact")]
    pub poll: String,
}

/// The station's answer to a poll.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PollAnswer {
    /// What the next poll must repeat.
    #[serde(with = "b64::array")]
    pub challenge: [u8; 32],
    /// Whether the poll repeated the challenge before: only then was anything of it used.
    pub fresh: bool,
    /// The next message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carriage: Option<Carriage>,
}
