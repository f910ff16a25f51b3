//! What the station needs from the outside: a store, a way to reach devices, an issuer of
//! certificates, time and randomness. Adapters live in other crates; none of them is known here.

mod dialer;
mod issuer;
mod rows;
mod runtime;
mod store;

pub use dialer::{DeviceConnection, DeviceDialer, DialError, Target};
pub use issuer::{CertificateIssuer, ClientCertificateOrder, CrlOrder, IssueError, IssuedCertificate};
pub use rows::{
    AuditDamage, AuditPage, AuditReport, AuditRow, CertificateRow, CertificateState, CrlRow,
    DeviceRow, DeviceStatus, LoginRow, OperatorRow, Page, RevocationReason, RevocationRow,
    SessionRow, SessionState,
};
pub use runtime::{Clock, Entropy};
pub use store::{
    AbortVerdict, AddOperatorVerdict, ClaimVerdict, CommitVerdict, CrlVerdict, ImportConflict,
    ImportConflictKind, ImportVerdict, IssueVerdict, ReserveVerdict, RevokeVerdict, SettleVerdict,
    StationRecord, StationStore, StationWrite, StoreError,
};
