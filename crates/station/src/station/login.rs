//! Logging in: a password for a bearer token ([W §10.1]).

use std::net::IpAddr;
use std::sync::{MutexGuard, PoisonError};

use zeroize::Zeroizing;
use zmon_crypto::sha256;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::OperatorId;
use zmon_domain::role::{Actor, OperatorProof, danger};
use zmon_domain::time::{Now, is_expired};
use zmon_wire::admin::LoginAnswer;
use zmon_wire::b64;
use zmon_wire::secret::SecretText;

use super::Station;
use crate::error::StationError;
use crate::lockout::Lockout;
use crate::password::Password;
use crate::ports::{LoginRow, OperatorRow, StationWrite};

/// What a bearer token is made of, in bytes: 256 random bits. The station keeps its hash only.
const TOKEN_BYTES: usize = 32;

impl Station {
    /// Logs an operator in. `source` is where the connection comes from.
    ///
    /// # Errors
    /// `authentication_failed`, equal for an unknown account, a wrong password and a disabled
    /// account; `authentication_locked` with the time to wait after repeated failures of this source
    /// with this account, or of this source with any; `too_many_requests` when this source is being answered already; storage
    /// errors.
    pub async fn login(
        &self,
        source: IpAddr,
        operator: &str,
        password: &str,
    ) -> Result<LoginAnswer, StationError> {
        let now = self.now();
        let (Ok(id), Ok(password)) = (OperatorId::parse(operator), Password::parse(password))
        else {
            self.note_junk(source, ErrorCode::AuthenticationFailed);
            return Err(ErrorCode::AuthenticationFailed.into());
        };
        if let Some(wait) = self.lockout().wait(source, &id, now.mono) {
            self.note_junk(source, ErrorCode::AuthenticationLocked);
            return Err(StationError::retry_after(ErrorCode::AuthenticationLocked, wait));
        }
        // One attempt of a source at a time: parallel guesses would outrun the count.
        let Some(_turn) = self.turns.take(source) else {
            self.note_junk(source, ErrorCode::TooManyRequests);
            return Err(ErrorCode::TooManyRequests.into());
        };
        let account = self.parts.store.operator(&id).await?;
        let usable = account.filter(|account| !account.disabled);
        let hash = usable.as_ref().map(|account| account.password_hash.clone());
        if self.verify(password, hash).await?
            && let Some(account) = usable
        {
            self.lockout().succeeded(source, &id);
            self.admit(&now, source, account).await
        } else {
            self.turn_away(&now, source, id).await
        }
    }

    /// Who a bearer token belongs to.
    ///
    /// # Errors
    /// `authentication_failed` for an unknown token and a disabled account, `proof_expired` for an
    /// old one; `password_change_required` while the password is the one that was made for the
    /// account; storage errors.
    pub async fn authenticate(&self, bearer: &str) -> Result<OperatorProof, StationError> {
        let now = self.now();
        let (login, account) = self.logged_in(bearer, &now).await?;
        if account.one_time {
            return Err(ErrorCode::PasswordChangeRequired.into());
        }
        let expires = now.mono + login.expires_at.since(Self::wall(&now)?);
        #[expect(clippy::disallowed_methods, reason = "this is the station's authenticator")]
        Ok(danger::authenticated(account.id, account.role, expires))
    }

    /// Whether a bearer token belongs to somebody, whatever they may do with it: for ending a login.
    ///
    /// # Errors
    /// As [`Station::authenticate`], without `password_change_required`.
    pub async fn recognise(&self, bearer: &str) -> Result<(), StationError> {
        self.logged_in(bearer, &self.now()).await.map(drop)
    }

    pub(super) async fn logged_in(
        &self,
        bearer: &str,
        now: &Now,
    ) -> Result<(LoginRow, OperatorRow), StationError> {
        let wall = Self::wall(now)?;
        let hash = token_hash(bearer).ok_or(ErrorCode::AuthenticationFailed)?;
        let login = self.parts.store.login(&hash).await?.ok_or(ErrorCode::AuthenticationFailed)?;
        if is_expired(wall, login.expires_at) {
            return Err(ErrorCode::ProofExpired.into());
        }
        let account = self.parts.store.operator(&login.operator).await?;
        let account =
            account.filter(|account| !account.disabled).ok_or(ErrorCode::AuthenticationFailed)?;
        Ok((login, account))
    }

    /// Ends a login. An unknown token is no error.
    ///
    /// # Errors
    /// Storage errors.
    pub async fn logout(&self, bearer: &str) -> Result<(), StationError> {
        let Some(token_hash) = token_hash(bearer) else { return Ok(()) };
        let Some(login) = self.parts.store.login(&token_hash).await? else { return Ok(()) };
        let actor = Actor::Operator { id: login.operator, role: login.role };
        let row = AuditEvent::new(EventType::LoggedOut, actor);
        let writes = vec![StationWrite::DropLogin { token_hash }];
        self.commit_all(&self.now(), vec![row], writes).await
    }

    /// Computes a password's hash for a new account.
    pub(super) async fn hash(&self, password: Password) -> Result<String, StationError> {
        let mut rng = self.parts.entropy.generator();
        let hash = self.blocking(move || password.hash(rng.as_mut())).await?;
        hash.ok_or_else(|| ErrorCode::Internal.into())
    }

    pub(super) async fn verify(
        &self,
        password: Password,
        hash: Option<String>,
    ) -> Result<bool, StationError> {
        self.blocking(move || password.verify(hash.as_deref())).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StationError> {
        let permit = self.hashes.acquire().await.map_err(|_| ErrorCode::Internal)?;
        let result = tokio::task::spawn_blocking(work).await.map_err(|_| ErrorCode::Internal)?;
        drop(permit);
        Ok(result)
    }

    async fn admit(
        &self,
        now: &Now,
        source: IpAddr,
        account: OperatorRow,
    ) -> Result<LoginAnswer, StationError> {
        let mut bytes = Zeroizing::new([0u8; TOKEN_BYTES]);
        self.parts.entropy.generator().fill_bytes(bytes.as_mut_slice());
        let token = SecretText::from_string(b64::encode_url(bytes.as_slice()));
        let expires_at = Self::wall(now)? + self.parts.policy.login_lifetime;
        let actor = Actor::Operator { id: account.id.clone(), role: account.role };
        let row = AuditEvent::new(EventType::LoginSucceeded, actor.clone()).with("source", source);
        let must_change_password = account.one_time;
        let login = LoginRow {
            token_hash: sha256(bytes.as_slice()),
            operator: account.id,
            role: account.role,
            expires_at,
        };
        let operator = login.operator.clone();
        let writes =
            vec![StationWrite::DropLoginsBefore(Self::wall(now)?), StationWrite::AddLogin(login)];
        self.commit_all(now, vec![row], writes).await?;
        // A change of the password that came between ended the logins there were, not this one.
        let present = self.parts.store.operator(&operator).await?;
        if present.is_none_or(|present| present.password_hash != account.password_hash) {
            let row = AuditEvent::new(EventType::LoggedOut, actor);
            let writes = vec![StationWrite::DropLogin { token_hash: sha256(bytes.as_slice()) }];
            self.commit_all(now, vec![row], writes).await?;
            return Err(ErrorCode::AuthenticationFailed.into());
        }
        Ok(LoginAnswer { token, role: account.role, expires_at, must_change_password })
    }

    async fn turn_away<T>(
        &self,
        now: &Now,
        source: IpAddr,
        id: OperatorId,
    ) -> Result<T, StationError> {
        let wait = self.lockout().failed(source, &id, now.mono);
        // Strangers must not make the log grow as fast as they can ask (D16).
        if !self.junk().own_row(source, now.mono) {
            self.note_junk(source, ErrorCode::AuthenticationFailed);
            return Err(ErrorCode::AuthenticationFailed.into());
        }
        let mut row = AuditEvent::failed(
            EventType::LoginRefused,
            Actor::Peer,
            ErrorCode::AuthenticationFailed,
        )
        .with("operator", &id)
        .with("source", source);
        if let Some(wait) = wait {
            row = row.with("lockedSeconds", wait.as_secs());
        }
        self.refuse(now, row, ErrorCode::AuthenticationFailed.into()).await
    }

    pub(super) fn lockout(&self) -> MutexGuard<'_, Lockout> {
        self.lockout.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn token_hash(bearer: &str) -> Option<[u8; 32]> {
    let bytes = Zeroizing::new(b64::decode_url(bearer).ok()?);
    (bytes.len() == TOKEN_BYTES).then(|| sha256(&bytes))
}
