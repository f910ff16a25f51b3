//! Local operators.

use core::fmt;

use async_trait::async_trait;
use zeroize::Zeroizing;
use zmon_domain::error::{ErrorCode, ErrorReport, FieldError};
use zmon_domain::ids::OperatorId;
use zmon_domain::limits;
use zmon_domain::role::OperatorProof;
use zmon_domain::time::Now;

/// Turns an operator's PIN into a proof (D22). The only maker of [`OperatorProof`]s.
///
/// **A false proof** is full control of the device's provisioning. **A false refusal** costs a
/// technician a walk; back-off (30 s after three, doubling to 15 min) is durable, so that pulling
/// the plug does not refund tries. Implementations spend the same time on unknown operators.
#[async_trait]
pub trait Authenticator: Send + Sync {
    /// A proof bound to the operator's role, valid for a short time from `now`.
    ///
    /// Errors: `authentication_failed` for an unknown operator and a wrong PIN alike,
    /// `authentication_locked` during back-off, `no_operators` before the first administrator.
    async fn authenticate(
        &self,
        id: &OperatorId,
        pin: Pin,
        now: &Now,
    ) -> Result<OperatorProof, ErrorReport>;

    /// Writes down that somebody gave what cannot be a PIN, as a wrong PIN is written down. It counts as
    /// no try: nothing was guessed. Without an audit log there is nothing to do.
    ///
    /// # Errors
    /// What the audit log says.
    async fn note_malformed(&self, _id: &OperatorId, _now: &Now) -> Result<(), ErrorReport> {
        Ok(())
    }

    /// [`Authenticator::authenticate`] with what was typed.
    ///
    /// # Errors
    /// `request_malformed`, naming the rule, for what cannot be a PIN, once that is written down; else as
    /// [`Authenticator::authenticate`].
    async fn authenticate_typed(
        &self,
        id: &OperatorId,
        typed: &str,
        now: &Now,
    ) -> Result<OperatorProof, ErrorReport> {
        match Pin::parse(typed) {
            Ok(pin) => self.authenticate(id, pin, now).await,
            Err(detail) => {
                self.note_malformed(id, now).await?;
                Err(ErrorReport::field(ErrorCode::RequestMalformed, detail))
            }
        }
    }
}

/// An operator's PIN: at least six digits (D22). Wiped on drop, never printed.
pub struct Pin(Zeroizing<String>);

impl Pin {
    /// Reads a PIN of 6 to 16 ASCII digits.
    ///
    /// # Errors
    /// A [`FieldError`] that names the rule, never the text.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let digits = text.len();
        let rule = if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            "must hold only the digits 0 to 9"
        } else if digits < limits::PIN_MIN_DIGITS.default {
            "must have at least 6 digits"
        } else if digits > limits::PIN_MAX_DIGITS.default {
            "must have at most 16 digits"
        } else {
            return Ok(Self(Zeroizing::new(String::from(text))));
        };
        Err(FieldError::new("pin", rule))
    }

    /// Whether anybody would try it among the first: one digit over and over, or digits in a row. Asked
    /// where a PIN is set (`pin_too_weak`), never where one is compared.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        let digits = self.0.as_bytes();
        let steps_by = |step: u8| {
            digits.windows(2).all(|pair| match pair {
                [one, next] => (one - b'0' + step) % 10 == next - b'0',
                _ => true,
            })
        };
        [0, 1, 9].into_iter().any(steps_by)
    }

    /// The digits, for the password hash and nothing else.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
