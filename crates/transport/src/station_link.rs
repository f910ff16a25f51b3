//! Device to station: mTLS by the credentials of one slot (D13, D17).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use http::StatusCode;
use rustls::ClientConfig;
use zmon_crypto::Secret32;
use zmon_domain::address::ServerUrl;
use zmon_domain::error::{ErrorCode, ErrorName, Side};
use zmon_protocol::PullMethod;
use zmon_protocol::device::{LinkCredentials, LinkError, Pulled, Retirement};
use zmon_provisioning::ports::StationLink;
use zmon_wire::admin::TestAnswer;
use zmon_wire::heartbeat::{Heartbeat, HeartbeatAnswer};
use zmon_wire::outcome::{CommitRequest, OutcomeAnswer, OutcomeRequest};
use zmon_wire::pull::{FetchRequest, PullAnswer, PullRequest};
use zmon_wire::retire::{RetireAnswer, RetireRequest};
use zmon_wire::strict;

use crate::client::{
    Answer, Ask, ClientError, ClientTimes, Connection, Endpoint, JSON, Refusal, reported,
};
use crate::paths;
use crate::tls::{ClientCredentials, TlsContext, device_client, nameless_client};

/// Connections kept at rest: one for slot A, one for slot B.
const KEPT: usize = 2;

/// Calls to the station over TLS 1.3, one kept connection per slot.
///
/// `test` always makes a fresh handshake: it has to prove one. `commit` and the heartbeats that
/// follow go over the connection that the test opened.
pub struct TlsStationLink {
    tls: TlsContext,
    times: ClientTimes,
    kept: Mutex<Vec<(Key, Connection)>>,
}

/// Which credentials a connection was made with: SHA-256 over all of them but the private key.
type Key = [u8; 32];

impl TlsStationLink {
    /// A link with the default bounds.
    pub fn new(tls: TlsContext) -> Self {
        Self::with_times(tls, ClientTimes::default())
    }

    /// A link with bounds of its own.
    pub fn with_times(tls: TlsContext, times: ClientTimes) -> Self {
        Self { tls, times, kept: Mutex::new(Vec::new()) }
    }

    /// A fresh mutual connection.
    async fn connect(&self, credentials: &LinkCredentials) -> Result<Connection, Failure> {
        let own =
            ClientCredentials { chain: &credentials.client_chain, key: &credentials.client_key };
        let tls = device_client(&self.tls, &credentials.ca, credentials.server_pin, &own)
            .map_err(Failure::setup)?;
        self.open(&credentials.server_url, tls).await
    }

    async fn open(
        &self,
        server: &ServerUrl,
        tls: Arc<ClientConfig>,
    ) -> Result<Connection, Failure> {
        let endpoint = Endpoint::url(server).map_err(Failure::setup)?;
        Connection::open(&endpoint, tls, self.times.connect).await.map_err(Failure::Client)
    }

    /// One request over the kept connection, or over a new one when there is none or it turns out
    /// to have been closed while it rested. Every request here may safely arrive twice.
    async fn call(&self, credentials: &LinkCredentials, ask: Ask<'_>) -> Result<Answer, Failure> {
        let key = key(credentials);
        if let Some(mut connection) = self.take(&key) {
            match connection.send(ask.clone(), self.times.request).await {
                Ok(answer) => {
                    self.keep(key, connection);
                    return Ok(answer);
                }
                // The server may have closed the connection while it rested.
                Err(error @ ClientError::Broken(_)) => {
                    tracing::debug!(%error, "kept connection was stale");
                }
                Err(error) => return Err(Failure::Client(error)),
            }
        }
        self.call_fresh(credentials, ask).await
    }

    async fn call_fresh(
        &self,
        credentials: &LinkCredentials,
        ask: Ask<'_>,
    ) -> Result<Answer, Failure> {
        let mut connection = self.connect(credentials).await?;
        let answer = connection.send(ask, self.times.request).await.map_err(Failure::Client)?;
        self.keep(key(credentials), connection);
        Ok(answer)
    }

    /// One request without a client certificate, on a connection of its own.
    async fn call_nameless(
        &self,
        credentials: &LinkCredentials,
        protocol: &[u8],
        ask: Ask<'_>,
    ) -> Result<Answer, Failure> {
        let tls = nameless_client(&self.tls, &credentials.ca, credentials.server_pin, protocol)
            .map_err(Failure::setup)?;
        let mut connection = self.open(&credentials.server_url, tls).await?;
        connection.send(ask, self.times.request).await.map_err(Failure::Client)
    }

    fn take(&self, key: &Key) -> Option<Connection> {
        let mut kept = self.lock();
        let at = kept.iter().position(|(other, _)| other == key)?;
        let (_, connection) = kept.remove(at);
        (!connection.is_closed()).then_some(connection)
    }

    fn keep(&self, key: Key, connection: Connection) {
        let mut kept = self.lock();
        kept.retain(|(other, connection)| *other != key && !connection.is_closed());
        kept.push((key, connection));
        if kept.len() > KEPT {
            kept.remove(0);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Key, Connection)>> {
        // The list has no invariant that a panic elsewhere could break.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TlsStationLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStationLink").field("times", &self.times).finish_non_exhaustive()
    }
}

#[async_trait]
impl StationLink for TlsStationLink {
    async fn test(&self, credentials: &LinkCredentials) -> Result<(), LinkError> {
        drop(self.take(&key(credentials)));
        let answer = self.call_fresh(credentials, Ask::get(paths::DEVICE_TEST)).await?;
        let TestAnswer { device_id, .. } = content(&answer)?;
        if device_id == credentials.device_id {
            Ok(())
        } else {
            Err(LinkError::Refused(ErrorCode::ConnectionRefusedByStation))
        }
    }

    async fn commit(
        &self,
        credentials: &LinkCredentials,
        request: &CommitRequest,
    ) -> Result<Vec<u8>, LinkError> {
        let ask = Ask::post(paths::DEVICE_COMMIT, JSON, body(request)?);
        outcome(&self.call(credentials, ask).await?)
    }

    async fn ask_outcome(
        &self,
        credentials: &LinkCredentials,
        ask: &str,
    ) -> Result<Vec<u8>, LinkError> {
        let request = OutcomeRequest { ask: ask.to_owned() };
        let ask = Ask::post(paths::OUTCOME, JSON, body(&request)?);
        outcome(&self.call_nameless(credentials, paths::OUTCOME_ALPN, ask).await?)
    }

    async fn pull(
        &self,
        credentials: &LinkCredentials,
        method: PullMethod,
        pull: &str,
    ) -> Result<Pulled, LinkError> {
        let body = body(&PullRequest { pull: pull.to_owned() })?;
        let answer = match method {
            PullMethod::Renewal => {
                self.call(credentials, Ask::post(paths::DEVICE_RENEW, JSON, body)).await?
            }
            PullMethod::Recovery => {
                let ask = Ask::post(paths::RECOVER, JSON, body);
                self.call_nameless(credentials, paths::RECOVERY_ALPN, ask).await?
            }
        };
        let answer: PullAnswer = content(&answer)?;
        let secret = answer.secret().map_err(|error| {
            tracing::warn!(%error, "the station's answer is malformed");
            LinkError::Refused(ErrorCode::ConnectionRefusedByStation)
        })?;
        Ok(Pulled { hello: answer.hello.into_bytes(), ikm: Secret32::from_bytes(*secret) })
    }

    async fn fetch(
        &self,
        credentials: &LinkCredentials,
        method: PullMethod,
        request: &FetchRequest,
    ) -> Result<Vec<u8>, LinkError> {
        let body = body(request)?;
        let answer = match method {
            PullMethod::Renewal => {
                let ask = Ask::post(paths::DEVICE_RENEW_IDENTITY, JSON, body);
                self.call(credentials, ask).await?
            }
            PullMethod::Recovery => {
                let ask = Ask::post(paths::RECOVER_IDENTITY, JSON, body);
                self.call_nameless(credentials, paths::RECOVERY_ALPN, ask).await?
            }
        };
        accepted(&answer)?;
        Ok(answer.body.to_vec())
    }

    async fn retire(&self, retirement: &Retirement) -> Result<(), LinkError> {
        let (ca, pin) = (&retirement.ca, retirement.server_pin);
        let tls =
            nameless_client(&self.tls, ca, pin, paths::OUTCOME_ALPN).map_err(Failure::setup)?;
        let mut connection = self.open(&retirement.server_url, tls).await?;
        let request = RetireRequest { statement: retirement.statement.clone() };
        let ask = Ask::post(paths::RETIRE, JSON, body(&request)?);
        let answer = connection.send(ask, self.times.request).await.map_err(Failure::Client)?;
        let RetireAnswer { counter, .. } = content(&answer)?;
        if counter == retirement.counter {
            Ok(())
        } else {
            Err(LinkError::Refused(ErrorCode::ConnectionRefusedByStation))
        }
    }

    async fn heartbeat(
        &self,
        credentials: &LinkCredentials,
        heartbeat: &Heartbeat,
    ) -> Result<HeartbeatAnswer, LinkError> {
        let ask = Ask::post(paths::DEVICE_HEARTBEAT, JSON, body(heartbeat)?);
        let answer = self.call(credentials, ask).await?;
        content(&answer)
    }
}

/// A request's body.
fn body<T: serde::Serialize>(request: &T) -> Result<Vec<u8>, LinkError> {
    strict::to_vec(request).map_err(|_| LinkError::Refused(ErrorCode::Internal))
}

/// Why a call gave no answer.
#[derive(Debug)]
enum Failure {
    /// The slot's own material is unusable: no attempt can succeed.
    Setup(String),
    Client(ClientError),
}

impl Failure {
    fn setup(error: impl fmt::Display) -> Self {
        Self::Setup(error.to_string())
    }
}

impl From<Failure> for LinkError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Setup(cause) => {
                tracing::warn!(%cause, "credentials unusable");
                Self::Certificate(ErrorCode::ClientCertificateInvalid)
            }
            Failure::Client(error) => {
                tracing::info!(%error, "station not reached");
                classify(&error)
            }
        }
    }
}

/// Certificate problems are final, network problems may pass ([W §7.1], [W §7.2]).
fn classify(error: &ClientError) -> LinkError {
    match error {
        ClientError::Certificate(refusal) => LinkError::Certificate(match refusal {
            Refusal::ServerPin => ErrorCode::ServerPinMismatch,
            Refusal::OwnExpired => ErrorCode::CertificateExpired,
            Refusal::ServerExpired => ErrorCode::ServerCertificateExpired,
            Refusal::ServerUntrusted => ErrorCode::ServerUntrusted,
            Refusal::OwnRevoked => ErrorCode::CertificateRevoked,
            Refusal::OwnRefused => ErrorCode::ClientCertificateInvalid,
        }),
        ClientError::Resolve(_) | ClientError::Connect(_) | ClientError::ConnectTimeout => {
            LinkError::Network(ErrorCode::StationUnreachable)
        }
        ClientError::Timeout => LinkError::Network(ErrorCode::Timeout),
        ClientError::Broken(_) | ClientError::Tls(_) | ClientError::TooLarge => {
            LinkError::Network(ErrorCode::NetworkError)
        }
    }
}

/// `Ok` for a 2xx answer; otherwise what the station's problem document says.
fn accepted(answer: &Answer) -> Result<(), LinkError> {
    if answer.status.is_success() {
        return Ok(());
    }
    let said = reported(answer).map(|report| report.code);
    tracing::info!(status = %answer.status, code = said.map(ErrorCode::as_str), "station refused");
    let code = said.map(|code| code.of_peer(Side::Station));
    // Overload and defects pass, decisions do not.
    if answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS {
        return Err(LinkError::Network(code.unwrap_or(ErrorCode::NetworkError)));
    }
    Err(match code {
        Some(code) if code.name() == Some(ErrorName::CertificateValidationFailed) => {
            LinkError::Certificate(code)
        }
        Some(code) => LinkError::Refused(code),
        None => LinkError::Refused(ErrorCode::ConnectionRefusedByStation),
    })
}

/// The document in an accepted answer.
fn content<T: serde::de::DeserializeOwned>(answer: &Answer) -> Result<T, LinkError> {
    accepted(answer)?;
    strict::parse(&answer.body, answer.body.len()).map_err(|error| {
        tracing::warn!(%error, "the station's answer is malformed");
        LinkError::Refused(ErrorCode::ConnectionRefusedByStation)
    })
}

/// The signed outcome in an accepted answer, as the exact bytes of its JWS.
fn outcome(answer: &Answer) -> Result<Vec<u8>, LinkError> {
    let OutcomeAnswer { outcome } = content(answer)?;
    Ok(outcome.into_bytes())
}

fn key(credentials: &LinkCredentials) -> Key {
    let mut bytes = Vec::with_capacity(2048);
    let mut part = |data: &[u8]| {
        bytes.extend_from_slice(&u64::try_from(data.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend_from_slice(data);
    };
    part(credentials.server_url.as_str().as_bytes());
    credentials.ca.iter().for_each(|der| part(der));
    part(b"client");
    credentials.client_chain.iter().for_each(|der| part(der));
    part(credentials.server_pin.as_ref().map_or(&[], |pin| pin.as_bytes()));
    zmon_crypto::sha256(&bytes)
}

#[cfg(test)]
mod tests {
    use zmon_domain::error::ErrorReport;
    use zmon_wire::problem::Problem;

    use super::*;

    #[test]
    fn whose_certificate_it_was_is_told() {
        for (refusal, code) in [
            (Refusal::ServerPin, ErrorCode::ServerPinMismatch),
            (Refusal::ServerUntrusted, ErrorCode::ServerUntrusted),
            // Not the device's own: it must not ask for a recovery because of it.
            (Refusal::ServerExpired, ErrorCode::ServerCertificateExpired),
            (Refusal::OwnExpired, ErrorCode::CertificateExpired),
            (Refusal::OwnRevoked, ErrorCode::CertificateRevoked),
            (Refusal::OwnRefused, ErrorCode::ClientCertificateInvalid),
        ] {
            let told = classify(&ClientError::Certificate(refusal));
            assert_eq!(told, LinkError::Certificate(code));
        }
    }

    #[test]
    fn a_station_that_fails_is_no_fault_of_the_device() {
        for code in ErrorCode::ALL.iter().filter(|code| code.is_own_ground()) {
            let report = ErrorReport::new(*code).on(Side::Station);
            let answer = Answer {
                status: StatusCode::INTERNAL_SERVER_ERROR,
                headers: http::HeaderMap::new(),
                body: strict::to_vec(&Problem::new(&report)).unwrap().into(),
            };
            let told = accepted(&answer).unwrap_err();
            assert_eq!(told, LinkError::Network(ErrorCode::StationFailed), "{code}");
            assert_eq!(told.code().side(), Side::Station);
        }
    }
}
