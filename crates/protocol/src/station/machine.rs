//! One session, from the scan to the paired device.

use rand_core::CryptoRng;
use zmon_domain::ids::{DeviceId, OperatorId, Serial, SessionId};
use zmon_domain::time::{Now, Tick};
use zmon_wire::pair::PairAnswer;

use super::context::{OpenRequest, SessionContext};
use super::io::{SessionInput, SessionPhase, SessionTransition};

/// One session of the station. Cheap to clone: secrets are shared and wiped with their last holder.
#[derive(Clone)]
pub struct SessionMachine {}

impl SessionMachine {
    /// Starts a session: checks reservation, registry, key and address, then dials.
    ///
    /// A refused scan ends in `Failed` with its row, a reply that says why, and no action.
    pub fn open(
        ctx: &SessionContext<'_>,
        now: &Now,
        rng: &mut dyn CryptoRng,
        request: OpenRequest,
    ) -> SessionTransition {
        todo!()
    }

    /// Takes one input.
    pub fn handle(
        self,
        ctx: &SessionContext<'_>,
        now: &Now,
        rng: &mut dyn CryptoRng,
        input: SessionInput,
    ) -> SessionTransition {
        todo!()
    }

    /// When the machine wants its next `Timeout`. An instant that has passed means now.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Tick> {
        todo!()
    }

    /// Where the session is.
    #[must_use]
    pub fn phase(&self) -> SessionPhase {
        todo!()
    }

    /// The session.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        todo!()
    }

    /// The device.
    #[must_use]
    pub fn device_id(&self) -> &DeviceId {
        todo!()
    }

    /// Who works on it.
    #[must_use]
    pub fn operator(&self) -> &OperatorId {
        todo!()
    }

    /// Serial number of the certificate issued in this session.
    #[must_use]
    pub fn serial(&self) -> Option<&Serial> {
        todo!()
    }

    /// The answer of `pair` in [W §11.3]'s shape, once paired.
    #[must_use]
    pub fn answer(&self) -> Option<PairAnswer> {
        todo!()
    }
}
