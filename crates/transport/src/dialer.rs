//! Station to device: the pinned connection of a pairing, one at a time (D17, D18).

use core::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until};
use zmon_domain::limits;
use zmon_station::ports::{Claim, DeviceConnection, DeviceDialer, DialError, Target};
use zmon_wire::blink::{BlinkAnswer, BlinkRequest};
use zmon_wire::pake::{PakeConfirm, PakeStart, PakeStarted, WindowAnswer};
use zmon_wire::session::{DeliveryAnswer, SessionAnswer, SessionOpen};
use zmon_wire::strict;

use crate::client::{
    Answer, Ask, ClientError, ClientTimes, Connection, Endpoint, JSON, OCTETS, reported,
};
use crate::paths;
use crate::tls::{TlsContext, pinned_client};

/// How long a delivery may take: the device answers when it has applied the configuration, at most
/// 30 s later, and a margin for the way.
const DELIVERY: Duration = limits::DELIVERY_TIMEOUT.default.saturating_add(Duration::from_secs(5));

/// Dials devices over TLS 1.3 pinned to the thumbprint of the token or of the registry.
///
/// Every failure to get a pinned connection takes exactly the connect bound, so that time tells a
/// closed port from a filtered one or a wrong key no better than the text does (D18).
#[derive(Debug, Clone)]
pub struct TlsDeviceDialer {
    tls: TlsContext,
    times: ClientTimes,
}

impl TlsDeviceDialer {
    /// A dialer with the default bounds.
    pub fn new(tls: TlsContext) -> Self {
        Self::with_times(tls, ClientTimes::default())
    }

    /// A dialer with bounds of its own.
    pub fn with_times(tls: TlsContext, times: ClientTimes) -> Self {
        Self { tls, times }
    }

    /// Connects; every failure takes the whole bound.
    async fn connect(&self, target: &Target) -> Result<Connection, DialError> {
        #[expect(clippy::disallowed_methods, reason = "the uniform answer waits on tokio's timer")]
        let uniform = Instant::now() + self.times.connect;
        match self.try_connect(target).await {
            Ok(connection) => Ok(connection),
            Err(cause) => {
                sleep_until(uniform).await;
                Err(DialError::Unreachable { cause })
            }
        }
    }

    async fn try_connect(&self, target: &Target) -> Result<Connection, String> {
        let tls = pinned_client(&self.tls, target.thumbprint16).map_err(|e| e.to_string())?;
        let endpoint = Endpoint::address(target.address.ip(), target.port);
        Connection::open(&endpoint, tls, self.times.connect).await.map_err(|e| e.to_string())
    }

    fn pinned(
        &self,
        target: &Target,
        claim: Option<Claim>,
        connection: Option<Connection>,
    ) -> Pinned {
        let (dialer, target) = (self.clone(), target.clone());
        Pinned { dialer, target, claim, connection }
    }
}

#[async_trait]
impl DeviceDialer for TlsDeviceDialer {
    async fn open(
        &self,
        target: &Target,
        open: SessionOpen,
    ) -> Result<(SessionAnswer, Box<dyn DeviceConnection>), DialError> {
        let mut connection = self.connect(target).await?;
        let claim = Claim::Token(open);
        let answer = send(&claim, &mut connection, self.times.request).await?;
        Ok((answer, Box::new(self.pinned(target, Some(claim), Some(connection)))))
    }

    async fn window(
        &self,
        target: &Target,
    ) -> Result<(WindowAnswer, Box<dyn DeviceConnection>), DialError> {
        let mut connection = self.connect(target).await?;
        let ask = Ask::get(paths::WINDOW);
        let answer = accepted(connection.send(ask, self.times.request).await)?;
        Ok((answer, Box::new(self.pinned(target, None, Some(connection)))))
    }

    fn again(&self, target: &Target, claim: Option<Claim>) -> Box<dyn DeviceConnection> {
        Box::new(self.pinned(target, claim, None))
    }
}

/// Claims, or claims again.
async fn send(
    claim: &Claim,
    connection: &mut Connection,
    within: Duration,
) -> Result<SessionAnswer, DialError> {
    let ask = match claim {
        Claim::Token(open) => post(paths::SESSION, open)?,
        Claim::Code(confirm) => post(paths::PAKE_CONFIRM, confirm)?,
    };
    accepted(connection.send(ask, within).await)
}

/// One connection at a time, opened again if need be: to the same target, by the same claim.
struct Pinned {
    dialer: TlsDeviceDialer,
    target: Target,
    /// None until a typed code's run has come to its end.
    claim: Option<Claim>,
    /// None once an answer did not come: what it may still carry belongs to another request.
    connection: Option<Connection>,
}

impl Pinned {
    async fn send<T: DeserializeOwned>(
        &mut self,
        ask: Ask<'_>,
        within: Duration,
    ) -> Result<T, DialError> {
        let kept = self.connection.take().filter(|connection| !connection.is_closed());
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.opened_again().await?,
        };
        let answer = connection.send(ask, within).await;
        if answer.is_ok() {
            self.connection = Some(connection);
        }
        accepted(answer)
    }

    async fn opened_again(&self) -> Result<Connection, DialError> {
        let mut connection = self.dialer.connect(&self.target).await?;
        if let Some(claim) = &self.claim {
            let _same = send(claim, &mut connection, self.dialer.times.request).await?;
        }
        Ok(connection)
    }
}

#[async_trait]
impl DeviceConnection for Pinned {
    async fn pake_start(&mut self, start: PakeStart) -> Result<PakeStarted, DialError> {
        self.send(post(paths::PAKE_START, &start)?, self.dialer.times.request).await
    }

    async fn pake_confirm(&mut self, confirm: PakeConfirm) -> Result<SessionAnswer, DialError> {
        let ask = post(paths::PAKE_CONFIRM, &confirm)?;
        let answer = self.send(ask, self.dialer.times.request).await?;
        self.claim = Some(Claim::Code(confirm));
        Ok(answer)
    }

    async fn blink(&mut self, request: BlinkRequest) -> Result<BlinkAnswer, DialError> {
        self.send(post(paths::BLINK, &request)?, self.dialer.times.request).await
    }

    async fn deliver(&mut self, envelope: Vec<u8>) -> Result<DeliveryAnswer, DialError> {
        self.send(Ask::post(paths::CONFIGURATION, OCTETS, envelope), DELIVERY).await
    }
}

fn post<T: Serialize>(path: &'static str, message: &T) -> Result<Ask<'static>, DialError> {
    let body = strict::to_vec(message).map_err(|error| unreachable(&error))?;
    Ok(Ask::post(path, JSON, body))
}

/// The body of a 200 answer, or the device's refusal.
fn accepted<T: DeserializeOwned>(answer: Result<Answer, ClientError>) -> Result<T, DialError> {
    let answer = answer.map_err(|error| unreachable(&error))?;
    if answer.status == StatusCode::OK {
        return strict::parse(&answer.body, answer.body.len()).map_err(|error| unreachable(&error));
    }
    match reported(&answer) {
        Some(report) => Err(DialError::Refused { report }),
        None => Err(DialError::Unreachable { cause: format!("status {}", answer.status) }),
    }
}

fn unreachable(error: &dyn std::fmt::Display) -> DialError {
    DialError::Unreachable { cause: error.to_string() }
}
