//! Several stations on one record: what others have done to it is read from it, each second.
//!
//! The rows are the truth, and there is no second telling of them: one question asks where every session of
//! this process stands by its epoch and its certificate, another for the number of the latest revocation
//! list. That a certificate is revoked needs none of it: each request over one looks its row up.

use core::time::Duration;
use std::sync::{Arc, PoisonError};

use zmon_domain::ids::SessionId;
use zmon_domain::limits;
use zmon_domain::time::{Now, Tick};
use zmon_wire::admin::Readiness;
use zmon_wire::kind::Obstacle;

use super::Station;
use crate::error::StationError;
use crate::events::StationEvent;
use crate::ports::{CertificateState, SessionStanding};
use crate::session::Command;

/// Between two looks.
pub(super) const LOOK: Duration = Duration::from_secs(1);

impl Station {
    /// Whether pairings are taken, from the record itself: what is in the way, if anything is.
    pub async fn readiness(&self) -> Readiness {
        let now = self.now();
        let mut reasons = Vec::new();
        if self.parts.store.crl_number().await.is_err() {
            reasons.push(Obstacle::Store);
        }
        if self.is_behind(&now) {
            reasons.push(Obstacle::Behind);
        }
        let list = self.crl.borrow().clone();
        if list.is_none_or(|list| now.wall.is_none_or(|wall| wall > list.next_update)) {
            reasons.push(Obstacle::RevocationList);
        }
        Readiness { ready: reasons.is_empty(), reasons }
    }

    /// Reads what other stations have done to the record, if there are any.
    ///
    /// # Errors
    /// Storage errors.
    pub async fn follow_record(&self) -> Result<(), StationError> {
        if !self.parts.store.is_shared() {
            return Ok(());
        }
        let asked = self.now().mono;
        let running = self.sessions.epochs();
        if !running.is_empty() {
            let standing = self.parts.store.sessions_of(&self.parts.instance).await?;
            for (id, epoch) in running {
                match standing.iter().find(|standing| standing.id == id) {
                    Some(found) if found.epoch == epoch => self.tell_verdict(found),
                    Some(found) if found.epoch > epoch => self.sessions.give_way(&id, epoch),
                    Some(_) => {}
                    None => self.look_for(&id, epoch).await?,
                }
            }
        }
        self.follow_revocations().await?;
        self.has_read(asked);
        Ok(())
    }

    /// All that others had done to the record at `asked` is known here.
    pub(super) fn has_read(&self, asked: Tick) {
        if self.parts.store.is_shared() {
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked);
        }
    }

    /// Before anything is claimed, issued or committed: a process that is behind reads first, and one that
    /// cannot does none of it.
    pub(crate) async fn keep_up(&self, now: &Now) -> Result<(), StationError> {
        if self.is_behind(now) { self.follow_record().await } else { Ok(()) }
    }

    fn is_behind(&self, now: &Now) -> bool {
        let seen: Option<Tick> = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.is_some_and(|seen| now.mono.since(seen) > limits::RECORD_LAG.default)
    }

    /// A device may have committed, or asked, at any station.
    fn tell_verdict(&self, standing: &SessionStanding) {
        let verdict = match standing.certificate {
            None | Some((_, CertificateState::Pending, _)) => return,
            Some((serial, CertificateState::Revoked, false)) => Command::Aborted(serial),
            Some((serial, ..)) => Command::Committed(serial),
        };
        self.sessions.tell_if_idle(&standing.id, verdict);
    }

    /// A session that runs here and is not this process's any more: it has ended a moment ago, or another
    /// process has taken it over.
    async fn look_for(&self, id: &SessionId, epoch: u64) -> Result<(), StationError> {
        let row = self.parts.store.session(id).await?;
        if row.is_some_and(|row| row.epoch > epoch) {
            self.sessions.give_way(id, epoch);
        }
        Ok(())
    }

    /// Another station may have published a list.
    async fn follow_revocations(&self) -> Result<(), StationError> {
        let own = self.crl.borrow().as_ref().map_or(0, |list| list.number);
        if self.parts.store.crl_number().await? <= own {
            return Ok(());
        }
        if let Some(latest) = self.parts.store.latest_crl().await? {
            let number = latest.number;
            let mut is_newer = false;
            self.crl.send_if_modified(|kept| {
                is_newer = kept.as_ref().is_none_or(|kept| kept.number < number);
                if is_newer {
                    *kept = Some(Arc::new(latest));
                }
                is_newer
            });
            if is_newer {
                self.emit(StationEvent::CrlPublished { number });
            }
        }
        Ok(())
    }
}
