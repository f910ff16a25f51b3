//! What the station needs from the outside: a store, a way to reach devices, an issuer of
//! certificates, time and randomness. Adapters live in other crates; none of them is known here.

mod batch;
mod dialer;
mod issuer;
mod rows;
mod runtime;
mod store;

pub use batch::{
    BatchItemRow, BatchListing, BatchRefusal, BatchRow, BatchStore, BatchWrite, Wanted,
};
pub use dialer::{DeviceConnection, DeviceDialer, DialError, Target};
pub use issuer::{
    CertificateIssuer, ClientCertificateOrder, CrlOrder, IssueError, IssuedCertificate,
};
pub use rows::{
    AuditDamage, AuditPage, AuditReport, AuditRow, CertificateListing, CertificateRow, CrlRow,
    DeviceRow, DeviceStatus, Enrolment, EnrolmentCredentialRow, LoginRow, OperatorRow, Page, Place,
    RevocationReason, RevocationRow, SessionRow, SessionStanding, SessionState,
};
pub use runtime::{Clock, Entropy};
pub use store::{
    ImportConflict, ImportConflictKind, Refusal, StationRecord, StationStore, StationWrite,
    StoreError,
};
pub use zmon_protocol::station::{CertificateState, Claim, SessionPhase};
