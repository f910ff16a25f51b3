//! How the simulated station reaches the device: by a call, not by the network.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use zmon_domain::error::ErrorReport;
use zmon_domain::ids::Thumbprint;
use zmon_provisioning::ports::DeviceEndpoint;
use zmon_station::ports::{Claim, DeviceConnection, DeviceDialer, DialError, Target};
use zmon_wire::blink::{BlinkAnswer, BlinkRequest};
use zmon_wire::pake::{PakeConfirm, PakeStart, PakeStarted, WindowAnswer};
use zmon_wire::session::{DeliveryAnswer, SessionAnswer, SessionOpen};

/// Dials the one device of this process.
pub(super) struct InProcessDialer {
    identity: Thumbprint,
    device: Mutex<Option<Arc<dyn DeviceEndpoint>>>,
}

impl InProcessDialer {
    /// A dialer to whoever holds this identity key.
    pub(super) fn new(identity: Thumbprint) -> Self {
        Self { identity, device: Mutex::default() }
    }

    /// Where the next connection goes.
    pub(super) fn reach(&self, device: Arc<dyn DeviceEndpoint>) {
        *self.device.lock().unwrap_or_else(PoisonError::into_inner) = Some(device);
    }

    /// The device, if the key is the one that the token names: what the pin does on a network.
    fn connect(&self, target: &Target) -> Result<Box<Connection>, DialError> {
        let device = self.device.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let device = device.filter(|_| target.thumbprint16 == self.identity.short());
        let unreachable = || DialError::Unreachable { cause: "no such device here".to_owned() };
        device.map(|device| Box::new(Connection(device))).ok_or_else(unreachable)
    }
}

#[async_trait]
impl DeviceDialer for InProcessDialer {
    async fn open(
        &self,
        target: &Target,
        open: SessionOpen,
    ) -> Result<(SessionAnswer, Box<dyn DeviceConnection>), DialError> {
        let connection = self.connect(target)?;
        let answer = connection.0.session(open).await.map_err(refused)?;
        Ok((answer, connection))
    }

    async fn window(
        &self,
        target: &Target,
    ) -> Result<(WindowAnswer, Box<dyn DeviceConnection>), DialError> {
        let connection = self.connect(target)?;
        let answer = connection.0.window().await.map_err(refused)?;
        Ok((answer, connection))
    }

    /// The device and this station live and end together: nothing is ever taken up again.
    fn again(&self, target: &Target, _claim: Option<Claim>) -> Box<dyn DeviceConnection> {
        match self.connect(target) {
            Ok(connection) => connection,
            Err(error) => Box::new(Gone(error)),
        }
    }
}

/// A connection to a device that is not there.
struct Gone(DialError);

#[async_trait]
impl DeviceConnection for Gone {
    async fn pake_start(&mut self, _: PakeStart) -> Result<PakeStarted, DialError> {
        Err(self.0.clone())
    }

    async fn pake_confirm(&mut self, _: PakeConfirm) -> Result<SessionAnswer, DialError> {
        Err(self.0.clone())
    }

    async fn blink(&mut self, _: BlinkRequest) -> Result<BlinkAnswer, DialError> {
        Err(self.0.clone())
    }

    async fn deliver(&mut self, _: Vec<u8>) -> Result<DeliveryAnswer, DialError> {
        Err(self.0.clone())
    }
}

struct Connection(Arc<dyn DeviceEndpoint>);

#[async_trait]
impl DeviceConnection for Connection {
    async fn pake_start(&mut self, start: PakeStart) -> Result<PakeStarted, DialError> {
        self.0.pake_start(start).await.map_err(refused)
    }

    async fn pake_confirm(&mut self, confirm: PakeConfirm) -> Result<SessionAnswer, DialError> {
        self.0.pake_confirm(confirm).await.map_err(refused)
    }

    async fn blink(&mut self, request: BlinkRequest) -> Result<BlinkAnswer, DialError> {
        self.0.blink(request).await.map_err(refused)
    }

    async fn deliver(&mut self, envelope: Vec<u8>) -> Result<DeliveryAnswer, DialError> {
        self.0.configuration(envelope).await.map_err(refused)
    }
}

fn refused(report: ErrorReport) -> DialError {
    DialError::Refused { report }
}
