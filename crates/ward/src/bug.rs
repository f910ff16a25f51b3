//! Bugs to plant in the simulated world: each lies in an adapter, none in the product.

use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::role::Actor;
use zmon_protocol::device::{BootState, DeviceWrite};
use zmon_station::ports::{CertificateState, StationWrite};

use crate::store::DeviceHook;
use crate::store::Hook;

/// A planted bug. Each must make a run fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The station's store makes a certificate current without its row.
    SkipAudit,
    /// The device's store flips when the commit is sent, before the station's word.
    FlipBeforeProof,
    /// The station's store says that it has revoked a certificate, and has not.
    ForgetRevoke,
    /// The station's store forgets which tokens were claimed.
    AcceptOldToken,
    /// The issuer signs again what it has signed.
    DoubleIssue,
    /// The device's store keeps the old slot where it should take the new one.
    WrongSlot,
    /// The device's store finds its counters at zero when it starts.
    RolledBackCounter,
}

impl Bug {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::SkipAudit,
        Self::FlipBeforeProof,
        Self::ForgetRevoke,
        Self::AcceptOldToken,
        Self::DoubleIssue,
        Self::WrongSlot,
        Self::RolledBackCounter,
    ];

    /// Its name on a command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SkipAudit => "skip-audit",
            Self::FlipBeforeProof => "flip-before-proof",
            Self::ForgetRevoke => "forget-revoke",
            Self::AcceptOldToken => "accept-old-token",
            Self::DoubleIssue => "double-issue",
            Self::WrongSlot => "wrong-slot",
            Self::RolledBackCounter => "rolled-back-counter",
        }
    }

    pub(crate) fn in_station_store(self) -> Option<Hook> {
        match self {
            Self::SkipAudit => Some(Box::new(|record, _| {
                record.audit.retain(|row| row.event != EventType::CommitConfirmed);
                Ok(())
            })),
            Self::ForgetRevoke => Some(Box::new(|record, _| {
                let revokes = |write: &StationWrite| {
                    matches!(write, StationWrite::Certificate { to: CertificateState::Revoked, .. })
                };
                record.writes.retain(|write| !revokes(write));
                Ok(())
            })),
            Self::AcceptOldToken => Some(Box::new(|record, _| {
                record.writes.retain(|write| !matches!(write, StationWrite::ClaimToken { .. }));
                Ok(())
            })),
            Self::FlipBeforeProof
            | Self::DoubleIssue
            | Self::WrongSlot
            | Self::RolledBackCounter => None,
        }
    }

    pub(crate) fn in_device_store(self) -> Option<DeviceHook> {
        match self {
            Self::FlipBeforeProof => Some(Box::new(|record| {
                let sent = |write: &DeviceWrite| matches!(write, DeviceWrite::MarkCommitSent(_));
                if record.writes.iter().any(sent) {
                    record.writes.push(DeviceWrite::Flip);
                    // The row is there; the station's word is not.
                    let row = AuditEvent::new(EventType::CommitConfirmed, Actor::System);
                    record.audit.push(row);
                }
            })),
            Self::WrongSlot => Some(Box::new(|record| {
                for write in &mut record.writes {
                    if matches!(write, DeviceWrite::Flip) {
                        *write = DeviceWrite::DropB;
                    }
                }
            })),
            Self::SkipAudit
            | Self::ForgetRevoke
            | Self::AcceptOldToken
            | Self::DoubleIssue
            | Self::RolledBackCounter => None,
        }
    }

    pub(crate) fn at_start(self, boot: &mut BootState) {
        if self == Self::RolledBackCounter {
            (boot.generation, boot.retire_counter, boot.recovery_counter) = (0, 0, 0);
        }
    }

    pub(crate) fn issues_twice(self) -> bool {
        self == Self::DoubleIssue
    }
}
