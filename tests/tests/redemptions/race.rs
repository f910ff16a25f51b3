//! One code after another on one device, each redeemed by sixteen at once (T5, D11).

use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::state::ProvisioningState;
use zmon_provisioning::IProvisioningService;
use zmon_testkit::{DeviceOptions, Seed, SimulatedDevice, TestClock};

use crate::station::{Redeemers, START};

/// How many redeem a code at once.
const REDEEMERS: usize = 16;

/// A device and those who redeem its codes.
pub(crate) struct Race {
    device: SimulatedDevice,
    redeemers: Redeemers,
}

impl Race {
    /// A device with its files, its database and its driver.
    pub(crate) async fn new(seed: Seed) -> Self {
        let redeemers = Redeemers::new(seed.rng());
        let clock = TestClock::starting_at(START);
        let options = DeviceOptions::trusting(redeemers.anchor(), clock, seed);
        Self { device: SimulatedDevice::with(options).await, redeemers }
    }

    /// Shows a code and has it redeemed.
    ///
    /// # Errors
    /// What was answered, when not exactly one was accepted and all others got the one answer.
    pub(crate) async fn once(&mut self) -> Result<(), String> {
        let Self { device, redeemers } = self;
        let qr = device.open_window().await;
        let now = device.clock().now().wall.ok_or("no time")?;
        let claims: Vec<_> = (0..REDEEMERS).map(|_| redeemers.claim(&qr, now)).collect();
        let asking = claims.into_iter().map(|claim| {
            let endpoint = device.service().endpoint();
            tokio::spawn(async move { endpoint.session(claim).await })
        });
        let asking: Vec<_> = asking.collect();
        let mut accepted = 0;
        for answer in asking {
            match answer.await.map_err(|error| error.to_string())? {
                Ok(_identity) => accepted += 1,
                Err(refused) if refused == ErrorReport::from(ErrorCode::ClaimRefused) => {}
                Err(other) => return Err(format!("refused with {other:?}")),
            }
        }
        if accepted != 1 {
            return Err(format!("{accepted} of {REDEEMERS} were accepted"));
        }
        let ended = device.service().exit_provisioning_mode(None).await;
        ended.map_err(|error| format!("the claimed session does not end: {error:?}"))?;
        let state = device.state();
        if state == ProvisioningState::NotProvisioned {
            Ok(())
        } else {
            Err(format!("{state} after it"))
        }
    }

    /// After all of them the log holds.
    ///
    /// # Panics
    /// When it does not.
    pub(crate) async fn end(self) {
        self.device.audit_verified().await;
    }
}
