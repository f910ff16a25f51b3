//! No operation without its audit row: which rows belong to which write.

use zmon_domain::audit::EventType;
use zmon_protocol::device::DeviceWrite;
use zmon_station::ports::{BatchWrite, CertificateState, StationWrite};

/// The rows of which one must be in the record of a station's write; empty: it is none by itself.
pub(super) fn of_station(write: &StationWrite) -> &'static [EventType] {
    match write {
        StationWrite::ImportDevices(_) => {
            &[EventType::RegistryImported, EventType::CertificateIssued]
        }
        StationWrite::Rekey { .. } => &[EventType::DeviceRekeyed],
        StationWrite::DeviceStatus { .. } => &[EventType::DeviceDeprovisioned],
        StationWrite::AddOperator(_) => &[EventType::OperatorAdded],
        StationWrite::Reserve(_) => &[EventType::SessionOpened, EventType::RenewalStarted],
        StationWrite::ClaimToken { .. } => {
            &[EventType::SessionClaimed, EventType::SessionOpened, EventType::RenewalStarted]
        }
        StationWrite::RecoveryCounter { .. } => {
            &[EventType::SessionOpened, EventType::RenewalStarted]
        }
        StationWrite::PermitEnrolment(_) => &[EventType::EnrolmentPermitted],
        StationWrite::SpendCredential { .. } => &[EventType::CertificateIssued],
        StationWrite::TakeSession { .. } => &[EventType::SessionTakenOver],
        StationWrite::InsertCertificate(_) => &[EventType::CertificateIssued],
        StationWrite::Batch(write) => match write {
            BatchWrite::Open(..) => &[EventType::BatchOpened],
            BatchWrite::Move { .. } => {
                &[EventType::BatchPaused, EventType::BatchResumed, EventType::BatchClosed]
            }
            BatchWrite::Begin { .. } => &[EventType::BatchScanned],
            BatchWrite::End { .. } => &[EventType::BatchItemEnded],
            BatchWrite::Retry { .. } => &[EventType::BatchRetried],
            // The session has rows of its own.
            _ => &[],
        },
        StationWrite::Certificate { to, .. } => match to {
            CertificateState::Current => &[EventType::CommitConfirmed],
            CertificateState::Superseded => {
                &[EventType::CertificateSuperseded, EventType::CommitConfirmed]
            }
            CertificateState::Revoked => {
                &[EventType::CertificateRevoked, EventType::CertificateAborted]
            }
            _ => &[EventType::CertificateIssued],
        },
        StationWrite::AbortPending { .. } => &[
            EventType::CertificateAborted,
            EventType::PairingFailed,
            EventType::SessionReleased,
            EventType::RenewalFailed,
        ],
        StationWrite::PublishCrl(_) => &[EventType::CrlPublished],
        _ => &[],
    }
}

/// The rows of which one must be in the record of a device's write.
pub(super) fn of_device(write: &DeviceWrite) -> &'static [EventType] {
    match write {
        DeviceWrite::OpenWindow(_) => &[EventType::PairingCodeGenerated],
        DeviceWrite::ClaimWindow(..) => &[EventType::PairingCodeValidated],
        DeviceWrite::SpendTry(_) => &[EventType::TypedTryStarted],
        DeviceWrite::StageB(_) => &[EventType::ConfigurationApplied],
        DeviceWrite::MarkCommitSent(_) => &[EventType::CommitSent],
        DeviceWrite::Flip => &[EventType::CommitConfirmed],
        DeviceWrite::Deprovision => &[EventType::DeviceDeprovisioned],
        DeviceWrite::QueueRetire(_) => &[EventType::RetireQueued],
        DeviceWrite::RetireDelivered(_) => &[EventType::RetireDelivered],
        DeviceWrite::FactoryReset => &[EventType::FactoryResetStarted],
        DeviceWrite::EraseDone => &[EventType::FactoryReset],
        DeviceWrite::RaiseCounter(_) => &[EventType::RenewalStarted],
        _ => &[],
    }
}
