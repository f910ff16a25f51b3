//! A courier's machine to the device: the station's messages over a pinned connection (D7, D17).

use core::fmt;
use core::num::NonZeroU16;
use core::time::Duration;

use http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zmon_domain::address::DeviceAddress;
use zmon_domain::limits;
use zmon_wire::carry::{Message, Reply};
use zmon_wire::strict;

use crate::client::{
    Answer, Ask, ClientError, ClientTimes, Connection, Endpoint, JSON, OCTETS, reported,
};
use crate::paths;
use crate::tls::{TlsContext, pinned_client};

/// How long a delivery may take: the device answers when it has applied the configuration, at most
/// 30 s later, and a margin for the way.
const DELIVERY: Duration = limits::DELIVERY_TIMEOUT.default.saturating_add(Duration::from_secs(5));

/// Carries messages to one device. The connection is kept: the device tells reasons only to the peer
/// that has claimed it.
pub struct Courier {
    tls: TlsContext,
    times: ClientTimes,
    endpoint: Endpoint,
    device_key16: [u8; 16],
    connection: Option<Connection>,
}

impl Courier {
    /// A courier to the device that listens there and proves this key.
    pub fn new(
        tls: TlsContext,
        address: DeviceAddress,
        port: NonZeroU16,
        device_key16: [u8; 16],
    ) -> Self {
        let endpoint = Endpoint::address(address.ip(), port.get());
        Self { tls, times: ClientTimes::default(), endpoint, device_key16, connection: None }
    }

    /// Hands a message over and brings the answer back; a refusal is one.
    ///
    /// # Errors
    /// [`ClientError`] when there was no answer. The same message may be carried again.
    pub async fn carry(&mut self, message: Message) -> Result<Reply, ClientError> {
        let within = self.times.request;
        match message {
            Message::Session(open) => {
                self.send(post(paths::SESSION, &open)?, within, Reply::Identity).await
            }
            Message::Window {} => self.send(Ask::get(paths::WINDOW), within, Reply::Window).await,
            Message::PakeStart(start) => {
                self.send(post(paths::PAKE_START, &start)?, within, Reply::Share).await
            }
            Message::PakeConfirm(confirm) => {
                self.send(post(paths::PAKE_CONFIRM, &confirm)?, within, Reply::Identity).await
            }
            Message::Blink(blink) => {
                self.send(post(paths::BLINK, &blink)?, within, Reply::Blinking).await
            }
            Message::Configuration { envelope } => {
                let ask = Ask::post(paths::CONFIGURATION, OCTETS, envelope);
                self.send(ask, DELIVERY, Reply::Status).await
            }
        }
    }

    async fn send<T: DeserializeOwned>(
        &mut self,
        ask: Ask<'_>,
        within: Duration,
        reply: impl FnOnce(T) -> Reply,
    ) -> Result<Reply, ClientError> {
        let kept = self.connection.take().filter(|connection| !connection.is_closed());
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let answer = connection.send(ask, within).await?;
        self.connection = Some(connection);
        read(&answer, reply)
    }

    async fn connect(&self) -> Result<Connection, ClientError> {
        let tls = pinned_client(&self.tls, self.device_key16)
            .map_err(|error| ClientError::Broken(error.to_string()))?;
        Connection::open(&self.endpoint, tls, self.times.connect).await
    }
}

impl fmt::Debug for Courier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Courier").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

fn post<T: Serialize>(path: &'static str, message: &T) -> Result<Ask<'static>, ClientError> {
    let body = strict::to_vec(message).map_err(|error| ClientError::Broken(error.to_string()))?;
    Ok(Ask::post(path, JSON, body))
}

fn read<T: DeserializeOwned>(
    answer: &Answer,
    reply: impl FnOnce(T) -> Reply,
) -> Result<Reply, ClientError> {
    if answer.status == StatusCode::OK {
        let content = strict::parse(&answer.body, answer.body.len());
        return content.map(reply).map_err(|error| ClientError::Broken(error.to_string()));
    }
    match reported(answer) {
        Some(report) => Ok(Reply::Refused { code: report.code }),
        None => Err(ClientError::Broken(format!("status {}", answer.status))),
    }
}
