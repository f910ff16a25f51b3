//! The writes of a record, in order, inside one transaction.

use zmon_domain::error::ErrorCode;
use zmon_station::ports::{Refusal, StationWrite};

use super::held::{self, Sealer};
use super::{accounts, batches, certificates, enrolment, registry, sessions, tries};
use crate::error::{PersistenceError, Result};
use crate::sql::Connection;

/// Why a record is rolled back.
pub(super) enum Stop {
    /// A conditional write cannot be done.
    Refused(Refusal),
    /// The store cannot.
    Failed(PersistenceError),
}

impl From<PersistenceError> for Stop {
    fn from(error: PersistenceError) -> Self {
        Self::Failed(error)
    }
}

/// Applies one write.
pub(super) async fn apply(
    connection: &mut Connection<'_>,
    sealer: Option<&Sealer>,
    write: &StationWrite,
) -> Result<(), Stop> {
    match write {
        StationWrite::ImportDevices(rows) => registry::import(connection, rows).await?,
        StationWrite::Rekey { device_id, from, to } => {
            registry::rekey(connection, device_id, from, to).await?;
        }
        StationWrite::Assign { device_id, settings } => {
            registry::assign(connection, device_id, settings).await?;
        }
        StationWrite::DeviceStatus { device_id, status } => {
            registry::set_status(connection, device_id, *status).await?;
        }
        StationWrite::PeerCheckpoint { device_id, checkpoint } => {
            registry::keep_peer_checkpoint(connection, device_id, checkpoint).await?;
        }
        StationWrite::ForgetPeerCheckpoint { device_id } => {
            registry::forget_peer_checkpoint(connection, device_id).await?;
        }
        StationWrite::Place { device_id, from, to } => {
            registry::place(connection, device_id, from, to).await?;
        }
        StationWrite::RecoveryCounter { device_id, counter } => {
            registry::raise_recovery_counter(connection, device_id, *counter).await?;
        }
        StationWrite::AddOperator(row) => registry::add_operator(connection, row).await?,
        StationWrite::SetPassword { operator, before, after, keep } => {
            registry::set_password(connection, operator, before, after, keep).await?;
        }
        StationWrite::OneTimePassword { operator, hash } => {
            accounts::set_one_time_password(connection, operator, hash).await?;
        }
        StationWrite::OperatorAccess { operator, disabled } => {
            accounts::set_access(connection, operator, *disabled).await?;
        }
        StationWrite::AddLogin(row) => registry::add_login(connection, row).await?,
        StationWrite::DropLogin { token_hash } => {
            registry::drop_login(connection, token_hash).await?;
        }
        StationWrite::DropLoginsBefore(at) => {
            registry::drop_logins_before(connection, *at).await?;
        }
        StationWrite::Reserve(row) => sessions::reserve(connection, row).await?,
        StationWrite::ClaimToken { session_id, token_id } => {
            sessions::claim_token(connection, session_id, token_id).await?;
        }
        StationWrite::SpendTry { session_id, operator, window_id, at } => {
            tries::spend(connection, session_id, operator, window_id, *at).await?;
        }
        StationWrite::Session { session_id, phase, error } => {
            sessions::set_phase(connection, session_id, *phase, *error).await?;
        }
        StationWrite::SessionAnswer { session_id, answer } => {
            sessions::keep_answer(connection, session_id, answer).await?;
        }
        StationWrite::SessionDeadline { session_id, expires_at } => {
            sessions::set_deadline(connection, session_id, *expires_at).await?;
        }
        StationWrite::Release { session_id } => sessions::release(connection, session_id).await?,
        StationWrite::PermitEnrolment(row) => enrolment::permit(connection, row).await?,
        StationWrite::SpendCredential { device_id, hash, session_id, at } => {
            enrolment::spend(connection, device_id, hash, session_id, *at).await?;
        }
        StationWrite::Batch(write) => batches::apply(connection, write).await?,
        StationWrite::Hold { session_id, epoch } => {
            sessions::hold(connection, session_id, *epoch).await?;
        }
        StationWrite::SessionState { session_id, state } => {
            held::keep(connection, sealer, session_id, state).await?;
        }
        StationWrite::TakeSession { session_id, from, owner, lease_until } => {
            sessions::take(connection, session_id, *from, owner.as_ref(), *lease_until).await?;
            if owner.is_none() {
                held::erase(connection, session_id).await?;
            }
        }
        StationWrite::RenewLeases { owner, sessions, until } => {
            sessions::renew_leases(connection, owner, sessions, *until).await?;
        }
        StationWrite::InsertCertificate(row) => certificates::insert(connection, row).await?,
        StationWrite::Certificate { serial, from, to, at, reason } => {
            certificates::transition(connection, serial, *from, *to, *at, *reason).await?;
        }
        StationWrite::AbortPending { serial, at } => {
            certificates::abort_pending(connection, serial, *at).await?;
        }
        StationWrite::PublishCrl(row) => certificates::publish_crl(connection, row).await?,
        other => {
            let context = format!("this store does not know the write {other:?}");
            return Err(PersistenceError::new(ErrorCode::Internal, context).into());
        }
    }
    Ok(())
}
