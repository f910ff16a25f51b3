//! The courier route (D7): an operator's machine, or files in their hand, between device and station.

use std::sync::Arc;

use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::SessionId;
use zmon_domain::limits;
use zmon_domain::role::{Action, OperatorProof};
use zmon_domain::route::Route;
use zmon_wire::carry::{CourierAnswer, Message, Reply, Return};
use zmon_wire::kind::V1;

use super::Station;
use crate::error::StationError;
use crate::session::{Command, SessionHandle};

impl Station {
    /// `GET /api/provisioning/pair/{sessionId}/courier`: the next message for the device, to the
    /// operator of the session. While the station is at work it waits a little for it. Asking again
    /// gives the same message.
    ///
    /// # Errors
    /// `not_permitted`; `session_unknown` for a session that is not this operator's or has ended;
    /// `state_conflict` where nobody has said where the device is; storage errors.
    pub async fn courier_message(
        self: &Arc<Self>,
        proof: &OperatorProof,
        id: &SessionId,
    ) -> Result<CourierAnswer, StationError> {
        self.authorise(proof, Action::Pair, &self.now()).await?;
        let session = self.running_of(proof, id).await?;
        self.hold(&session).await;
        // Nobody has said where a device is that fetches its messages by itself.
        let target = session.target().ok_or(ErrorCode::StateConflict)?;
        let port = target.port.try_into().map_err(|_| ErrorCode::Internal)?;
        let message = self.take(&session, Route::Courier).await?;
        Ok(CourierAnswer {
            v: V1::default(),
            session_id: session.id,
            device_id: session.device_id.clone(),
            ip_address: target.address,
            port,
            device_key16: target.thumbprint16,
            message,
        })
    }

    /// `POST /api/provisioning/pair/{sessionId}/courier`: what the device has answered.
    ///
    /// # Errors
    /// As [`Station::courier_message`]; `session_mismatch` for the answer of another session,
    /// `state_conflict` for one that nobody waits for, both with a row; why the session refuses it.
    pub async fn courier_return(
        self: &Arc<Self>,
        proof: &OperatorProof,
        id: &SessionId,
        answer: Return,
    ) -> Result<(), StationError> {
        let now = self.now();
        self.authorise(proof, Action::Pair, &now).await?;
        let session = self.running_of(proof, id).await?;
        let waits = session.view().message;
        let code = if answer.session_id != *id {
            ErrorCode::SessionMismatch
        } else if waits.is_none_or(|message| !message.is_answered_by(&answer.reply)) {
            ErrorCode::StateConflict
        } else {
            return self.give(&session, answer.reply).await;
        };
        let row = AuditEvent::failed(EventType::ReplyRefused, proof.actor(), code)
            .device(&session.device_id)
            .session(*id)
            .with("route", Route::Courier)
            .with("of", answer.session_id);
        self.refuse(&now, row, code.into()).await
    }

    /// The operator's own session, here, while it runs.
    pub(super) async fn running_of(
        self: &Arc<Self>,
        proof: &OperatorProof,
        id: &SessionId,
    ) -> Result<SessionHandle, StationError> {
        let own = self.own_session_here(proof, id).await?;
        own.ok_or_else(|| ErrorCode::SessionUnknown.into())
    }

    /// Hands a device's answer to its session, which waits for nobody but carriers.
    pub(super) async fn give(
        &self,
        session: &SessionHandle,
        reply: Reply,
    ) -> Result<(), StationError> {
        match session.view().message {
            Some(message) if message.is_answered_by(&reply) => {
                session.ask(|done| Command::Reply(Box::new(reply), done)).await
            }
            // It has been taken before, or nobody has asked.
            Some(_) | None => Err(ErrorCode::StateConflict.into()),
        }
    }

    /// Takes the message that waits, if one does; the row is durable before it leaves.
    pub(super) async fn take(
        &self,
        session: &SessionHandle,
        route: Route,
    ) -> Result<Option<Message>, StationError> {
        if session.view().message.is_none() {
            return Ok(None);
        }
        match session.ask(|done| Command::Fetch(route, done)).await {
            Ok(()) => Ok(session.view().message.map(|message| Message::clone(&message))),
            // It was answered in this moment.
            Err(error) if error.code() == ErrorCode::StateConflict => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits a little until there is a message, or there will be none.
    pub(super) async fn hold(&self, session: &SessionHandle) {
        let until = self.now().mono + limits::POLL_HOLD.default;
        let settled = |view: &crate::session::SessionView| {
            view.message.is_some() || view.is_idle() || view.phase.is_final()
        };
        tokio::select! {
            biased;
            _view = session.wait_for(settled) => {}
            () = self.parts.clock.sleep_until(until) => {}
        }
    }
}
