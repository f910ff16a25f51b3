//! Device to station.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use zmon_crypto::Secret32;
use zmon_domain::error::{ErrorCode, ErrorName, Side};
use zmon_domain::ids::{Serial, Thumbprint};
use zmon_domain::limits;
use zmon_protocol::PullMethod;
use zmon_protocol::device::{LinkCredentials, LinkError, Pulled, Retirement};
use zmon_provisioning::ports::StationLink;
use zmon_station::{Station, StationError};
use zmon_wire::heartbeat::{Heartbeat, HeartbeatAnswer};
use zmon_wire::outcome::CommitRequest;
use zmon_wire::problem::Problem;
use zmon_wire::pull::{FetchRequest, PullAnswer};

use super::lan::{Lan, Running};
use crate::clock::NodeClock;
use crate::life::Life;
use crate::lock;
use crate::net::{Answer, Broken, Taped};

const REQUEST: Duration = limits::REQUEST_TIMEOUT.default;

/// Calls as the TLS link makes them; a thief with a device's credentials calls the same way.
pub(crate) struct Link {
    pub(super) lan: Arc<Lan>,
    pub(super) index: usize,
    pub(super) address: IpAddr,
    pub(super) life: Life,
    pub(super) clock: NodeClock,
    /// Connections that stand: by certificate and life of the station.
    pub(super) kept: Mutex<BTreeSet<(Serial, u64)>>,
}

impl Link {
    /// A request over a certificate. The handshake is made anew where no connection stands.
    async fn mutual<T, F>(
        &self,
        credentials: &LinkCredentials,
        fresh: bool,
        call: impl Fn(Arc<Station>, Serial) -> F + Send + Sync,
    ) -> Result<T, LinkError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StationError>> + Send + 'static,
    {
        self.life.go_on().await;
        self.lan.saw(credentials);
        let Running { clock, number, .. } = self.running()?;
        let serial = self.lan.pki.admit(credentials);
        let stands = serial.is_ok_and(|serial| lock(&self.kept).contains(&(serial, number)));
        if fresh || !stands {
            let (ca, pin) = (&credentials.ca, credentials.server_pin);
            self.lan.pki.greet(ca, pin, self.clock.tls_time())?;
            self.lan.pki.in_time(credentials, clock.now().wall)?;
        }
        let serial = serial?;
        let watch = self.lan.watch.clone();
        let handle = || {
            let station = self.lan.station()?.station;
            let (watch, revoked) = (watch.clone(), watch.is_revoked(&serial));
            let work = call(station, serial);
            Some(async move {
                let answer = work.await;
                watch.answered(&serial, revoked, answer.is_ok());
                answer
            })
        };
        let answer = self.lan.net.carry(self.index, REQUEST, handle).await;
        self.life.go_on().await;
        match answer {
            Ok(answer) => {
                lock(&self.kept).insert((serial, number));
                answer.map_err(refused)
            }
            Err(broken) => {
                lock(&self.kept).remove(&(serial, number));
                Err(lost(broken))
            }
        }
    }

    /// A request without a certificate: what it says is signed.
    async fn nameless<T, F>(
        &self,
        ca: &[Vec<u8>],
        pin: Option<Thumbprint>,
        call: impl Fn(Arc<Station>) -> F + Send + Sync,
    ) -> Result<T, LinkError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StationError>> + Send + 'static,
    {
        self.life.go_on().await;
        self.running()?;
        self.lan.pki.greet(ca, pin, self.clock.tls_time())?;
        let handle = || Some(call(self.lan.station()?.station));
        let answer = self.lan.net.carry(self.index, REQUEST, handle).await;
        self.life.go_on().await;
        answer.map_err(lost)?.map_err(unproved)
    }

    fn running(&self) -> Result<Running, LinkError> {
        self.lan.station().ok_or(LinkError::Network(ErrorCode::StationUnreachable))
    }

    fn outcome(&self, outcome: String) -> Vec<u8> {
        let outcome = outcome.into_bytes();
        match self.lan.tape.answer(Answer::Outcome(outcome.clone())) {
            Answer::Outcome(outcome) => outcome,
            _ => outcome,
        }
    }
}

#[async_trait]
impl StationLink for Link {
    async fn test(&self, credentials: &LinkCredentials) -> Result<(), LinkError> {
        let call = |station: Arc<Station>, serial| async move { station.test(&serial).await };
        let answer = self.mutual(credentials, true, call).await?;
        if answer.device_id == credentials.device_id {
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
        let call = |station: Arc<Station>, serial| {
            let request = request.clone();
            async move { station.commit(&serial, &request).await }
        };
        Ok(self.outcome(self.mutual(credentials, false, call).await?))
    }

    async fn ask_outcome(
        &self,
        credentials: &LinkCredentials,
        ask: &str,
    ) -> Result<Vec<u8>, LinkError> {
        self.lan.tape.request(Taped::Ask(ask.to_owned()));
        let call = |station: Arc<Station>| {
            let ask = ask.to_owned();
            async move { station.outcome(ask.as_bytes()).await }
        };
        let answer = self.nameless(&credentials.ca, credentials.server_pin, call).await?;
        Ok(self.outcome(answer))
    }

    async fn pull(
        &self,
        credentials: &LinkCredentials,
        method: PullMethod,
        pull: &str,
    ) -> Result<Pulled, LinkError> {
        let source = self.address;
        let answer: PullAnswer = match method {
            PullMethod::Renewal => {
                let call = |station: Arc<Station>, serial| {
                    let pull = pull.to_owned();
                    async move { station.renew(source, &serial, pull.as_bytes()).await }
                };
                self.mutual(credentials, false, call).await?
            }
            PullMethod::Recovery => {
                self.lan.tape.request(Taped::Recover(pull.to_owned()));
                let call = |station: Arc<Station>| {
                    let pull = pull.to_owned();
                    async move { station.recover(source, pull.as_bytes()).await }
                };
                self.nameless(&credentials.ca, credentials.server_pin, call).await?
            }
        };
        let refused = LinkError::Refused(ErrorCode::ConnectionRefusedByStation);
        let secret = answer.secret().map_err(|_| refused)?;
        let (hello, ikm) = (answer.hello.into_bytes(), Secret32::from_bytes(*secret));
        let pulled = Pulled { hello, ikm };
        Ok(match self.lan.tape.answer(Answer::Pulled(pulled.clone())) {
            Answer::Pulled(pulled) => pulled,
            _ => pulled,
        })
    }

    async fn fetch(
        &self,
        credentials: &LinkCredentials,
        method: PullMethod,
        request: &FetchRequest,
    ) -> Result<Vec<u8>, LinkError> {
        self.lan.tape.request(Taped::Fetch(request.clone()));
        let envelope = match method {
            PullMethod::Renewal => {
                let call = |station: Arc<Station>, serial| {
                    let request = request.clone();
                    async move { station.renew_identity(&serial, request).await }
                };
                self.mutual(credentials, false, call).await?
            }
            PullMethod::Recovery => {
                let call = |station: Arc<Station>| {
                    let request = request.clone();
                    async move { station.recover_identity(request).await }
                };
                self.nameless(&credentials.ca, credentials.server_pin, call).await?
            }
        };
        Ok(match self.lan.tape.answer(Answer::Envelope(envelope.clone())) {
            Answer::Envelope(envelope) => envelope,
            _ => envelope,
        })
    }

    async fn retire(&self, retirement: &Retirement) -> Result<(), LinkError> {
        let source = self.address;
        self.lan.tape.request(Taped::Retire(retirement.statement.clone()));
        let call = |station: Arc<Station>| {
            let statement = retirement.statement.clone();
            async move { station.retire(source, statement.as_bytes()).await }
        };
        let answer = self.nameless(&retirement.ca, retirement.server_pin, call).await?;
        if answer.counter == retirement.counter {
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
        let call = |station: Arc<Station>, serial| {
            let heartbeat = heartbeat.clone();
            async move { station.heartbeat(&serial, &heartbeat).await }
        };
        self.mutual(credentials, false, call).await
    }
}

fn lost(broken: Broken) -> LinkError {
    LinkError::Network(match broken {
        Broken::Refused => ErrorCode::StationUnreachable,
        Broken::Cut => ErrorCode::NetworkError,
        Broken::Late => ErrorCode::Timeout,
    })
}

/// A refusal as it looks from the other side of HTTP: overload and defects pass, decisions do not.
fn refused(error: StationError) -> LinkError {
    let status = Problem::new(&error.report).status;
    let code = error.report.code.of_peer(Side::Station);
    if status >= 500 || status == 429 {
        LinkError::Network(code)
    } else if code.name() == Some(ErrorName::CertificateValidationFailed) {
        LinkError::Certificate(code)
    } else {
        LinkError::Refused(code)
    }
}

/// The same for requests that are signed: why a signature was not believed is told to nobody.
fn unproved(error: StationError) -> LinkError {
    match error.code() {
        ErrorCode::JwsMalformed | ErrorCode::SignatureInvalid | ErrorCode::SessionUnknown => {
            refused(ErrorCode::SignatureInvalid.into())
        }
        _ => refused(error),
    }
}
