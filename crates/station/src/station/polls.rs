//! The pull route (D7): a device whose window is open asks for the messages of its pairing.
//!
//! Each poll signs the challenge of the answer before, so that a recorded one is worth nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};

use zmon_crypto::IdentityPublic;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::DeviceId;
use zmon_domain::limits;
use zmon_domain::route::Route;
use zmon_domain::time::{Now, Tick};
use zmon_protocol::station::poll;
use zmon_wire::carry::{Carriage, Poll, PollAnswer, Return};
use zmon_wire::kind::V1;

use super::{Checkpoints, Station, detached};
use crate::error::StationError;
use crate::ports::{DeviceRow, DeviceStatus};
use crate::session::SessionHandle;

/// What is known of a polling device.
#[derive(Debug, Clone, Copy)]
pub(super) struct Polled {
    /// What its next poll must sign.
    challenge: [u8; 32],
    /// When it last did.
    seen: Option<Tick>,
}

/// The devices that have polled; each has proved a key that registry or scan vouch for.
pub(super) type Polls = BTreeMap<DeviceId, Polled>;

impl Station {
    /// `POST /api/provisioning/poll`: what the device has answered, and its next message.
    ///
    /// # Errors
    /// `jws_malformed`, `signature_invalid`, `device_unknown` or `device_key_conflict` before anything
    /// is proved; `device_decommissioned`; storage errors.
    pub async fn poll(self: &Arc<Self>, poll: &[u8]) -> Result<PollAnswer, StationError> {
        let (station, poll) = (Arc::clone(self), poll.to_vec());
        detached(async move { station.answer_poll(&poll).await }).await
    }

    async fn answer_poll(self: &Arc<Self>, bytes: &[u8]) -> Result<PollAnswer, StationError> {
        let (poll, key) = poll::verify(&self.context(Checkpoints::default()), bytes)?;
        let session = self.operated(&poll.device_id).await?;
        let row = self.parts.store.device(&poll.device_id).await?;
        self.vouched(row.as_ref(), session.as_ref(), &key)?;
        let now = self.now();
        let (challenge, fresh) = self.challenge(&poll, &now);
        let carriage = match session.filter(|_| fresh) {
            Some(session) => self.exchange(&session, poll.answer).await,
            None => None,
        };
        Ok(PollAnswer { challenge, fresh, carriage })
    }

    /// Whether this device has polled so lately that it will come for what waits for it.
    pub(crate) fn polls_lately(&self, device: &DeviceId, now: &Now) -> bool {
        let seen = self.polls().get(device).and_then(|polled| polled.seen);
        seen.is_some_and(|seen| now.mono.since(seen) < limits::POLL_SEEN.default)
    }

    /// The running session of an operator about this device.
    async fn operated(
        self: &Arc<Self>,
        device: &DeviceId,
    ) -> Result<Option<SessionHandle>, StationError> {
        let row = self.parts.store.reservation(device).await?;
        let Some(row) = row.filter(|row| row.operator.is_some()) else { return Ok(None) };
        match self.sessions.of_epoch(&row.id, row.epoch) {
            None if row.owner.is_some() => self.take_if_at_rest(&row, &self.now()).await,
            live => Ok(live),
        }
    }

    /// Whether the key that signed is this device's: the registry says so, or else what was scanned.
    fn vouched(
        &self,
        row: Option<&DeviceRow>,
        session: Option<&SessionHandle>,
        key: &IdentityPublic,
    ) -> Result<(), ErrorCode> {
        match row {
            Some(row) if row.identity != key.thumbprint() => Err(ErrorCode::DeviceKeyConflict),
            Some(row) if row.status == DeviceStatus::Decommissioned => {
                Err(ErrorCode::DeviceDecommissioned)
            }
            Some(_) => Ok(()),
            None => {
                let taken = self.parts.policy.session.takes_unregistered();
                let expected = session.and_then(SessionHandle::key16);
                let same = expected == Some(key.thumbprint().short());
                if taken && same { Ok(()) } else { Err(ErrorCode::DeviceUnknown) }
            }
        }
    }

    /// The challenge of the next poll, and whether this one has met its own. One that has not changes
    /// nothing: a recorded poll cannot get in the device's way.
    fn challenge(&self, poll: &Poll, now: &Now) -> ([u8; 32], bool) {
        let mut next = [0; 32];
        self.parts.entropy.generator().fill_bytes(&mut next);
        let mut polls = self.polls();
        let fresh = Polled { challenge: next, seen: None };
        let polled = polls.entry(poll.device_id.clone()).or_insert(fresh);
        if poll.challenge != Some(polled.challenge) {
            return (polled.challenge, false);
        }
        *polled = Polled { challenge: next, seen: Some(now.mono) };
        (next, true)
    }

    /// Hands the device's answer in, and its next message out.
    async fn exchange(&self, session: &SessionHandle, answer: Option<Return>) -> Option<Carriage> {
        // What belongs to another session is late: it has ended.
        if let Some(answer) = answer.filter(|answer| answer.session_id == session.id) {
            if let Err(error) = self.give(session, answer.reply).await {
                tracing::info!(%error, session = %session.id, "the device's answer was not taken");
            }
            self.hold(session).await;
        }
        let message = self.take(session, Route::Pull).await.ok()??;
        let (session_id, device_id) = (session.id, session.device_id.clone());
        Some(Carriage { v: V1::default(), session_id, device_id, message })
    }

    fn polls(&self) -> MutexGuard<'_, Polls> {
        self.polls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
