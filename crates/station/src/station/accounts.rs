//! Operators' accounts.

use rand_core::CryptoRng;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::{ErrorCode, FieldError};
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
    /// Its password, from [`Password::parse_new`]; without one, a one-time password is made.
    pub password: Option<Password>,
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
    /// Whether its password was made for it and opens nothing but its own change.
    pub one_time: bool,
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
    /// Adds an account; the password that was made for it, if none was given, to be shown once.
    ///
    /// # Errors
    /// `not_permitted`, `operator_exists`, storage errors.
    pub async fn add_operator(
        &self,
        proof: &OperatorProof,
        new: NewOperator,
    ) -> Result<Option<Password>, StationError> {
        let now = self.now();
        let actor = self.authorise(proof, Action::ManageOperators, &now).await?;
        let made = new.password.is_none().then(|| self.made_password());
        let password = new.password.or_else(|| made.clone()).ok_or(ErrorCode::Internal)?;
        let row = OperatorRow {
            id: new.id,
            role: new.role,
            password_hash: self.hash(password).await?,
            disabled: false,
            one_time: made.is_some(),
            created_at: Self::wall(&now)?,
        };
        let StationRecord { audit, writes } = added(actor.clone(), row);
        match self.try_commit(&now, audit, writes).await? {
            Ok(()) => Ok(made),
            Err(Refusal::OperatorExists) => {
                let code = ErrorCode::OperatorExists;
                let row = AuditEvent::failed(EventType::OperatorAdded, actor, code);
                self.refuse(&now, row, code.into()).await
            }
            Err(refusal) => Err(Self::unexpected(&refusal)),
        }
    }

    /// Makes a one-time password for an account that has lost its own, and ends its logins.
    ///
    /// # Errors
    /// `not_permitted`, `operator_unknown`; `request_malformed` for one's own account, whose password one
    /// changes; storage errors.
    pub async fn reset_password(
        &self,
        proof: &OperatorProof,
        operator: &OperatorId,
    ) -> Result<Password, StationError> {
        let now = self.now();
        let actor = self.authorise(proof, Action::ManageOperators, &now).await?;
        others(proof, operator)?;
        let password = self.made_password();
        let hash = self.hash(password.clone()).await?;
        let write = StationWrite::OneTimePassword { operator: operator.clone(), hash };
        self.change_operator(&now, actor, operator, "password", "one_time", write).await?;
        Ok(password)
    }

    /// Bars an account from logging in and ends its logins, or lets it in again.
    ///
    /// # Errors
    /// `not_permitted`, `operator_unknown`, `last_administrator`; `request_malformed` for one's own
    /// account; storage errors.
    pub async fn set_access(
        &self,
        proof: &OperatorProof,
        operator: &OperatorId,
        disabled: bool,
    ) -> Result<(), StationError> {
        let now = self.now();
        let actor = self.authorise(proof, Action::ManageOperators, &now).await?;
        others(proof, operator)?;
        let write = StationWrite::OperatorAccess { operator: operator.clone(), disabled };
        let word = if disabled { "disabled" } else { "enabled" };
        self.change_operator(&now, actor, operator, "access", word, write).await
    }

    async fn change_operator(
        &self,
        now: &Now,
        actor: Actor,
        operator: &OperatorId,
        what: &'static str,
        to: &'static str,
        write: StationWrite,
    ) -> Result<(), StationError> {
        let described = |event: AuditEvent| event.with("operator", operator).with(what, to);
        let event = described(AuditEvent::new(EventType::OperatorChanged, actor.clone()));
        let code = match self.try_commit(now, vec![event], vec![write]).await? {
            Ok(()) => return Ok(()),
            Err(Refusal::OperatorUnknown) => ErrorCode::OperatorUnknown,
            Err(Refusal::LastAdministrator) => ErrorCode::LastAdministrator,
            Err(refusal) => return Err(Self::unexpected(&refusal)),
        };
        let row = described(AuditEvent::failed(EventType::OperatorChanged, actor, code));
        self.refuse(now, row, code.into()).await
    }

    fn made_password(&self) -> Password {
        Password::generate(self.parts.entropy.generator().as_mut())
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

/// Nobody locks themselves out.
fn others(proof: &OperatorProof, operator: &OperatorId) -> Result<(), FieldError> {
    if proof.id() == operator {
        return Err(FieldError::new("operator", "must not be one's own"));
    }
    Ok(())
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
        one_time: row.one_time,
        created_at: row.created_at,
    }
}
