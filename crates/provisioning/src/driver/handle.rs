//! How others talk to the driver.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use zmon_crypto::jws::{self, Typ};
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::SessionId;
use zmon_domain::role::OperatorProof;
use zmon_domain::route::Route;
use zmon_protocol::device::{DeviceInput, DeviceReply};
use zmon_wire::kind::V1;
use zmon_wire::session::StatusDocument;
use zmon_wire::strict;

use super::{AnchorImport, Driver, endpoint::Endpoint};
use crate::ports::AnchorStore;
use crate::service::VerifiedConfiguration;

/// Commands that may wait for the driver; more callers wait outside.
pub(crate) const QUEUE: usize = 32;

/// A request to the driver, with where its answer goes.
pub(crate) enum Command {
    /// One input of the machine.
    Input(DeviceInput, Reply<DeviceReply>),
    /// An override of the interlock, and the opening of the window it is for.
    Override(DeviceInput, DeviceInput, Reply<DeviceReply>),
    /// A sealed configuration.
    Configuration(Route, Vec<u8>, Reply<Reception>),
    /// One more anchor, and where it is kept.
    ImportAnchor(OperatorProof, Box<AnchorImport>, Arc<dyn AnchorStore>, Reply<()>),
    /// Sign that a session is still under way.
    Pending(SessionId, Reply<String>),
    /// Close everything and end.
    Stop(oneshot::Sender<()>),
}

type Reply<T> = oneshot::Sender<Result<T, ErrorReport>>;

/// What became of a configuration that was not refused.
pub(crate) enum Reception {
    /// It is being applied.
    Accepted {
        /// Evidence, and the session's result.
        verified: VerifiedConfiguration,
        /// The signed status, when the session ends.
        delivery: oneshot::Receiver<String>,
    },
    /// It was applied before; the same signed status again.
    Ended(String),
}

/// Sends commands. Weak: the driver ends with the service, not with the last listener.
#[derive(Clone)]
pub(crate) struct Handle(mpsc::WeakSender<Command>);

impl Handle {
    pub(crate) fn new(sender: &mpsc::Sender<Command>) -> Self {
        Self(sender.downgrade())
    }

    /// Hands `input` to the machine and waits for its reply.
    pub(crate) async fn input(&self, input: DeviceInput) -> Result<DeviceReply, ErrorReport> {
        self.ask(|reply| Command::Input(input, reply)).await
    }

    /// Hands an override to the machine and, once its row is durable, opens a window under it.
    pub(crate) async fn overriding(
        &self,
        overriding: DeviceInput,
        opening: DeviceInput,
    ) -> Result<DeviceReply, ErrorReport> {
        self.ask(|reply| Command::Override(overriding, opening, reply)).await
    }

    /// Hands over an envelope and waits until it is accepted or refused.
    pub(crate) async fn configuration(
        &self,
        route: Route,
        envelope: Vec<u8>,
    ) -> Result<Reception, ErrorReport> {
        self.ask(|reply| Command::Configuration(route, envelope, reply)).await
    }

    /// Hands over an anchor and waits until it counts.
    pub(crate) async fn import_anchor(
        &self,
        proof: OperatorProof,
        import: AnchorImport,
        store: Arc<dyn AnchorStore>,
    ) -> Result<(), ErrorReport> {
        self.ask(|reply| Command::ImportAnchor(proof, Box::new(import), store, reply)).await
    }

    /// A signed status that says: not ended yet.
    pub(super) async fn pending(&self, session: SessionId) -> Result<String, ErrorReport> {
        self.ask(|reply| Command::Pending(session, reply)).await
    }

    /// Stops the driver and waits until it has closed everything.
    pub(crate) async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if let Some(sender) = self.0.upgrade()
            && sender.send(Command::Stop(done)).await.is_ok()
        {
            // An error means that the driver is gone already.
            drop(stopped.await);
        }
    }

    /// What the listener calls.
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::new(self.clone(), Route::Push)
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, ErrorReport> {
        let (reply, answer) = oneshot::channel();
        let stopped = || ErrorReport::from(ErrorCode::Cancelled);
        let sender = self.0.upgrade().ok_or_else(stopped)?;
        sender.send(command(reply)).await.map_err(|_closed| stopped())?;
        drop(sender);
        answer.await.map_err(|_closed| stopped())?
    }
}

impl Driver {
    pub(super) async fn command(&mut self, command: Command) {
        match command {
            Command::Input(input, reply) => {
                // Both end in an identity document, which speaks for the log as it is now.
                if input.claims() {
                    self.refresh_checkpoint().await;
                }
                let answer = self.handle_input(input).await;
                // The caller may have stopped waiting; what was done stays done.
                drop(reply.send(answer));
            }
            Command::Override(overriding, opening, reply) => {
                let answer = self.open_overriding(overriding, opening).await;
                drop(reply.send(answer));
            }
            Command::Configuration(route, envelope, reply) => {
                let answer = self.receive(route, envelope).await;
                drop(reply.send(answer));
            }
            Command::ImportAnchor(proof, import, store, reply) => {
                drop(reply.send(self.import_anchor(&proof, &import, &store).await));
            }
            Command::Pending(session, reply) => drop(reply.send(self.sign_pending(session))),
            Command::Stop(done) => drop(done),
        }
    }

    /// The override holds until the window and its session are over; a window that does not open
    /// leaves things as they were.
    async fn open_overriding(
        &mut self,
        overriding: DeviceInput,
        opening: DeviceInput,
    ) -> Result<DeviceReply, ErrorReport> {
        self.handle_input(overriding).await?;
        let before = self.gate.set_overridden(true);
        let opened = self.handle_input(opening).await;
        if opened.is_err() {
            self.gate.set_overridden(before);
        }
        opened
    }

    /// The delivery outlived its bound; the station asks for the outcome later (D13).
    fn sign_pending(&self, session_id: SessionId) -> Result<String, ErrorReport> {
        let document = StatusDocument {
            v: V1::default(),
            session_id,
            state: self.machine.state(),
            success: false,
            code: None,
            configuration_hash: None,
        };
        let payload = strict::to_vec(&document).map_err(|_| ErrorCode::Internal)?;
        let identity = self.parts.keys.identity();
        let mut rng = self.parts.rng.lock();
        jws::sign(Typ::Status, None, &payload, identity, &mut *rng)
            .map_err(|error| error.code().into())
    }

    async fn receive(&mut self, route: Route, envelope: Vec<u8>) -> Result<Reception, ErrorReport> {
        let message = Box::new(DeviceInput::Configuration { envelope });
        let reply = self.handle_input(DeviceInput::By(route, message)).await?;
        if let DeviceReply::Status(status) = reply {
            return Ok(Reception::Ended(status));
        }
        let verified = self.waiting.accepted().filter(|_| reply == DeviceReply::Pending);
        let Some(verified) = verified else {
            tracing::error!("a configuration got the reply of something else");
            return Err(ErrorReport::from(ErrorCode::Internal));
        };
        Ok(Reception::Accepted { verified, delivery: self.waiting.deliver() })
    }
}
