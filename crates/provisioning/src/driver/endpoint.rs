//! What the listener calls.

use async_trait::async_trait;
use tokio::time::timeout;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::limits;
use zmon_protocol::device::{DeviceInput, DeviceReply};
use zmon_wire::session::{DeliveryAnswer, SessionAnswer, SessionOpen};

use super::handle::{Handle, Reception};
use crate::ports::DeviceEndpoint;

/// The driver as the listener sees it.
pub(crate) struct Endpoint(pub(super) Handle);

#[async_trait]
impl DeviceEndpoint for Endpoint {
    async fn session(&self, open: SessionOpen) -> Result<SessionAnswer, ErrorReport> {
        let SessionOpen { hello, claim_mac, .. } = open;
        let input = DeviceInput::SessionOpen { hello: hello.into_bytes(), claim_mac };
        let DeviceReply::Identity(identity) = self.0.input(input).await? else {
            tracing::error!("a session got the reply of something else");
            return Err(ErrorReport::from(ErrorCode::Internal));
        };
        Ok(SessionAnswer { identity })
    }

    async fn configuration(&self, envelope: Vec<u8>) -> Result<DeliveryAnswer, ErrorReport> {
        let (session, delivery) = match self.0.configuration(envelope).await? {
            Reception::Ended(status) => return Ok(DeliveryAnswer { status }),
            Reception::Accepted { verified, delivery } => (verified.session(), delivery),
        };
        match timeout(limits::DELIVERY_TIMEOUT.default, delivery).await {
            Ok(Ok(status)) => Ok(DeliveryAnswer { status }),
            Ok(Err(_session_over)) => Err(ErrorReport::from(ErrorCode::Cancelled)),
            Err(_elapsed) => {
                let status = self.0.pending(session).await?;
                Ok(DeliveryAnswer { status })
            }
        }
    }

    async fn junk(&self, code: ErrorCode) {
        // A row that cannot be written is not worth an answer to a stranger.
        drop(self.0.input(DeviceInput::Junk { code }).await);
    }
}
