//! Sessions that another process of the station runs: read from the record, or taken over (D11).
//!
//! A request that only reads is answered from what is kept of the session. One that changes it takes it over,
//! as soon as nothing is under way that would be begun a second time; until then it waits.

use core::time::Duration;
use std::sync::Arc;

use tokio::sync::watch;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::SessionId;
use zmon_domain::role::OperatorProof;
use zmon_domain::time::Now;

use super::Station;
use super::follow::LOOK;
use crate::error::StationError;
use crate::ports::SessionRow;
use crate::session::{SessionHandle, SessionView};

/// How long to wait before asking again for a session that is at work elsewhere.
const AT_WORK: Duration = Duration::from_secs(5);

impl Station {
    /// The session, if it runs here, and as far as the record knows still does.
    pub(super) async fn running(
        &self,
        id: &SessionId,
    ) -> Result<Option<SessionHandle>, StationError> {
        let live = self.sessions.get(id);
        if live.is_none() || !self.parts.store.is_shared() {
            return Ok(live);
        }
        let row = self.parts.store.session(id).await?;
        Ok(row.map_or(live, |row| self.sessions.of_epoch(id, row.epoch)))
    }

    /// The running session, here; `None` when it has ended, or nobody can go on with it.
    ///
    /// # Errors
    /// `state_conflict`, with the time to come back after, while another process is at work on it.
    pub(super) async fn session_here(
        self: &Arc<Self>,
        id: &SessionId,
    ) -> Result<Option<SessionHandle>, StationError> {
        let until = self.now().mono + self.parts.policy.pair_wait;
        loop {
            let live = self.sessions.get(id);
            if live.is_some() && !self.parts.store.is_shared() {
                return Ok(live);
            }
            let now = self.now();
            let Some(row) = self.parts.store.session(id).await? else { return Ok(live) };
            let live = self.sessions.of_epoch(id, row.epoch);
            if live.is_some() || row.phase.is_final() || row.owner.is_none() {
                return Ok(live);
            }
            if let Some(taken) = self.take_if_at_rest(&row, &now).await? {
                return Ok(Some(taken));
            }
            if now.mono >= until {
                return Err(StationError::retry_after(ErrorCode::StateConflict, AT_WORK));
            }
            self.parts.clock.sleep_until(now.mono + LOOK).await;
        }
    }

    /// The operator's own running session, here.
    pub(super) async fn own_session_here(
        self: &Arc<Self>,
        proof: &OperatorProof,
        id: &SessionId,
    ) -> Result<Option<SessionHandle>, StationError> {
        let own = match self.sessions.get(id) {
            Some(live) => live.operator,
            None => self.parts.store.session(id).await?.and_then(|row| row.operator),
        };
        // Nobody takes over what is not theirs.
        if own.as_ref() == Some(proof.id()) { self.session_here(id).await } else { Ok(None) }
    }

    /// Takes a session over from another process, or from nobody, unless something is under way there.
    pub(super) async fn take_if_at_rest(
        self: &Arc<Self>,
        row: &SessionRow,
        now: &Now,
    ) -> Result<Option<SessionHandle>, StationError> {
        let _opening = self.opening.lock().await;
        if let Some(live) = self.sessions.of_epoch(&row.id, row.epoch) {
            return Ok(Some(live));
        }
        if self.is_run_elsewhere(row, now)? {
            let kept = self.kept(&row.id, now).await?;
            if kept.is_none_or(|(machine, _)| machine.is_at_work()) {
                return Ok(None);
            }
        }
        self.adopt(row, now).await
    }

    /// What is to be seen of a session that does not run here.
    pub(super) async fn view_of(&self, row: SessionRow) -> Result<SessionView, StationError> {
        let now = self.now();
        if row.phase.is_final() || row.owner.is_none() {
            return Ok(SessionView::of_row(row));
        }
        let kept = self.kept(&row.id, &now).await?;
        Ok(match kept {
            Some((machine, _)) => SessionView::of_machine(&machine, &now),
            None => SessionView::of_row(row),
        })
    }

    /// The views of a session that runs elsewhere, until it has ended or nobody looks any more.
    pub(super) async fn views_of(
        self: &Arc<Self>,
        row: SessionRow,
    ) -> Result<watch::Receiver<SessionView>, StationError> {
        let id = row.id;
        let (sender, views) = watch::channel(self.view_of(row).await?);
        let station = Arc::clone(self);
        drop(tokio::spawn(async move {
            while !sender.is_closed() && !sender.borrow().phase.is_final() {
                station.parts.clock.sleep_until(station.now().mono + LOOK).await;
                let Ok(Some(row)) = station.parts.store.session(&id).await else { continue };
                if let Ok(view) = station.view_of(row).await {
                    sender.send_if_modified(|old| {
                        let moved = old.phase != view.phase
                            || old.words != view.words
                            || old.route != view.route
                            || old.pair_by.is_some() != view.pair_by.is_some();
                        *old = view;
                        moved
                    });
                }
            }
        }));
        Ok(views)
    }
}
