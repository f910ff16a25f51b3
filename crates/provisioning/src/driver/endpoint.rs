//! What the listener calls.

use async_trait::async_trait;
use tokio::time::timeout;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::limits;
use zmon_domain::route::Route;
use zmon_protocol::device::{DeviceInput, DeviceReply};
use zmon_wire::blink::{BlinkAnswer, BlinkRequest};
use zmon_wire::carry::{Message, Reply};
use zmon_wire::kind::V1;
use zmon_wire::pake::{PakeConfirm, PakeStart, PakeStarted, WindowAnswer};
use zmon_wire::session::{DeliveryAnswer, SessionAnswer, SessionOpen};

use super::handle::{Handle, Reception};
use crate::ports::{DeviceEndpoint, dispatch};

/// The driver as the listener sees it.
pub(crate) struct Endpoint {
    handle: Handle,
    /// How its messages come.
    route: Route,
}

impl Endpoint {
    pub(super) fn new(handle: Handle, route: Route) -> Self {
        Self { handle, route }
    }

    async fn input(&self, input: DeviceInput) -> Result<DeviceReply, ErrorReport> {
        self.handle.input(DeviceInput::By(self.route, Box::new(input))).await
    }

    /// A claim by either method is answered by the identity document.
    async fn claim(&self, input: DeviceInput) -> Result<SessionAnswer, ErrorReport> {
        let DeviceReply::Identity(identity) = self.input(input).await? else {
            return Err(other("a claim"));
        };
        Ok(SessionAnswer { identity })
    }
}

fn other(asked: &str) -> ErrorReport {
    tracing::error!(asked, "answered by the reply of something else");
    ErrorReport::from(ErrorCode::Internal)
}

#[async_trait]
impl DeviceEndpoint for Endpoint {
    async fn session(&self, open: SessionOpen) -> Result<SessionAnswer, ErrorReport> {
        let SessionOpen { hello, claim_mac, .. } = open;
        let input = DeviceInput::SessionOpen { hello: hello.into_bytes(), claim_mac };
        self.claim(input).await
    }

    async fn window(&self) -> Result<WindowAnswer, ErrorReport> {
        let DeviceReply::Window(device_id, window) = self.input(DeviceInput::AskWindow).await?
        else {
            return Err(other("a question for the window"));
        };
        Ok(WindowAnswer { v: V1::default(), device_id, window_id: *window.as_bytes() })
    }

    async fn pake_start(&self, start: PakeStart) -> Result<PakeStarted, ErrorReport> {
        let PakeStart { hello, share_p } = start;
        let input = DeviceInput::PakeStart { hello: hello.into_bytes(), share_p };
        let DeviceReply::Share { share_v, confirm_v } = self.input(input).await? else {
            return Err(other("a run of the typed code"));
        };
        Ok(PakeStarted { share_v, confirm_v })
    }

    async fn pake_confirm(&self, confirm: PakeConfirm) -> Result<SessionAnswer, ErrorReport> {
        let PakeConfirm { session_id, confirm_p } = confirm;
        self.claim(DeviceInput::PakeConfirm { session_id, confirm_p }).await
    }

    async fn blink(&self, blink: BlinkRequest) -> Result<BlinkAnswer, ErrorReport> {
        let BlinkRequest { session_id, number, mac } = blink;
        let input = DeviceInput::Blink { session_id, number, mac };
        let DeviceReply::Blinking { seconds } = self.input(input).await? else {
            return Err(other("a blink"));
        };
        Ok(BlinkAnswer { seconds })
    }

    async fn configuration(&self, envelope: Vec<u8>) -> Result<DeliveryAnswer, ErrorReport> {
        let (session, delivery) = match self.handle.configuration(self.route, envelope).await? {
            Reception::Ended(status) => return Ok(DeliveryAnswer { status }),
            Reception::Accepted { verified, delivery } => (verified.session(), delivery),
        };
        match timeout(limits::DELIVERY_TIMEOUT.default, delivery).await {
            Ok(Ok(status)) => Ok(DeliveryAnswer { status }),
            Ok(Err(_session_over)) => Err(ErrorReport::from(ErrorCode::Cancelled)),
            Err(_elapsed) => {
                let status = self.handle.pending(session).await?;
                Ok(DeliveryAnswer { status })
            }
        }
    }

    async fn carried(&self, route: Route, message: Message) -> Result<Reply, ErrorReport> {
        // The same device, and the machine learns which way the message came.
        dispatch(&Self::new(self.handle.clone(), route), message).await
    }

    async fn junk(&self, code: ErrorCode) {
        // A row that cannot be written is not worth an answer to a stranger.
        drop(self.handle.input(DeviceInput::Junk { code }).await);
    }
}
