//! Station to device: the pinned connection of a pairing, one at a time (D17, D18).

use core::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use tokio::time::{Instant, sleep_until};
use zmon_domain::limits;
use zmon_station::ports::{DeviceConnection, DeviceDialer, DialError, Target};
use zmon_wire::session::{DeliveryAnswer, SessionAnswer, SessionOpen};
use zmon_wire::strict;

use crate::client::{Answer, Ask, ClientError, ClientTimes, Connection, Endpoint, JSON, OCTETS};
use crate::paths;
use crate::problem::reported;
use crate::tls::{TlsContext, pinned_client};

/// How long a delivery may take: the device answers when it has applied the configuration, at most
/// 30 s later, and a margin for the way.
const DELIVERY: Duration = limits::DELIVERY_TIMEOUT.default.saturating_add(Duration::from_secs(5));

/// Dials devices over TLS 1.3 pinned to the token's thumbprint.
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

    /// Connects and sends the hello.
    async fn claim(
        &self,
        target: &Target,
        open: &SessionOpen,
    ) -> Result<(SessionAnswer, Connection), DialError> {
        let uniform = Instant::now() + self.times.connect;
        let mut connection = match self.connect(target).await {
            Ok(connection) => connection,
            Err(cause) => {
                sleep_until(uniform).await;
                return Err(DialError::Unreachable { cause });
            }
        };
        let body = strict::to_vec(open).map_err(|error| unreachable(&error))?;
        let ask = Ask::post(paths::SESSION, JSON, body);
        let answer = accepted(connection.send(ask, self.times.request).await)?;
        Ok((answer, connection))
    }

    async fn connect(&self, target: &Target) -> Result<Connection, String> {
        let tls = pinned_client(&self.tls, target.thumbprint16).map_err(|e| e.to_string())?;
        let endpoint = Endpoint::address(target.address.ip(), target.port);
        Connection::open(&endpoint, tls, self.times.connect).await.map_err(|e| e.to_string())
    }
}

#[async_trait]
impl DeviceDialer for TlsDeviceDialer {
    async fn open(
        &self,
        target: &Target,
        open: SessionOpen,
    ) -> Result<(SessionAnswer, Box<dyn DeviceConnection>), DialError> {
        let (answer, connection) = self.claim(target, &open).await?;
        let (dialer, target) = (self.clone(), target.clone());
        Ok((answer, Box::new(Pinned { dialer, target, open, connection: Some(connection) })))
    }
}

/// What is needed to deliver, again if need be: a device answers the hello of a session that stands
/// with the same identity document, and after it the envelope, on whichever connection they come.
struct Pinned {
    dialer: TlsDeviceDialer,
    target: Target,
    open: SessionOpen,
    /// None once an answer did not come: what it may still carry belongs to another request.
    connection: Option<Connection>,
}

#[async_trait]
impl DeviceConnection for Pinned {
    async fn deliver(&mut self, envelope: Vec<u8>) -> Result<DeliveryAnswer, DialError> {
        let kept = self.connection.take().filter(|connection| !connection.is_closed());
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.dialer.claim(&self.target, &self.open).await?.1,
        };
        let ask = Ask::post(paths::CONFIGURATION, OCTETS, envelope);
        let answer = connection.send(ask, DELIVERY).await;
        if answer.is_ok() {
            self.connection = Some(connection);
        }
        accepted(answer)
    }
}

/// The body of a 200 answer, or the device's refusal.
fn accepted<T: serde::de::DeserializeOwned>(
    answer: Result<Answer, ClientError>,
) -> Result<T, DialError> {
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
