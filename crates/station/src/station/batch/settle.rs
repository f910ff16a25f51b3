//! How items end: with their task, or, where that is gone, when the housekeeping looks at them.

use zmon_domain::audit::EventType;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::SessionId;
use zmon_domain::role::Actor;
use zmon_domain::time::{Now, is_expired};

use super::{failed, item_event};
use crate::error::StationError;
use crate::ports::{BatchItemRow, BatchWrite, Refusal, StationWrite};
use crate::station::Station;

impl Station {
    /// Ends the items that are at work by the book, and by no task of this process: those of an earlier
    /// run, or of another process, whose sessions have ended, and those that never got one.
    pub(in crate::station) async fn settle_batches(&self, now: &Now) -> Result<(), StationError> {
        for item in self.parts.store.running_batch_items().await? {
            if !self.batches.is_running(&(item.batch, item.number)) {
                self.settle_item(now, &item).await;
            }
        }
        Ok(())
    }

    /// The registry learns what a device carries from whoever runs its session. Where nobody could go on
    /// with that, the item says it.
    async fn carried(
        &self,
        item: &BatchItemRow,
        session: &SessionId,
    ) -> Result<Option<StationWrite>, StationError> {
        let Some(device) = &item.device_id else { return Ok(None) };
        let answer = self.parts.store.session(session).await?.and_then(|row| row.answer);
        if answer.is_some() {
            return Ok(None);
        }
        let settings = self.details(device, item.wanted.clone()).await?.settings;
        Ok(Some(StationWrite::Assign { device_id: device.clone(), settings }))
    }

    /// Ends an item as its session has ended; one without a session when no claim can come any more.
    pub(super) async fn settle_item(&self, now: &Now, item: &BatchItemRow) {
        let outcome = match &item.session {
            Some(session) => self.outcome_of(session).await,
            None => self.given_up(now, item),
        };
        match outcome {
            Ok(Some(outcome)) => self.end_item(now, item, outcome).await,
            Ok(None) => {}
            Err(error) => tracing::warn!(batch = %item.batch, row = item.number, %error, "an item"),
        }
    }

    fn given_up(
        &self,
        now: &Now,
        item: &BatchItemRow,
    ) -> Result<Option<Result<(), ErrorReport>>, StationError> {
        let patience = self.parts.policy.session.claim_without_pair;
        let wall = Self::wall(now)?;
        let over = item.begun_at.is_none_or(|begun| is_expired(wall, begun + patience));
        Ok(over.then(|| Err(ErrorCode::SessionExpired.into())))
    }

    /// Writes down how an item has ended. When that cannot be written the item stays at work, and the
    /// housekeeping looks at it again.
    pub(super) async fn end_item(
        &self,
        now: &Now,
        item: &BatchItemRow,
        outcome: Result<(), ErrorReport>,
    ) {
        let row = item_event(EventType::BatchItemEnded, &Actor::System, item);
        let row = match item.session {
            Some(session) => row.session(session),
            None => row,
        };
        let error = outcome.err();
        let row = match &error {
            Some(report) => failed(row, report.code),
            None => row,
        };
        let (batch, number) = (item.batch, item.number);
        let Some(at) = now.wall else { return };
        let mut writes = Vec::new();
        if let (None, Some(session)) = (&error, &item.session) {
            match self.carried(item, session).await {
                Ok(write) => writes.extend(write),
                Err(error) => {
                    tracing::warn!(%batch, row = number, %error, "an item has no end yet");
                    return;
                }
            }
        }
        writes.push(StationWrite::Batch(BatchWrite::End { batch, number, error, at }));
        match self.try_commit(now, vec![row], writes).await {
            // Somebody else has ended it.
            Ok(Ok(()) | Err(Refusal::Batch(_))) => {}
            Ok(Err(refusal)) => drop(Self::unexpected(&refusal)),
            Err(error) => tracing::warn!(%batch, row = number, %error, "an item has no end yet"),
        }
        self.batch_moved(batch);
    }
}
