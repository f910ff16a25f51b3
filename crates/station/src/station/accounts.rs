//! Operators' accounts.

use rand_core::CryptoRng;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::OperatorId;
use zmon_domain::role::{Action, Actor, OperatorProof, Role};
use zmon_domain::time::{Now, UnixTime};

use super::Station;
use crate::error::StationError;
use crate::password::Password;
use crate::ports::{OperatorRow, Refusal, StationRecord, StationStore, StationWrite};

/// An account to be added.
#[derive(Debug, Clone)]
pub struct NewOperator {
    /// The account.
    pub id: OperatorId,
    /// What it may do.
    pub role: Role,
    /// Its password, from [`Password::parse_new`] or [`Password::generate`].
    pub password: Password,
}

/// An account as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorSummary {
    /// The account.
    pub id: OperatorId,
    /// What it may do.
    pub role: Role,
    /// Whether it is barred from logging in.
    pub disabled: bool,
    /// When it was made.
    pub created_at: UnixTime,
}

/// Adds the first administrator of a new station. Later accounts are added by an administrator.
/// `one_time`: nobody chose the password, so it opens nothing but its own change.
///
/// # Errors
/// `state_conflict` when there is an account already; storage errors.
pub async fn bootstrap_administrator(
    store: &dyn StationStore,
    now: &Now,
    rng: &mut (dyn CryptoRng + Send),
    id: OperatorId,
    password: &Password,
    one_time: bool,
) -> Result<(), StationError> {
    if !store.operators().await?.is_empty() {
        return Err(ErrorCode::StateConflict.into());
    }
    let row = OperatorRow {
        id,
        role: Role::Administrator,
        password_hash: password.hash(rng).ok_or(ErrorCode::Internal)?,
        disabled: false,
        one_time,
        created_at: Station::wall(now)?,
    };
    let record = added(Actor::System, row);
    store.commit(now, &record).await?.map_err(|_| ErrorCode::StateConflict.into())
}

impl Station {
    /// Adds an account.
    ///
    /// # Errors
    /// `not_permitted`, `operator_exists`, storage errors.
    pub async fn add_operator(
        &self,
        proof: &OperatorProof,
        new: NewOperator,
    ) -> Result<(), StationError> {
        let now = self.now();
        let actor = self.authorise(proof, Action::ManageOperators, &now).await?;
        let row = OperatorRow {
            id: new.id,
            role: new.role,
            password_hash: self.hash(new.password).await?,
            disabled: false,
            one_time: false,
            created_at: Self::wall(&now)?,
        };
        let StationRecord { audit, writes } = added(actor.clone(), row);
        match self.try_commit(&now, audit, writes).await? {
            Ok(()) => Ok(()),
            Err(Refusal::OperatorExists) => {
                let code = ErrorCode::OperatorExists;
                let row = AuditEvent::failed(EventType::OperatorAdded, actor, code);
                self.refuse(&now, row, code.into()).await
            }
            Err(refusal) => Err(Self::unexpected(&refusal)),
        }
    }

    /// Every account, by id.
    ///
    /// # Errors
    /// `not_permitted`, storage errors.
    pub async fn operators(
        &self,
        proof: &OperatorProof,
    ) -> Result<Vec<OperatorSummary>, StationError> {
        self.authorise(proof, Action::ManageOperators, &self.now()).await?;
        let rows = self.parts.store.operators().await?;
        Ok(rows.into_iter().map(summary).collect())
    }
}

fn added(actor: Actor, row: OperatorRow) -> StationRecord {
    let event = AuditEvent::new(EventType::OperatorAdded, actor)
        .with("operator", &row.id)
        .with("role", row.role);
    StationRecord { audit: vec![event], writes: vec![StationWrite::AddOperator(row)] }
}

fn summary(row: OperatorRow) -> OperatorSummary {
    OperatorSummary {
        id: row.id,
        role: row.role,
        disabled: row.disabled,
        created_at: row.created_at,
    }
}
