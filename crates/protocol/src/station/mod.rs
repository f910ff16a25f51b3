//! The station's side of one session, the life of a certificate, and the answers to commit, ask and
//! retire.

mod blink;
mod carry;
pub mod certificate;
mod context;
mod deliver;
mod dial;
mod end;
mod identify;
mod io;
mod issue;
mod machine;
mod open;
pub mod outcome;
mod pake;
pub mod poll;
pub mod renew;
mod resume;
pub mod retire;
mod snapshot;
mod state;
mod step;
mod timer;
mod vouch;

pub use certificate::{CertificateConflict, CertificateEvent, CertificateState, CertificateUse};
pub use context::{
    DeviceRecord, DeviceTrust, OpenRequest, Opening, PairDetails, PullOrder, RegistryEntry,
    Reservation, ServerParameters, SessionContext, StationPolicy, TypedTries,
};
pub use io::{
    Blink, Claim, Refusal, SessionInput, SessionPhase, SessionTransition, StationAction,
    StationEvent, StationRecord, StationWrite, Target,
};
pub use machine::SessionMachine;
pub use snapshot::SnapshotError;
