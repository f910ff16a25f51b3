//! Faults on the device's side.

use core::future::pending;
use std::sync::Arc;

use async_trait::async_trait;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::Thumbprint;
use zmon_domain::time::Now;
use zmon_protocol::PullMethod;
use zmon_protocol::device::{
    BootState, DeviceRecord, LinkCredentials, LinkError, Pulled, Retirement,
};
use zmon_provisioning::ports::{
    AuditPage, AuditReport, AuditRow, DeviceStore, StationLink, StoreError,
};
use zmon_wire::heartbeat::{Heartbeat, HeartbeatAnswer};
use zmon_wire::outcome::CommitRequest;
use zmon_wire::pull::FetchRequest;

use super::{Luck, spoil};
use crate::fault::{Kind, Step};

/// A link that fails as ordered.
pub(crate) struct FaultyLink<L> {
    pub(crate) inner: L,
    pub(crate) luck: Luck,
}

impl<L: StationLink> FaultyLink<L> {
    /// Runs `call` with the credentials it shall use.
    async fn faulty<T>(
        &self,
        step: Step,
        credentials: &LinkCredentials,
        call: impl AsyncFnOnce(&LinkCredentials) -> Result<T, LinkError>,
        spoil: impl FnOnce(&mut T),
    ) -> Result<T, LinkError> {
        let lost = LinkError::Network(ErrorCode::NetworkError);
        match self.luck.at(step).await {
            None => call(credentials).await,
            Some(Kind::Drop) => {
                drop(call(credentials).await);
                Err(lost)
            }
            Some(Kind::Tamper) if matches!(step, Step::Test | Step::Heartbeat) => {
                call(&another_server(credentials)).await
            }
            Some(Kind::Tamper) => {
                let mut answer = call(credentials).await?;
                spoil(&mut answer);
                Ok(answer)
            }
            Some(_) => Err(lost),
        }
    }
}

const ANOTHER_SERVER: Thumbprint = Thumbprint::from_bytes([0x5a; 32]);

/// The credentials with a pin that the server's key does not match.
fn another_server(credentials: &LinkCredentials) -> LinkCredentials {
    let mut other = credentials.clone();
    other.server_pin = Some(ANOTHER_SERVER);
    other
}

#[async_trait]
impl<L: StationLink> StationLink for FaultyLink<L> {
    async fn test(&self, credentials: &LinkCredentials) -> Result<(), LinkError> {
        let call = async |credentials: &LinkCredentials| self.inner.test(credentials).await;
        self.faulty(Step::Test, credentials, call, |()| {}).await
    }

    async fn commit(
        &self,
        credentials: &LinkCredentials,
        request: &CommitRequest,
    ) -> Result<Vec<u8>, LinkError> {
        let call =
            async |credentials: &LinkCredentials| self.inner.commit(credentials, request).await;
        self.faulty(Step::Commit, credentials, call, |answer| spoil(answer)).await
    }

    async fn ask_outcome(
        &self,
        credentials: &LinkCredentials,
        ask: &str,
    ) -> Result<Vec<u8>, LinkError> {
        let call =
            async |credentials: &LinkCredentials| self.inner.ask_outcome(credentials, ask).await;
        self.faulty(Step::Outcome, credentials, call, |answer| spoil(answer)).await
    }

    async fn pull(
        &self,
        credentials: &LinkCredentials,
        method: PullMethod,
        pull: &str,
    ) -> Result<Pulled, LinkError> {
        let call =
            async |credentials: &LinkCredentials| self.inner.pull(credentials, method, pull).await;
        self.faulty(Step::Pull, credentials, call, |answer| spoil(&mut answer.hello)).await
    }

    async fn fetch(
        &self,
        credentials: &LinkCredentials,
        method: PullMethod,
        request: &FetchRequest,
    ) -> Result<Vec<u8>, LinkError> {
        let call = async |credentials: &LinkCredentials| {
            self.inner.fetch(credentials, method, request).await
        };
        self.faulty(Step::Fetch, credentials, call, |envelope| spoil(envelope)).await
    }

    async fn retire(&self, retirement: &Retirement) -> Result<(), LinkError> {
        match self.luck.at(Step::Retire).await {
            None => self.inner.retire(retirement).await,
            Some(Kind::Drop) => {
                let _lost = self.inner.retire(retirement).await;
                Err(LinkError::Network(ErrorCode::NetworkError))
            }
            Some(Kind::Tamper) => {
                let mut other = retirement.clone();
                other.server_pin = Some(ANOTHER_SERVER);
                self.inner.retire(&other).await
            }
            Some(_) => Err(LinkError::Network(ErrorCode::NetworkError)),
        }
    }

    async fn heartbeat(
        &self,
        credentials: &LinkCredentials,
        heartbeat: &Heartbeat,
    ) -> Result<HeartbeatAnswer, LinkError> {
        let call = async |credentials: &LinkCredentials| {
            self.inner.heartbeat(credentials, heartbeat).await
        };
        self.faulty(Step::Heartbeat, credentials, call, |_answer| {}).await
    }
}

/// A store that fails, or takes the device with it, as ordered.
pub(crate) struct FaultyStore {
    pub(crate) inner: Arc<dyn DeviceStore>,
    pub(crate) luck: Luck,
}

#[async_trait]
impl DeviceStore for FaultyStore {
    async fn load(&self) -> Result<BootState, StoreError> {
        self.inner.load().await
    }

    async fn commit(&self, now: &Now, record: &DeviceRecord) -> Result<(), StoreError> {
        match self.luck.at(Step::Store).await {
            None => self.inner.commit(now, record).await,
            Some(Kind::Drop) => {
                // Durable, and nobody hears of it.
                self.inner.commit(now, record).await?;
                self.luck.power.cut();
                pending().await
            }
            Some(_) => Err(StoreError::Unavailable("ordered fault".to_owned())),
        }
    }

    async fn events(&self, page: AuditPage) -> Result<Vec<AuditRow>, StoreError> {
        self.inner.events(page).await
    }

    async fn verify_audit(&self) -> Result<AuditReport, StoreError> {
        self.inner.verify_audit().await
    }

    async fn checkpoint(&self) -> Result<Option<String>, StoreError> {
        self.inner.checkpoint().await
    }
}
