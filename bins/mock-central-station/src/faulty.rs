//! The station's ports with ordered faults and delays in front of them.

use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::time::sleep;
use zmon_station::ports::{
    CertificateIssuer, Claim, ClientCertificateOrder, CrlOrder, DeviceConnection, DeviceDialer,
    DialError, IssueError, IssuedCertificate, Target,
};
use zmon_transport::station_api::{DeviceRequest, Fate, Interposed};
use zmon_wire::blink::{BlinkAnswer, BlinkRequest};
use zmon_wire::pake::{PakeConfirm, PakeStart, PakeStarted, WindowAnswer};
use zmon_wire::session::{DeliveryAnswer, SessionAnswer, SessionOpen};

use crate::fault::Ordered;
use crate::vocabulary::{Kind, Orders, Step};

/// What a harness ordered.
#[derive(Debug, Default)]
pub(crate) struct Disturbance {
    orders: Mutex<Orders>,
    delay: Duration,
}

impl Disturbance {
    pub(crate) fn new(orders: impl IntoIterator<Item = Ordered>, delay: Duration) -> Self {
        let orders = orders.into_iter().map(|Ordered(order)| order).collect();
        Self { orders: Mutex::new(orders), delay }
    }

    /// Waits as ordered and says what shall go wrong at `step`.
    async fn at(&self, step: Step) -> Option<Kind> {
        if !self.delay.is_zero() {
            sleep(self.delay).await;
        }
        let kind = self.orders.lock().unwrap_or_else(PoisonError::into_inner).due(step);
        if let Some(kind) = kind {
            tracing::warn!(step = step.as_str(), kind = kind.as_str(), "ordered fault");
        }
        kind
    }
}

impl Disturbance {
    /// The identity document on its way back.
    async fn identity(&self, answer: &mut SessionAnswer) -> Result<(), DialError> {
        match self.at(Step::Identity).await {
            None => Ok(()),
            Some(Kind::Tamper) => {
                answer.identity = spoil(&answer.identity);
                Ok(())
            }
            Some(Kind::Truncate) => {
                answer.identity = half(&answer.identity);
                Ok(())
            }
            Some(_) => Err(ordered()),
        }
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
            _ => {}
        }
        let (mut answer, connection) = self.inner.open(target, open).await?;
        if kind == Some(Kind::Drop) {
            return Err(ordered());
        }
        self.disturbance.identity(&mut answer).await?;
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

    fn again(&self, target: &Target, claim: Option<Claim>) -> Box<dyn DeviceConnection> {
        let disturbance = Arc::clone(&self.disturbance);
        Box::new(FaultyConnection { inner: self.inner.again(target, claim), disturbance })
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
            _ => {}
        }
        let started = self.inner.pake_start(start).await?;
        if kind == Some(Kind::Drop) { Err(ordered()) } else { Ok(started) }
    }

    async fn pake_confirm(&mut self, confirm: PakeConfirm) -> Result<SessionAnswer, DialError> {
        let mut answer = self.inner.pake_confirm(confirm).await?;
        self.disturbance.identity(&mut answer).await?;
        Ok(answer)
    }

    async fn blink(&mut self, request: BlinkRequest) -> Result<BlinkAnswer, DialError> {
        self.inner.blink(request).await
    }

    async fn deliver(&mut self, mut envelope: Vec<u8>) -> Result<DeliveryAnswer, DialError> {
        let kind = self.disturbance.at(Step::Deliver).await;
        match kind {
            Some(Kind::Fail) => return Err(ordered()),
            Some(Kind::Tamper) => flip(&mut envelope),
            Some(Kind::Truncate) => envelope.truncate(envelope.len() / 2),
            _ => {}
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
            DeviceRequest::Outcome => Step::Outcome,
            DeviceRequest::Pull => Step::Pull,
            DeviceRequest::Fetch => Step::Fetch,
            DeviceRequest::Retire => Step::Retire,
            DeviceRequest::Heartbeat => Step::Heartbeat,
        };
        match self.at(step).await {
            None => Fate::Pass,
            Some(Kind::Drop) => Fate::Lose,
            Some(Kind::Tamper) => Fate::Spoil,
            Some(_) => Fate::Break,
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
        let failed = || IssueError::Signing { cause: "ordered fault".to_owned() };
        match self.disturbance.at(Step::Issue).await {
            None => self.inner.issue(order).await,
            Some(Kind::Tamper) => {
                let mut issued = self.inner.issue(order).await?;
                flip(&mut issued.der);
                issued.chain.first_mut().into_iter().for_each(|leaf| flip(leaf));
                Ok(issued)
            }
            Some(Kind::Drop) => {
                drop(self.inner.issue(order).await?);
                Err(failed())
            }
            Some(_) => Err(failed()),
        }
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

/// The bytes with the last bit changed.
fn flip(bytes: &mut [u8]) {
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
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
    use zmon_domain::address::DeviceAddress;
    use zmon_domain::ids::{Serial, SessionId};
    use zmon_domain::time::UnixTime;
    use zmon_wire::kind::{TrustLevel, V1};

    use super::*;
    use crate::fault::tests::possible;

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

        fn again(&self, _target: &Target, _claim: Option<Claim>) -> Box<dyn DeviceConnection> {
            Box::new(Self(Arc::clone(&self.0)))
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

        async fn blink(&mut self, _: BlinkRequest) -> Result<BlinkAnswer, DialError> {
            Ok(BlinkAnswer { seconds: 6 })
        }

        async fn deliver(&mut self, envelope: Vec<u8>) -> Result<DeliveryAnswer, DialError> {
            self.0.lock().unwrap().push(envelope);
            Ok(DeliveryAnswer { status: "status".to_owned() })
        }
    }

    struct Authority(Arc<Mutex<usize>>);

    #[async_trait]
    impl CertificateIssuer for Authority {
        async fn issue(
            &self,
            _order: &ClientCertificateOrder,
        ) -> Result<IssuedCertificate, IssueError> {
            *self.0.lock().unwrap() += 1;
            let der = b"certificate".to_vec();
            Ok(IssuedCertificate { chain: vec![der.clone(), b"issuer".to_vec()], der })
        }

        async fn revocation_list(&self, _order: &CrlOrder) -> Result<Vec<u8>, IssueError> {
            Ok(Vec::new())
        }

        fn authorities(&self) -> Vec<Vec<u8>> {
            Vec::new()
        }
    }

    fn order() -> ClientCertificateOrder {
        let at = |seconds| UnixTime::from_unix(seconds).unwrap();
        ClientCertificateOrder {
            spki: Vec::new(),
            device_id: "ZM-001".parse().unwrap(),
            serial: Serial::parse("5f01").unwrap(),
            not_before: at(0),
            not_after: at(1),
            trust: TrustLevel::Anchored,
        }
    }

    fn disturbance(faults: &str, delay: Duration) -> Arc<Disturbance> {
        let orders = faults.split_whitespace().map(|fault| fault.parse().unwrap());
        Arc::new(Disturbance::new(orders, delay))
    }

    fn target() -> Target {
        let address = DeviceAddress::parse("127.0.0.1").unwrap();
        Target { address, port: 1, thumbprint16: [0; 16] }
    }

    /// What a device hears and what the station gets: of a hello, with a token or with a typed code,
    /// and an envelope.
    async fn pair(faults: &str, is_typed: bool) -> (Vec<Vec<u8>>, Option<String>, bool) {
        let heard = Heard::default();
        let disturbance = disturbance(faults, Duration::from_secs(1));
        let dialer = FaultyDialer { inner: Recorder(Arc::clone(&heard)), disturbance };
        let mut identity = None;
        let done = async {
            let hello = "hello".to_owned();
            let (answer, mut connection) = if is_typed {
                let (_, mut connection) = dialer.window(&target()).await?;
                connection.pake_start(PakeStart { hello, share_p: [4; 65] }).await?;
                let confirm =
                    PakeConfirm { session_id: SessionId::from_bytes([9; 16]), confirm_p: [0; 32] };
                (connection.pake_confirm(confirm).await?, connection)
            } else {
                dialer.open(&target(), SessionOpen { hello, claim_mac: [0; 32] }).await?
            };
            identity = Some(answer.identity);
            connection.deliver(b"envelope".to_vec()).await
        };
        let is_done = done.await.is_ok();
        let heard = heard.lock().unwrap().clone();
        (heard, identity, is_done)
    }

    /// Whether a certificate was made, and what of it the station got.
    async fn issue(faults: &str) -> (usize, Option<Vec<u8>>) {
        let made = Arc::new(Mutex::new(0));
        let issuer = FaultyIssuer {
            inner: Authority(Arc::clone(&made)),
            disturbance: disturbance(faults, Duration::ZERO),
        };
        let issued = issuer.issue(&order()).await.ok();
        let made = *made.lock().unwrap();
        (made, issued.map(|issued| issued.der))
    }

    async fn fate(faults: &str, request: DeviceRequest) -> Fate {
        disturbance(faults, Duration::ZERO).fate(request).await
    }

    /// Every fault the command line takes, driven once.
    #[tokio::test(start_paused = true)]
    async fn each_fault_does_what_it_says() {
        const REQUESTS: [(DeviceRequest, &str); 7] = [
            (DeviceRequest::Test, "test"),
            (DeviceRequest::Commit, "commit"),
            (DeviceRequest::Outcome, "outcome"),
            (DeviceRequest::Pull, "pull"),
            (DeviceRequest::Fetch, "fetch"),
            (DeviceRequest::Retire, "retire"),
            (DeviceRequest::Heartbeat, "heartbeat"),
        ];
        let bytes = |heard: &[&str]| heard.iter().map(|one| one.as_bytes().to_vec()).collect();
        for fault in possible() {
            let (step, kind) = fault.split_once('=').unwrap();
            for is_typed in [false, true] {
                let expected: (Vec<Vec<u8>>, Option<&str>, bool) = match (step, kind) {
                    ("dial" | "session", "fail") => (vec![], None, false),
                    ("session", "drop") | ("identity", "fail") => (bytes(&["hello"]), None, false),
                    ("session", "tamper") => {
                        (bytes(&["hellA", "envelope"]), Some("identity"), true)
                    }
                    ("session", "truncate") => (bytes(&["he", "envelope"]), Some("identity"), true),
                    ("identity", "tamper") => {
                        (bytes(&["hello", "envelope"]), Some("identitA"), true)
                    }
                    ("identity", "truncate") => (bytes(&["hello", "envelope"]), Some("iden"), true),
                    ("deliver", "fail") => (bytes(&["hello"]), Some("identity"), false),
                    ("deliver", "drop") => (bytes(&["hello", "envelope"]), Some("identity"), false),
                    ("deliver", "tamper") => {
                        (bytes(&["hello", "envelopd"]), Some("identity"), true)
                    }
                    ("deliver", "truncate") => (bytes(&["hello", "enve"]), Some("identity"), true),
                    _ => (bytes(&["hello", "envelope"]), Some("identity"), true),
                };
                let (heard, identity, is_done) = pair(&fault, is_typed).await;
                assert_eq!((heard, identity.as_deref(), is_done), expected, "{fault} {is_typed}");
            }
            let expected = match (step, kind) {
                ("issue", "fail") => (0, None),
                ("issue", "drop") => (1, None),
                ("issue", "tamper") => (1, Some(b"certificatd".to_vec())),
                _ => (1, Some(b"certificate".to_vec())),
            };
            assert_eq!(issue(&fault).await, expected, "{fault}");
            for (request, name) in REQUESTS {
                let expected = match kind {
                    _ if name != step => Fate::Pass,
                    "fail" => Fate::Break,
                    "drop" => Fate::Lose,
                    _ => Fate::Spoil,
                };
                assert_eq!(fate(&fault, request).await, expected, "{fault} at {name}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn orders_are_counted_and_each_step_waits() {
        let disturbance = disturbance("test=fail@2 commit=drop", Duration::from_secs(1));
        #[expect(clippy::disallowed_methods, reason = "virtual time is tokio's")]
        let begun = tokio::time::Instant::now();
        let mut fates = Vec::new();
        for request in [DeviceRequest::Test, DeviceRequest::Test, DeviceRequest::Test] {
            fates.push(disturbance.fate(request).await);
        }
        assert_eq!(fates, [Fate::Pass, Fate::Break, Fate::Pass]);
        for _ in 0..2 {
            assert_eq!(disturbance.fate(DeviceRequest::Commit).await, Fate::Lose);
        }
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
    }
}
