//! A device asks its station for a new certificate: renewal and recovery (D23).

use alloc::string::String;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;
use zmon_domain::{
    error::FieldError,
    ids::{DeviceId, Serial, SessionId},
};

use crate::{
    b64,
    kind::{Method, V1},
    secret::SecretText,
    text,
};

/// Payload of `zp-pull+jws`: who asks, and which certificate is to be replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pull {
    /// Version of the message.
    pub v: V1,
    /// The device.
    #[serde(with = "text")]
    pub device_id: DeviceId,
    /// Renewal or recovery.
    pub method: Method,
    /// The serial number of the certificate in force.
    #[serde(with = "text")]
    pub serial: Serial,
    /// Fresh random bytes.
    #[serde(with = "b64::array")]
    pub nonce: [u8; 32],
    /// With a recovery: higher than in every one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counter: Option<u64>,
}

/// `POST /api/device/renew` and `POST /api/provisioning/recover`: the signed request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PullRequest {
    /// The request (`zp-pull+jws`, compact).
    #[serde(deserialize_with = "crate::jws::compact")]
    pub pull: String,
}

/// The station's answer: its hello, and the secret of the session beside it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PullAnswer {
    /// The hello (`zp-hello+jws`, compact).
    #[serde(deserialize_with = "crate::jws::compact")]
    pub hello: String,
    /// 32 random bytes, base64url.
    #[serde(deserialize_with = "crate::secret::token")]
    pub ikm: SecretText,
}

impl PullAnswer {
    /// The answer with this secret.
    #[must_use]
    pub fn new(hello: String, ikm: &[u8; 32]) -> Self {
        Self { hello, ikm: SecretText::from_string(b64::encode_url(ikm)) }
    }

    /// The bytes of the secret.
    ///
    /// # Errors
    /// A [`FieldError`] that names the member, never its text.
    pub fn secret(&self) -> Result<Zeroizing<[u8; 32]>, FieldError> {
        b64::decode_url_array(self.ikm.expose())
            .map(Zeroizing::new)
            .map_err(|_| FieldError::new("ikm", "must be base64url of 32 bytes"))
    }
}

/// `POST …/identity`: the device's answer to the hello. The sealed configuration comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FetchRequest {
    /// The session that the hello opened.
    #[serde(with = "text")]
    pub session_id: SessionId,
    /// The identity document (`zp-identity+jws`, compact).
    #[serde(deserialize_with = "crate::jws::compact")]
    pub identity: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_reads_back_and_a_wrong_one_is_named() {
        let answer = PullAnswer::new(String::from("h"), &[7; 32]);
        assert_eq!(*answer.secret().unwrap(), [7; 32]);
        for bad in ["", "AAAA", "not base64url at all, but of a length that might be 43"] {
            let answer = PullAnswer { hello: String::new(), ikm: bad.into() };
            assert_eq!(answer.secret().unwrap_err().field(), "ikm");
        }
    }
}
