//! Faults on the station's side.

use async_trait::async_trait;
use zmon_station::ports::{
    CertificateIssuer, Claim, ClientCertificateOrder, CrlOrder, DeviceConnection, DeviceDialer,
    DialError, IssueError, IssuedCertificate, Target,
};
use zmon_wire::blink::{BlinkAnswer, BlinkRequest};
use zmon_wire::pake::{PakeConfirm, PakeStart, PakeStarted, WindowAnswer};
use zmon_wire::session::{DeliveryAnswer, SessionAnswer, SessionOpen};

use super::{Luck, spoil, spoil_text};
use crate::fault::{Kind, Step};

/// A dialer that fails as ordered.
pub(crate) struct FaultyDialer<D> {
    pub(crate) inner: D,
    pub(crate) luck: Luck,
}

#[async_trait]
impl<D: DeviceDialer> DeviceDialer for FaultyDialer<D> {
    async fn open(
        &self,
        target: &Target,
        mut open: SessionOpen,
    ) -> Result<(SessionAnswer, Box<dyn DeviceConnection>), DialError> {
        if self.luck.at(Step::Dial).await.is_some() {
            return Err(ordered());
        }
        let kind = self.luck.at(Step::Session).await;
        match kind {
            Some(Kind::Fail) => return Err(ordered()),
            Some(Kind::Tamper) => spoil_text(&mut open.hello),
            Some(Kind::Truncate) => open.hello.truncate(open.hello.len() / 2),
            _ => {}
        }
        let (mut answer, connection) = self.inner.open(target, open).await?;
        if kind == Some(Kind::Drop) {
            return Err(ordered());
        }
        spoil_identity(&self.luck, &mut answer).await?;
        Ok((answer, Box::new(FaultyConnection { inner: connection, luck: self.luck.clone() })))
    }

    async fn window(
        &self,
        target: &Target,
    ) -> Result<(WindowAnswer, Box<dyn DeviceConnection>), DialError> {
        if self.luck.at(Step::Dial).await.is_some() {
            return Err(ordered());
        }
        let (answer, connection) = self.inner.window(target).await?;
        Ok((answer, Box::new(FaultyConnection { inner: connection, luck: self.luck.clone() })))
    }

    fn again(&self, target: &Target, claim: Option<Claim>) -> Box<dyn DeviceConnection> {
        let inner = self.inner.again(target, claim);
        Box::new(FaultyConnection { inner, luck: self.luck.clone() })
    }
}

struct FaultyConnection {
    inner: Box<dyn DeviceConnection>,
    luck: Luck,
}

#[async_trait]
impl DeviceConnection for FaultyConnection {
    async fn pake_start(&mut self, mut start: PakeStart) -> Result<PakeStarted, DialError> {
        let kind = self.luck.at(Step::Session).await;
        match kind {
            Some(Kind::Fail) => return Err(ordered()),
            Some(Kind::Tamper) => spoil_text(&mut start.hello),
            Some(Kind::Truncate) => start.hello.truncate(start.hello.len() / 2),
            _ => {}
        }
        let started = self.inner.pake_start(start).await?;
        if kind == Some(Kind::Drop) { Err(ordered()) } else { Ok(started) }
    }

    async fn pake_confirm(&mut self, confirm: PakeConfirm) -> Result<SessionAnswer, DialError> {
        let mut answer = self.inner.pake_confirm(confirm).await?;
        spoil_identity(&self.luck, &mut answer).await?;
        Ok(answer)
    }

    async fn blink(&mut self, request: BlinkRequest) -> Result<BlinkAnswer, DialError> {
        self.inner.blink(request).await
    }

    async fn deliver(&mut self, mut envelope: Vec<u8>) -> Result<DeliveryAnswer, DialError> {
        let kind = self.luck.at(Step::Deliver).await;
        match kind {
            Some(Kind::Fail) => return Err(ordered()),
            Some(Kind::Tamper) => spoil(&mut envelope),
            Some(Kind::Truncate) => envelope.truncate(envelope.len() / 2),
            _ => {}
        }
        let answer = self.inner.deliver(envelope).await?;
        if kind == Some(Kind::Drop) { Err(ordered()) } else { Ok(answer) }
    }
}

async fn spoil_identity(luck: &Luck, answer: &mut SessionAnswer) -> Result<(), DialError> {
    match luck.at(Step::Identity).await {
        Some(Kind::Tamper) => spoil_text(&mut answer.identity),
        Some(Kind::Truncate) => answer.identity.truncate(answer.identity.len() / 2),
        Some(_) => return Err(ordered()),
        None => {}
    }
    Ok(())
}

/// An issuer that fails as ordered.
pub(crate) struct FaultyIssuer<I> {
    pub(crate) inner: I,
    pub(crate) luck: Luck,
}

#[async_trait]
impl<I: CertificateIssuer> CertificateIssuer for FaultyIssuer<I> {
    async fn issue(&self, order: &ClientCertificateOrder) -> Result<IssuedCertificate, IssueError> {
        let failed = || IssueError::Signing { cause: "ordered fault".to_owned() };
        match self.luck.at(Step::Issue).await {
            None => self.inner.issue(order).await,
            Some(Kind::Tamper) => {
                let mut issued = self.inner.issue(order).await?;
                spoil(&mut issued.der);
                issued.chain.first_mut().into_iter().for_each(|leaf| spoil(leaf));
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
