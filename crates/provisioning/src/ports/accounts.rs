//! Local operators, as whoever keeps them changes them.

use async_trait::async_trait;
use zmon_domain::error::ErrorReport;
use zmon_domain::ids::OperatorId;
use zmon_domain::role::{OperatorProof, Role};
use zmon_domain::time::Now;

use super::{Authenticator, Pin};

/// The accounts behind an [`Authenticator`] (D22). Every change is durable when it returns, or nothing
/// was changed; each asks the proof itself, whoever calls.
///
/// Nothing here writes audit rows: [`AuditedOperators`](crate::AuditedOperators) does, around it.
#[async_trait]
pub trait OperatorAccounts: Authenticator {
    /// Makes the first operator, an administrator.
    ///
    /// Errors: `state_conflict` once there is one, `pin_too_weak`; what the medium says.
    async fn create_administrator(&self, id: OperatorId, pin: Pin) -> Result<(), ErrorReport>;

    /// Adds an operator.
    ///
    /// Errors: `proof_expired`, `not_permitted`, `operator_exists`, `pin_too_weak`; what the medium says.
    async fn add_operator(
        &self,
        by: &OperatorProof,
        now: &Now,
        id: OperatorId,
        role: Role,
        pin: Pin,
    ) -> Result<(), ErrorReport>;

    /// Removes an operator.
    ///
    /// Errors: `proof_expired`, `not_permitted`, `operator_unknown`; `last_administrator` for the only
    /// one there is.
    async fn remove_operator(
        &self,
        by: &OperatorProof,
        now: &Now,
        id: OperatorId,
    ) -> Result<(), ErrorReport>;

    /// Gives an operator another PIN and forgets the wrong ones.
    ///
    /// Errors: `proof_expired`, `not_permitted`, `operator_unknown`, `pin_too_weak`.
    async fn set_pin(
        &self,
        by: &OperatorProof,
        now: &Now,
        id: OperatorId,
        pin: Pin,
    ) -> Result<(), ErrorReport>;

    /// Forgets an operator's wrong PINs.
    ///
    /// Errors: `proof_expired`, `not_permitted`, `operator_unknown`.
    async fn unlock(
        &self,
        by: &OperatorProof,
        now: &Now,
        id: OperatorId,
    ) -> Result<(), ErrorReport>;

    /// The operators, by name.
    async fn operators(&self) -> Vec<(OperatorId, Role)>;

    /// Whether an operator has to wait at `now` because of wrong PINs.
    async fn is_locked(&self, id: &OperatorId, now: &Now) -> Result<bool, ErrorReport>;
}
