//! The machine and its dispatch.

use rand_core::CryptoRng;
use zmon_domain::state::{ProvisioningState, ProvisioningStatus};
use zmon_domain::time::{Now, Tick};

use super::input::DeviceInput;
use super::output::DeviceTransition;
use super::profile::{BootState, DeviceContext};
use super::snapshot::DeviceSnapshot;

/// The device. Cheap to clone: secrets are shared and wiped with their last holder.
#[derive(Clone)]
pub struct DeviceMachine {}

impl DeviceMachine {
    /// The machine as storage left it.
    ///
    /// Voids a window that was open, drops a slot B whose commit was never sent (both with a row),
    /// takes up an in-doubt commit (D13) and starts the link of slot A.
    pub fn restore(boot: BootState, ctx: &DeviceContext<'_>, now: &Now) -> DeviceTransition {
        todo!()
    }

    /// Takes one input.
    pub fn handle(
        self,
        ctx: &DeviceContext<'_>,
        now: &Now,
        rng: &mut dyn CryptoRng,
        input: DeviceInput,
    ) -> DeviceTransition {
        todo!()
    }

    /// When the machine wants its next `Timeout`. An instant that has passed means now.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Tick> {
        todo!()
    }

    /// The state ([W §6]).
    #[must_use]
    pub fn state(&self) -> ProvisioningState {
        todo!()
    }

    /// The status ([I §3.3]).
    #[must_use]
    pub fn status(&self) -> ProvisioningStatus {
        self.state().status()
    }

    /// Whether slot A lives; true throughout a re-provisioning.
    #[must_use]
    pub fn is_provisioned(&self) -> bool {
        todo!()
    }

    /// What screens may see.
    #[must_use]
    pub fn snapshot(&self, now: &Now) -> DeviceSnapshot {
        todo!()
    }
}
