//! An operator changes the own password.

use std::net::IpAddr;

use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::{ErrorCode, FieldError};
use zmon_domain::role::Actor;

use super::Station;
use crate::error::StationError;
use crate::password::Password;
use crate::ports::{Refusal, StationWrite};

impl Station {
    /// Sets a new password for the account of a login and ends the account's other logins.
    ///
    /// The present password is asked although there is a login: a tablet that was left lying must not
    /// be enough to take the account over. Guesses at it count and lock as those of a login.
    ///
    /// # Errors
    /// As [`Station::authenticate`] but without `password_change_required`, which this ends;
    /// `authentication_failed` for a wrong present password; `authentication_locked` and
    /// `too_many_requests` as [`Station::login`]; `request_malformed` for a new password that is too
    /// short, too long or the present one; storage errors.
    pub async fn change_password(
        &self,
        source: IpAddr,
        bearer: &str,
        present: &str,
        new: &str,
    ) -> Result<(), StationError> {
        let now = self.now();
        let (login, account) = self.logged_in(bearer, &now).await?;
        if let Some(wait) = self.lockout().wait(source, &account.id, now.mono) {
            return Err(StationError::retry_after(ErrorCode::AuthenticationLocked, wait));
        }
        let Some(_turn) = self.turns.take(source) else {
            return Err(ErrorCode::TooManyRequests.into());
        };
        let old = Password::parse(present)?;
        let new = Password::parse_new(new).map_err(|error| error.at("newPassword"))?;
        let actor = Actor::Operator { id: account.id.clone(), role: account.role };
        let same = old.expose() == new.expose();
        if !self.verify(old, Some(account.password_hash.clone())).await? {
            let wait = self.lockout().failed(source, &account.id, now.mono);
            let mut row = refused(actor, source);
            if let Some(wait) = wait {
                row = row.with("lockedSeconds", wait.as_secs());
            }
            return self.refuse(&now, row, ErrorCode::AuthenticationFailed.into()).await;
        }
        self.lockout().succeeded(source, &account.id);
        if same {
            return Err(FieldError::new("newPassword", "must not be the present one").into());
        }
        let row = AuditEvent::new(EventType::PasswordChanged, actor.clone()).with("source", source);
        let write = StationWrite::SetPassword {
            operator: account.id,
            before: account.password_hash,
            after: self.hash(new).await?,
            keep: login.token_hash,
        };
        match self.try_commit(&now, vec![row], vec![write]).await? {
            Ok(()) => Ok(()),
            // Somebody else was faster: what was typed is the present password no more.
            Err(Refusal::PasswordStale) => {
                let code = ErrorCode::AuthenticationFailed;
                self.refuse(&now, refused(actor, source), code.into()).await
            }
            Err(refusal) => Err(Self::unexpected(&refusal)),
        }
    }
}

fn refused(actor: Actor, source: IpAddr) -> AuditEvent {
    AuditEvent::failed(EventType::PasswordChanged, actor, ErrorCode::AuthenticationFailed)
        .with("source", source)
}
