//! The other end of the socket, for `zmon device …`.

use std::io;
use std::path::Path;

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;
use zmon_domain::error::ErrorReport;
use zmon_domain::limits;
use zmon_wire::control::{ControlAnswer, ControlRequest, EventView, StatusView, to_line};
use zmon_wire::problem::Problem;
use zmon_wire::strict;

use super::line;

/// Longest answer: a page of the audit log or a QR code in three forms.
const ANSWER_MAX: usize = limits::MANIFEST_BYTES.default;

/// How long one request may take, the connection test inside `retry` included.
const PATIENCE: core::time::Duration = core::time::Duration::from_secs(60);

/// A connection to a device on this machine.
#[derive(Debug)]
pub struct ControlClient {
    stream: BufReader<UnixStream>,
}

impl ControlClient {
    /// Connects to a socket.
    ///
    /// # Errors
    /// [`ControlError::Unreachable`] when no device serves it or it may not be opened.
    pub async fn connect(path: &Path) -> Result<Self, ControlError> {
        let stream = UnixStream::connect(path).await.map_err(ControlError::Unreachable)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends one request and reads its answer. A refusal of the device is an error.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn ask(&mut self, request: &ControlRequest) -> Result<ControlAnswer, ControlError> {
        let answer = timeout(PATIENCE, async {
            self.send(request).await?;
            self.receive().await?.ok_or(ControlError::HungUp)
        });
        answer.await.unwrap_or(Err(ControlError::Timeout))
    }

    /// Follows what happens: the status first, then each event.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn events(mut self) -> Result<(StatusView, ControlEvents), ControlError> {
        let ControlAnswer::Status(status) = self.ask(&ControlRequest::Events {}).await? else {
            return Err(ControlError::Malformed("status expected".to_owned()));
        };
        Ok((*status, ControlEvents(self)))
    }

    async fn send(&mut self, request: &ControlRequest) -> Result<(), ControlError> {
        let line = to_line(request).map_err(|error| ControlError::Malformed(error.to_string()))?;
        let stream = self.stream.get_mut();
        stream.write_all(&line).await.map_err(ControlError::Broken)?;
        stream.flush().await.map_err(ControlError::Broken)
    }

    async fn receive(&mut self) -> Result<Option<ControlAnswer>, ControlError> {
        let line = line::read(&mut self.stream, ANSWER_MAX).await.map_err(ControlError::Broken)?;
        let Some(line) = line else { return Ok(None) };
        let answer = strict::parse(&line, ANSWER_MAX)
            .map_err(|error| ControlError::Malformed(error.to_string()))?;
        if let ControlAnswer::Error(problem) = answer {
            return Err(ControlError::Refused(problem));
        }
        Ok(Some(answer))
    }
}

/// Events as they happen. Dropping it hangs up.
#[derive(Debug)]
pub struct ControlEvents(ControlClient);

impl ControlEvents {
    /// The next event; `None` when the device has stopped.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn next(&mut self) -> Result<Option<EventView>, ControlError> {
        match self.0.receive().await? {
            Some(ControlAnswer::Event(event)) => Ok(Some(event)),
            None => Ok(None),
            Some(_) => Err(ControlError::Malformed("event expected".to_owned())),
        }
    }
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The socket cannot be opened: no device runs there, or it is another user's.
    #[error("cannot reach the device: {0}")]
    Unreachable(#[source] io::Error),
    /// The connection broke.
    #[error("the connection to the device broke: {0}")]
    Broken(#[source] io::Error),
    /// The device hung up without an answer.
    #[error("the device hung up")]
    HungUp,
    /// No answer in time.
    #[error("the device did not answer in time")]
    Timeout,
    /// The answer is none of this protocol.
    #[error("the device's answer is malformed: {0}")]
    Malformed(String),
    /// The device refused; its problem document says why.
    #[error("{}", .0.detail)]
    Refused(Box<Problem>),
}

impl ControlError {
    /// The device's own report, when it refused.
    #[must_use]
    pub fn report(&self) -> Option<ErrorReport> {
        match self {
            Self::Refused(problem) => Some(problem.report()),
            Self::Unreachable(_)
            | Self::Broken(_)
            | Self::HungUp
            | Self::Timeout
            | Self::Malformed(_) => None,
        }
    }
}
