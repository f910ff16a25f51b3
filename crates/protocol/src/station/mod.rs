//! The station's side of one session, the life of a certificate, and the answers to commit and ask.

pub mod certificate;
mod context;
mod io;
mod machine;
pub mod outcome;

pub use certificate::{CertificateConflict, CertificateEvent, CertificateState, CertificateUse};
pub use context::{
    DeviceRecord, DeviceTrust, OpenRequest, PairDetails, RegistryEntry, Reservation, ServerParameters,
    SessionContext, StationPolicy,
};
pub use io::{
    Refusal, SessionInput, SessionPhase, SessionTransition, StationAction, StationEvent,
    StationRecord, StationWrite, Target,
};
pub use machine::SessionMachine;
