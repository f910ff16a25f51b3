//! The station's ports with ordered faults and delays in front of them.

use core::time::Duration;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::sleep;
use zmon_station::ports::{
    CertificateIssuer, ClientCertificateOrder, CrlOrder, DeviceConnection, DeviceDialer, DialError,
    IssueError, IssuedCertificate, Target,
};
use zmon_transport::station_api::{DeviceRequest, Fate, Interposed};
use zmon_wire::pake::{PakeConfirm, PakeStart, PakeStarted, WindowAnswer};
use zmon_wire::session::{DeliveryAnswer, SessionAnswer, SessionOpen};

use crate::fault::{Fault, Kind, Step};

/// What a harness ordered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disturbance {
    pub(crate) faults: Vec<Fault>,
    pub(crate) delay: Duration,
}

impl Disturbance {
    /// Waits as ordered and says what shall go wrong at `step`.
    async fn at(&self, step: Step) -> Option<Kind> {
        if !self.delay.is_zero() {
            sleep(self.delay).await;
        }
        let kind = self.faults.iter().find(|fault| fault.step == step).map(|fault| fault.kind);
        if let Some(kind) = kind {
            tracing::warn!(step = step.as_str(), kind = kind.as_str(), "ordered fault");
        }
        kind
    }
}

/// A dialer that fails as ordered.
pub(crate) struct FaultyDialer<D> {
    pub(crate) inner: D,
    pub(crate) disturbance: Arc<Disturbance>,
}

#[async_trait]
impl<D: DeviceDialer> DeviceDialer for FaultyDialer<D> {
    async fn open(
        &self,
        target: &Target,
        mut open: SessionOpen,
    ) -> Result<(SessionAnswer, Box<dyn DeviceConnection>), DialError> {
        if self.disturbance.at(Step::Dial).await.is_some() {
            return Err(ordered());
        }
        let kind = self.disturbance.at(Step::Session).await;
        match kind {
            Some(Kind::Fail) => return Err(ordered()),
            Some(Kind::Tamper) => open.hello = spoil(&open.hello),
            Some(Kind::Truncate) => open.hello = half(&open.hello),
            Some(Kind::Drop) | None => {}
        }
        let (answer, connection) = self.inner.open(target, open).await?;
        if kind == Some(Kind::Drop) {
            return Err(ordered());
        }
        let disturbance = Arc::clone(&self.disturbance);
        Ok((answer, Box::new(FaultyConnection { inner: connection, disturbance })))
    }

    async fn window(
        &self,
        target: &Target,
    ) -> Result<(WindowAnswer, Box<dyn DeviceConnection>), DialError> {
        if self.disturbance.at(Step::Dial).await.is_some() {
            return Err(ordered());
        }
        let (answer, connection) = self.inner.window(target).await?;
        let disturbance = Arc::clone(&self.disturbance);
        Ok((answer, Box::new(FaultyConnection { inner: connection, disturbance })))
    }
}

struct FaultyConnection {
    inner: Box<dyn DeviceConnection>,
    disturbance: Arc<Disturbance>,
}

#[async_trait]
impl DeviceConnection for FaultyConnection {
    async fn pake_start(&mut self, mut start: PakeStart) -> Result<PakeStarted, DialError> {
        let kind = self.disturbance.at(Step::Session).await;
        match kind {
            Some(Kind::Fail) => return Err(ordered()),
            Some(Kind::Tamper) => start.hello = spoil(&start.hello),
            Some(Kind::Truncate) => start.hello = half(&start.hello),
            Some(Kind::Drop) | None => {}
        }
        let started = self.inner.pake_start(start).await?;
        if kind == Some(Kind::Drop) { Err(ordered()) } else { Ok(started) }
    }

    async fn pake_confirm(&mut self, confirm: PakeConfirm) -> Result<SessionAnswer, DialError> {
        self.inner.pake_confirm(confirm).await
    }

    async fn deliver(&mut self, mut envelope: Vec<u8>) -> Result<DeliveryAnswer, DialError> {
        let kind = self.disturbance.at(Step::Deliver).await;
        match kind {
            Some(Kind::Fail) => return Err(ordered()),
            Some(Kind::Tamper) => {
                if let Some(last) = envelope.last_mut() {
                    *last ^= 1;
                }
            }
            Some(Kind::Truncate) => envelope.truncate(envelope.len() / 2),
            Some(Kind::Drop) | None => {}
        }
        let answer = self.inner.deliver(envelope).await?;
        if kind == Some(Kind::Drop) { Err(ordered()) } else { Ok(answer) }
    }
}

#[async_trait]
impl Interposed for Disturbance {
    async fn fate(&self, request: DeviceRequest) -> Fate {
        let step = match request {
            DeviceRequest::Test => Step::Test,
            DeviceRequest::Commit => Step::Commit,
            DeviceRequest::Heartbeat => Step::Heartbeat,
        };
        match self.at(step).await {
            None => Fate::Pass,
            Some(Kind::Fail | Kind::Truncate) => Fate::Break,
            Some(Kind::Drop) => Fate::Lose,
            Some(Kind::Tamper) => Fate::Spoil,
        }
    }
}

/// An issuer that fails as ordered.
pub(crate) struct FaultyIssuer<I> {
    pub(crate) inner: I,
    pub(crate) disturbance: Arc<Disturbance>,
}

#[async_trait]
impl<I: CertificateIssuer> CertificateIssuer for FaultyIssuer<I> {
    async fn issue(&self, order: &ClientCertificateOrder) -> Result<IssuedCertificate, IssueError> {
        if self.disturbance.at(Step::Issue).await.is_some() {
            return Err(IssueError::Signing { cause: "ordered fault".to_owned() });
        }
        self.inner.issue(order).await
    }

    async fn revocation_list(&self, order: &CrlOrder) -> Result<Vec<u8>, IssueError> {
        self.inner.revocation_list(order).await
    }

    fn authorities(&self) -> Vec<Vec<u8>> {
        self.inner.authorities()
    }
}

fn ordered() -> DialError {
    DialError::Unreachable { cause: "ordered fault".to_owned() }
}

/// The text with its last character changed.
fn spoil(text: &str) -> String {
    let mut spoilt = text.to_owned();
    let last = spoilt.pop();
    spoilt.push(if last == Some('A') { 'B' } else { 'A' });
    spoilt
}

fn half(text: &str) -> String {
    text.chars().take(text.chars().count() / 2).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use zmon_domain::address::DeviceAddress;
    use zmon_wire::kind::V1;

    use super::*;

    type Heard = Arc<Mutex<Vec<Vec<u8>>>>;

    struct Recorder(Heard);

    #[async_trait]
    impl DeviceDialer for Recorder {
        async fn open(
            &self,
            _target: &Target,
            open: SessionOpen,
        ) -> Result<(SessionAnswer, Box<dyn DeviceConnection>), DialError> {
            self.0.lock().unwrap().push(open.hello.into_bytes());
            let answer = SessionAnswer { identity: "identity".to_owned() };
            Ok((answer, Box::new(Self(Arc::clone(&self.0)))))
        }

        async fn window(
            &self,
            _target: &Target,
        ) -> Result<(WindowAnswer, Box<dyn DeviceConnection>), DialError> {
            let device_id = "ZM-001".parse().unwrap();
            let answer = WindowAnswer { v: V1::default(), device_id, window_id: [7; 16] };
            Ok((answer, Box::new(Self(Arc::clone(&self.0)))))
        }
    }

    #[async_trait]
    impl DeviceConnection for Recorder {
        async fn pake_start(&mut self, start: PakeStart) -> Result<PakeStarted, DialError> {
            self.0.lock().unwrap().push(start.hello.into_bytes());
            Ok(PakeStarted { share_v: [4; 65], confirm_v: [0; 32] })
        }

        async fn pake_confirm(&mut self, _: PakeConfirm) -> Result<SessionAnswer, DialError> {
            Ok(SessionAnswer { identity: "identity".to_owned() })
        }

        async fn deliver(&mut self, envelope: Vec<u8>) -> Result<DeliveryAnswer, DialError> {
            self.0.lock().unwrap().push(envelope);
            Ok(DeliveryAnswer { status: "status".to_owned() })
        }
    }

    /// What a device hears of a hello and an envelope, and whether the station got both answers.
    async fn pair(faults: &str) -> (Vec<Vec<u8>>, bool) {
        let heard = Heard::default();
        let faults = faults.split_whitespace().map(|fault| fault.parse().unwrap()).collect();
        let disturbance = Arc::new(Disturbance { faults, delay: Duration::from_secs(1) });
        let dialer = FaultyDialer { inner: Recorder(Arc::clone(&heard)), disturbance };
        let target = Target {
            address: DeviceAddress::parse("127.0.0.1").unwrap(),
            port: 1,
            thumbprint16: [0; 16],
        };
        let open = SessionOpen { hello: "hello".to_owned(), claim_mac: [0; 32] };
        let done = async {
            let (_, mut connection) = dialer.open(&target, open).await?;
            connection.deliver(b"envelope".to_vec()).await
        };
        let is_done = done.await.is_ok();
        let heard = heard.lock().unwrap().clone();
        (heard, is_done)
    }

    /// What a device hears of a hello with a typed code, and whether the station got its answer.
    async fn pair_typed(faults: &str) -> (Vec<Vec<u8>>, bool) {
        let heard = Heard::default();
        let faults = faults.split_whitespace().map(|fault| fault.parse().unwrap()).collect();
        let disturbance = Arc::new(Disturbance { faults, delay: Duration::ZERO });
        let dialer = FaultyDialer { inner: Recorder(Arc::clone(&heard)), disturbance };
        let address = DeviceAddress::parse("127.0.0.1").unwrap();
        let target = Target { address, port: 1, thumbprint16: [0; 16] };
        let done = async {
            let (_, mut connection) = dialer.window(&target).await?;
            let start = PakeStart { hello: "hello".to_owned(), share_p: [4; 65] };
            connection.pake_start(start).await
        };
        let is_done = done.await.is_ok();
        let heard = heard.lock().unwrap().clone();
        (heard, is_done)
    }

    #[tokio::test(start_paused = true)]
    async fn the_typed_code_meets_the_same_faults() {
        assert_eq!(pair_typed("").await, (vec![b"hello".to_vec()], true));
        assert_eq!(pair_typed("dial=fail").await, (vec![], false));
        assert_eq!(pair_typed("session=fail").await, (vec![], false));
        assert_eq!(pair_typed("session=drop").await, (vec![b"hello".to_vec()], false));
        assert_eq!(pair_typed("session=tamper").await.0[0], b"hellA");
        assert_eq!(pair_typed("session=truncate").await.0[0], b"he");
    }

    #[tokio::test(start_paused = true)]
    async fn a_device_s_requests_meet_the_faults_of_their_own_step() {
        let faults = ["test=fail", "commit=tamper", "heartbeat=drop"].map(|f| f.parse().unwrap());
        let disturbance = Disturbance { faults: faults.to_vec(), delay: Duration::from_secs(1) };
        #[expect(clippy::disallowed_methods, reason = "virtual time is tokio's")]
        let begun = tokio::time::Instant::now();
        assert_eq!(disturbance.fate(DeviceRequest::Test).await, Fate::Break);
        assert_eq!(disturbance.fate(DeviceRequest::Commit).await, Fate::Spoil);
        assert_eq!(disturbance.fate(DeviceRequest::Heartbeat).await, Fate::Lose);
        assert_eq!(begun.elapsed(), Duration::from_secs(3), "each waits as ordered");
        let calm = Disturbance::default();
        assert_eq!(calm.fate(DeviceRequest::Commit).await, Fate::Pass);
    }

    #[tokio::test(start_paused = true)]
    async fn each_fault_does_what_it_says() {
        let whole = vec![b"hello".to_vec(), b"envelope".to_vec()];
        assert_eq!(pair("").await, (whole.clone(), true));
        assert_eq!(pair("dial=fail").await, (vec![], false));
        assert_eq!(pair("session=fail").await, (vec![], false));
        assert_eq!(pair("session=drop").await, (vec![b"hello".to_vec()], false));
        assert_eq!(pair("session=tamper").await.0[0], b"hellA");
        assert_eq!(pair("session=truncate").await.0[0], b"he");
        assert_eq!(pair("deliver=fail").await, (vec![b"hello".to_vec()], false));
        assert_eq!(pair("deliver=drop").await, (whole, false));
        assert_eq!(pair("deliver=tamper").await.0[1], b"envelopd");
        assert_eq!(pair("deliver=truncate").await.0[1], b"enve");
    }
}
