//! What can happen to a session, and why a step may not.

use zmon_domain::address::DeviceAddress;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::{OperatorId, Serial, WindowId};
use zmon_domain::route::Route;
use zmon_protocol::station::{PairDetails, SessionInput, StationAction, StationEvent, TypedTries};
use zmon_wire::pake::PakeStarted;

use super::effects::Failure;
use crate::error::StationError;
use crate::ports::Refusal;

/// An input, kept until its step is durable.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Identity(Vec<u8>),
    Window(WindowId),
    Share(Box<PakeStarted>),
    DialFailed(Failure),
    Again(DeviceAddress),
    Fetched(Route),
    Blink(OperatorId),
    Blinked(u32),
    BlinkFailed(Failure),
    RegistryConflict,
    Issued(Vec<Vec<u8>>),
    IssueFailed(ErrorCode),
    Delivered(Vec<u8>),
    DeliveryFailed(Failure),
    Pair(OperatorId, PairDetails),
    Rescanned(OperatorId),
    Cancel(Option<OperatorId>),
    Tested(Serial),
    Committed(Serial),
    Aborted(Serial),
    Resumed,
    Timeout,
}

/// What an input says that did not come with it.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The serial number of the certificate that was signed.
    pub(super) issued: Option<Serial>,
    /// How often the operator has tried a typed code.
    pub(super) tries: TypedTries,
}

/// Why a step did not happen.
pub(super) enum Halt {
    /// The store failed; the machine is as it was.
    Store(StationError),
    /// A conditional write was refused; the machine is as it was.
    Refused(Refusal),
    /// The device claims a commit that the station's record does not know.
    NotCommitted,
}

impl Step {
    /// The machine's input; `known` is what the driver has looked up for it.
    pub(super) fn input(&self, known: &Known) -> SessionInput {
        match self.clone() {
            Self::Identity(document) => SessionInput::Identity(document),
            Self::Window(window_id) => SessionInput::Window { window_id, tries: known.tries },
            Self::Share(started) => {
                let PakeStarted { share_v, confirm_v } = *started;
                SessionInput::Share { share_v, confirm_v }
            }
            Self::DialFailed(failure) => SessionInput::DialFailed(failure.code),
            Self::Again(address) => SessionInput::Again(address),
            Self::Fetched(route) => SessionInput::Fetched(route),
            Self::Blink(operator) => SessionInput::Blink { operator },
            Self::Blinked(seconds) => SessionInput::Blinked(seconds),
            Self::BlinkFailed(failure) => SessionInput::BlinkFailed(failure.code),
            Self::RegistryConflict => SessionInput::RegistryConflict,
            Self::Issued(chain) => match known.issued {
                Some(serial) => SessionInput::Issued { chain, serial },
                None => SessionInput::IssueFailed(ErrorCode::Internal),
            },
            Self::IssueFailed(code) => SessionInput::IssueFailed(code),
            Self::Delivered(status) => SessionInput::Delivered(status),
            Self::DeliveryFailed(failure) => SessionInput::DeliveryFailed(failure.code),
            Self::Pair(operator, details) => SessionInput::Pair { operator, details },
            Self::Rescanned(operator) => SessionInput::Rescanned { operator },
            Self::Cancel(operator) => SessionInput::Cancel { operator },
            Self::Tested(serial) => SessionInput::Tested { serial },
            Self::Committed(serial) => SessionInput::Committed { serial },
            Self::Aborted(serial) => SessionInput::Aborted { serial },
            Self::Resumed => SessionInput::Resumed,
            Self::Timeout => SessionInput::Timeout,
        }
    }

    /// Why the session has ended without a pairing, if it has: the operator's wish, or what the
    /// machine says.
    pub(super) fn why(&self, actions: &[StationAction]) -> Option<ErrorReport> {
        if matches!(self, Self::Cancel(_) | Self::Rescanned(_)) {
            return Some(ErrorReport::new(ErrorCode::Cancelled));
        }
        actions.iter().find_map(|action| {
            let StationAction::Emit(StationEvent::Failed(report)) = action else { return None };
            Some(report.clone())
        })
    }

    /// What happened, where only the log and the audit detail may know (D18).
    pub(super) fn cause(&self) -> Option<&str> {
        match self {
            Self::DialFailed(failure)
            | Self::BlinkFailed(failure)
            | Self::DeliveryFailed(failure) => failure.cause.as_deref(),
            Self::Identity(_)
            | Self::Window(_)
            | Self::Share(_)
            | Self::Again(_)
            | Self::Fetched(_)
            | Self::Blink(_)
            | Self::Blinked(_)
            | Self::RegistryConflict
            | Self::Issued(_)
            | Self::IssueFailed(_)
            | Self::Delivered(_)
            | Self::Pair(..)
            | Self::Rescanned(_)
            | Self::Cancel(_)
            | Self::Tested(_)
            | Self::Committed(_)
            | Self::Aborted(_)
            | Self::Resumed
            | Self::Timeout => None,
        }
    }
}
