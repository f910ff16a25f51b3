//! What a function of the door ends with: a status, and a document that says why.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use zmon_cli::Failure;
use zmon_domain::error::{ErrorCode, ErrorReport, FieldError};
use zmon_wire::strict;

/// How a call ended. Every status but `OK` comes with a JSON document of code, message and next step,
/// if the caller has given a place for it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZmonStatus {
    /// It was done.
    Ok = 0,
    /// The device refused it, or could not do it; the document has the reason.
    Refused = 1,
    /// A pointer that must not be null was null.
    NullPointer = 2,
    /// A text is not UTF-8.
    NotUtf8 = 3,
    /// No method has this name.
    UnknownMethod = 4,
    /// The JSON text is none, or not what the function takes; the document names member and rule.
    Malformed = 5,
    /// No open device has this handle.
    Closed = 6,
    /// It would wait for the callback that it is called from.
    InCallback = 7,
    /// A defect of the library; the call had no answer, the device goes on as far as it can.
    Panicked = 8,
}

/// A call that ended otherwise than well.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: ZmonStatus,
    pub(crate) failure: Failure,
}

pub(crate) type Outcome<T> = Result<T, Refusal>;

impl Refusal {
    /// A defect of the calling program: argument and rule.
    pub(crate) fn caller(status: ZmonStatus, argument: &'static str, rule: &'static str) -> Self {
        let detail = FieldError::new(argument, rule);
        let report = ErrorReport::field(ErrorCode::RequestMalformed, detail);
        Self { status, failure: report.into() }
    }

    /// A text that is not what the function takes.
    pub(crate) fn malformed(failure: Failure) -> Self {
        Self { status: ZmonStatus::Malformed, failure }
    }

    /// No device is open under the handle.
    pub(crate) fn closed() -> Self {
        Self::caller(ZmonStatus::Closed, "device", "must be the handle of an open device")
    }

    /// A defect of this library.
    pub(crate) fn panicked() -> Self {
        Self { status: ZmonStatus::Panicked, failure: ErrorCode::Internal.into() }
    }

    /// The document that goes with the status: what the programs say with `--json`.
    pub(crate) fn document(&self) -> Vec<u8> {
        // A document of strings and words always has a JSON form.
        strict::to_vec(&self.failure.to_document()).unwrap_or_default()
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self { status: ZmonStatus::Refused, failure }
    }
}

/// Runs `work`; a panic in it ends here, because none may cross into C.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|cause| {
        forget_cause(cause);
        Err(Refusal::panicked())
    })
}

/// What a panic was thrown with may panic again when it is dropped.
fn forget_cause(cause: Box<dyn Any + Send>) {
    tracing::error!("a call panicked");
    std::mem::forget(cause);
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_panic_is_a_status_with_a_document() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("when dropped");
            }
        }
        let refused = guarded::<()>(|| panic!("in a call")).unwrap_err();
        assert_eq!(refused.status, ZmonStatus::Panicked);
        let document: Value = serde_json::from_slice(&refused.document()).unwrap();
        assert_eq!(document["code"], "internal");
        assert_eq!(document["success"], false);
        let refused = guarded::<()>(|| std::panic::panic_any(Bomb)).unwrap_err();
        assert_eq!(refused.status, ZmonStatus::Panicked);
        assert_eq!(guarded(|| Ok(7)).unwrap(), 7);
    }

    #[test]
    fn a_defect_of_the_caller_names_the_argument() {
        let document: Value = serde_json::from_slice(&Refusal::closed().document()).unwrap();
        assert_eq!(document["field"], "device");
        assert_eq!(document["rule"], "must be the handle of an open device");
        assert!(document["next"].is_string() && document["message"].is_string());
    }
}
