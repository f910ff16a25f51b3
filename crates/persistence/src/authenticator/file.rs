//! The authenticator over files.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;
use zmon_crypto::labels;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::OperatorId;
use zmon_domain::limits;
use zmon_domain::role::{self, Action, OperatorProof, Role};
use zmon_domain::time::Now;
use zmon_provisioning::ports::{
    Authenticator, KeyStore, LocalOperators, OperatorAccounts, Pin, SharedRng,
};

use super::hashing::{HashCost, Hasher};
use super::operators::{OperatorEntry, Operators};
use super::tries::Tries;
use crate::error::{PersistenceError, Result};
use crate::fs::PrivateDir;

/// Operators and their PINs in `operators.json`, failed tries in `operators.tries.json`.
///
/// There is no default PIN: without operators every PIN is refused as `no_operators`, and only
/// an administrator can be the first ([`FileAuthenticator::create_administrator`]).
pub struct FileAuthenticator {
    inner: Arc<Inner>,
}

struct Inner {
    dir: Arc<PrivateDir>,
    hasher: Hasher,
    rng: SharedRng,
    /// One at a time: a hash takes 19 MiB, and a try is counted before it is made.
    state: Mutex<State>,
}

#[derive(Clone)]
struct State {
    operators: Operators,
    tries: Tries,
}

impl FileAuthenticator {
    /// Reads the operators of `dir`. The pepper of their PINs comes from the root secret of `keys`.
    ///
    /// # Errors
    /// `StorageCorrupt` for damaged files, the file errors of [`crate::FileKeyStore::open`].
    pub fn open(dir: Arc<PrivateDir>, keys: &dyn KeyStore, rng: SharedRng) -> Result<Self> {
        Self::open_with(dir, keys, rng, HashCost::default())
    }

    /// As [`FileAuthenticator::open`], with another cost of new hashes.
    ///
    /// # Errors
    /// As [`FileAuthenticator::open`].
    pub fn open_with(
        dir: Arc<PrivateDir>,
        keys: &dyn KeyStore,
        rng: SharedRng,
        cost: HashCost,
    ) -> Result<Self> {
        let hasher = Hasher::new(keys.derive(labels::PIN)?, cost)?;
        let state = State { operators: Operators::read(&dir)?, tries: Tries::read(&dir)? };
        Ok(Self { inner: Arc::new(Inner { dir, hasher, rng, state: Mutex::new(state) }) })
    }

    /// Makes the first operator, an administrator; only while there is none.
    ///
    /// # Errors
    /// `PinTooWeak`; `StateConflict` once there is an operator; `StorageUnavailable` if nothing could be written.
    pub async fn create_administrator(&self, id: OperatorId, pin: Pin) -> Result<()> {
        strong(&pin)?;
        self.add(id, Role::Administrator, pin, true).await
    }

    /// Adds an operator on behalf of an administrator.
    ///
    /// # Errors
    /// `ProofExpired`, `NotPermitted`; `PinTooWeak`; `StateConflict` if the name is taken.
    pub async fn add_operator(
        &self,
        by: &OperatorProof,
        now: &Now,
        id: OperatorId,
        role: Role,
        pin: Pin,
    ) -> Result<()> {
        by.authorise(Action::ManageOperators, now.mono)
            .map_err(|code| PersistenceError::new(code, "adding an operator"))?;
        strong(&pin)?;
        self.add(id, role, pin, false).await
    }

    /// Removes an operator on behalf of an administrator.
    ///
    /// # Errors
    /// `ProofExpired`, `NotPermitted`; `OperatorUnknown`, `LastAdministrator`.
    pub async fn remove_operator(
        &self,
        by: &OperatorProof,
        now: &Now,
        id: OperatorId,
    ) -> Result<()> {
        self.change(by, now, move |inner, state| {
            let operators = state.operators.without(&id)?;
            operators.write(&inner.dir)?;
            state.operators = operators;
            inner.forget_tries(state, &id)
        })
        .await
    }

    /// Gives an operator another PIN on behalf of an administrator, and forgets the wrong ones.
    ///
    /// # Errors
    /// `ProofExpired`, `NotPermitted`; `OperatorUnknown`, `PinTooWeak`.
    pub async fn set_pin(
        &self,
        by: &OperatorProof,
        now: &Now,
        id: OperatorId,
        pin: Pin,
    ) -> Result<()> {
        self.change(by, now, move |inner, state| {
            let (role, _) = state.operators.known(&id)?;
            strong(&pin)?;
            let hash = inner.hasher.hash(&id, role, &pin, &mut *inner.rng.lock())?;
            let operators = state.operators.with_hash(&id, hash);
            operators.write(&inner.dir)?;
            state.operators = operators;
            inner.forget_tries(state, &id)
        })
        .await
    }

    /// Forgets the wrong PINs of an operator on behalf of an administrator.
    ///
    /// # Errors
    /// `ProofExpired`, `NotPermitted`; `OperatorUnknown`.
    pub async fn unlock(&self, by: &OperatorProof, now: &Now, id: OperatorId) -> Result<()> {
        self.change(by, now, move |inner, state| {
            state.operators.known(&id)?;
            inner.forget_tries(state, &id)
        })
        .await
    }

    /// The operators, by name.
    pub async fn list(&self) -> Vec<OperatorEntry> {
        self.inner.state.lock().await.operators.list()
    }

    /// Whether an operator has to wait at `now` because of wrong PINs.
    ///
    /// # Errors
    /// `Internal` if the key of names cannot be used.
    pub async fn is_locked(&self, id: &OperatorId, now: &Now) -> Result<bool> {
        let name = self.inner.hasher.try_key(id)?;
        // On a copy: looking starts no wait.
        let mut tries = self.inner.state.lock().await.tries.clone();
        Ok(tries.is_waiting(&name, now.mono))
    }

    /// A change by an administrator, off the runtime's threads.
    async fn change(
        &self,
        by: &OperatorProof,
        now: &Now,
        work: impl FnOnce(&Inner, &mut State) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        by.authorise(Action::ManageOperators, now.mono)
            .map_err(|code| PersistenceError::new(code, "changing an operator"))?;
        let inner = Arc::clone(&self.inner);
        blocking(move || work(&inner, &mut inner.state.blocking_lock())).await
    }

    async fn add(&self, id: OperatorId, role: Role, pin: Pin, first: bool) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            let mut state = inner.state.blocking_lock();
            if first && !state.operators.is_empty() {
                let context = "the first administrator exists";
                return Err(PersistenceError::new(ErrorCode::StateConflict, context));
            }
            let hash = inner.hasher.hash(&id, role, &pin, &mut *inner.rng.lock())?;
            let operators = state.operators.with(id, role, hash)?;
            operators.write(&inner.dir)?;
            state.operators = operators;
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl Authenticator for FileAuthenticator {
    async fn authenticate(
        &self,
        id: &OperatorId,
        pin: Pin,
        now: &Now,
    ) -> Result<OperatorProof, ErrorReport> {
        let (inner, id, now) = (Arc::clone(&self.inner), id.clone(), *now);
        blocking(move || inner.authenticate(&id, &pin, &now)).await.map_err(|error| {
            if !matches!(
                error.code(),
                ErrorCode::AuthenticationFailed | ErrorCode::AuthenticationLocked
            ) {
                tracing::warn!(error = %error.describe(), "no operator can be authenticated");
            }
            ErrorReport::new(error.code())
        })
    }
}

#[async_trait]
impl LocalOperators for FileAuthenticator {
    async fn forget_all(&self) -> Result<(), ErrorReport> {
        let inner = Arc::clone(&self.inner);
        let forgotten = blocking(move || {
            let mut state = inner.state.blocking_lock();
            Operators::destroy(&inner.dir)?;
            Tries::destroy(&inner.dir)?;
            *state = State { operators: Operators::default(), tries: Tries::default() };
            Ok(())
        });
        Ok(forgotten.await?)
    }
}

impl Inner {
    fn authenticate(&self, id: &OperatorId, pin: &Pin, now: &Now) -> Result<OperatorProof> {
        let mut state = self.state.blocking_lock();
        if state.operators.is_empty() {
            let context = "there is no operator yet";
            return Err(PersistenceError::new(ErrorCode::NoOperators, context));
        }
        let name = self.hasher.try_key(id)?;
        if state.tries.is_waiting(&name, now.mono) {
            let context = "too many wrong PINs";
            return Err(PersistenceError::new(ErrorCode::AuthenticationLocked, context));
        }
        // Counted first, durably: whoever cuts the power after the answer has used the try.
        let mut tries = state.tries.clone();
        tries.count(&name, state.operators.get(id).is_some(), now.mono);
        tries.write(&self.dir)?;
        state.tries = tries;

        let known = state.operators.get(id);
        if !self.hasher.verify(id, known, pin)? {
            let context = "unknown operator or wrong PIN";
            return Err(PersistenceError::new(ErrorCode::AuthenticationFailed, context));
        }
        let role = known.map_or(Role::Auditor, |(role, _)| role);
        self.forget_tries(&mut state, id)?;
        Ok(proof(id.clone(), role, now))
    }

    /// Forgets the wrong PINs of an operator, durably.
    fn forget_tries(&self, state: &mut State, id: &OperatorId) -> Result<()> {
        let mut tries = state.tries.clone();
        tries.succeeded(&self.hasher.try_key(id)?);
        tries.write(&self.dir)?;
        state.tries = tries;
        Ok(())
    }
}

#[async_trait]
impl OperatorAccounts for FileAuthenticator {
    async fn create_administrator(&self, id: OperatorId, pin: Pin) -> Result<(), ErrorReport> {
        self.create_administrator(id, pin).await.map_err(told)
    }

    async fn add_operator(
        &self,
        by: &OperatorProof,
        now: &Now,
        id: OperatorId,
        role: Role,
        pin: Pin,
    ) -> Result<(), ErrorReport> {
        self.add_operator(by, now, id, role, pin).await.map_err(|error| {
            let is_taken = error.code() == ErrorCode::StateConflict;
            if is_taken { ErrorCode::OperatorExists.into() } else { told(error) }
        })
    }

    async fn remove_operator(
        &self,
        by: &OperatorProof,
        now: &Now,
        id: OperatorId,
    ) -> Result<(), ErrorReport> {
        self.remove_operator(by, now, id).await.map_err(told)
    }

    async fn set_pin(
        &self,
        by: &OperatorProof,
        now: &Now,
        id: OperatorId,
        pin: Pin,
    ) -> Result<(), ErrorReport> {
        self.set_pin(by, now, id, pin).await.map_err(told)
    }

    async fn unlock(
        &self,
        by: &OperatorProof,
        now: &Now,
        id: OperatorId,
    ) -> Result<(), ErrorReport> {
        self.unlock(by, now, id).await.map_err(told)
    }

    async fn operators(&self) -> Vec<(OperatorId, Role)> {
        self.list().await.into_iter().map(|entry| (entry.id, entry.role)).collect()
    }

    async fn is_locked(&self, id: &OperatorId, now: &Now) -> Result<bool, ErrorReport> {
        self.is_locked(id, now).await.map_err(told)
    }
}

/// The cause for the log, the code for whoever asked.
fn told(error: PersistenceError) -> ErrorReport {
    tracing::warn!(error = %error.describe(), "operators not changed");
    error.into()
}

/// A PIN that is to be set.
fn strong(pin: &Pin) -> Result<()> {
    if pin.is_weak() {
        return Err(PersistenceError::new(ErrorCode::PinTooWeak, "a PIN that is to be set"));
    }
    Ok(())
}

impl fmt::Debug for FileAuthenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileAuthenticator")
    }
}

#[expect(clippy::disallowed_methods, reason = "the PIN was compared by the only caller")]
fn proof(id: OperatorId, role: Role, now: &Now) -> OperatorProof {
    role::danger::authenticated(id, role, now.mono + limits::PROOF_LIFETIME.default)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        let context = "the authenticator did not answer";
        PersistenceError::caused_by(ErrorCode::Internal, context, error)
    })?
}
