//! What a call needs of an open device, and whether there is one.

use std::sync::Arc;

use tokio::sync::watch;
use zeroize::Zeroizing;
use zmon_cli::Failure;
use zmon_device::embed::EmbeddedDevice;
use zmon_domain::ids::OperatorId;
use zmon_domain::role::Role;
use zmon_provisioning::link::LinkStatus;
use zmon_provisioning::{EventStream, IProvisioningService};
use zmon_transport::control::ControlHandler;
use zmon_ui::web::LocalOperators;
use zmon_ui::{ProvisioningProperties, ProvisioningViewModel};
use zmon_wire::control::{ControlAnswer, ControlRequest};

use crate::outcome::{Outcome, Refusal};

/// A device between two openings of its directory.
pub(crate) struct Live {
    handler: Arc<ControlHandler>,
    operators: Arc<dyn LocalOperators>,
    service: Arc<dyn IProvisioningService>,
    model: ProvisioningViewModel,
}

impl Live {
    /// What calls need of `device`. Needs a tokio runtime.
    pub(crate) fn new(device: &EmbeddedDevice) -> Self {
        Self {
            handler: ControlHandler::new(device.control()),
            operators: device.operators(),
            service: device.service(),
            model: ProvisioningViewModel::new(device.service(), device.clock()),
        }
    }

    pub(crate) async fn answer(&self, request: ControlRequest) -> ControlAnswer {
        self.handler.answer(request).await
    }

    pub(crate) async fn operators(&self) -> Vec<(OperatorId, Role)> {
        self.operators.operators().await
    }

    pub(crate) fn properties(&self) -> watch::Receiver<ProvisioningProperties> {
        self.model.properties()
    }

    pub(crate) fn signals(&self) -> EventStream {
        self.service.events()
    }

    pub(crate) fn link(&self) -> watch::Receiver<LinkStatus> {
        self.service.link()
    }

    /// The image of the open window as PNG.
    pub(crate) async fn qr_png(&self) -> Outcome<Zeroizing<Vec<u8>>> {
        let data = self.service.generate_qr_code().await.map_err(Failure::from)?;
        Ok(Zeroizing::new(data.qr_code_image().to_vec()))
    }
}

/// Where a device stands.
pub(crate) enum State {
    /// It serves.
    Open(Arc<Live>),
    /// It is being opened again, under a new identity.
    Reopening,
    /// It serves no more: it was closed, or why it could not be opened again.
    Ended(Option<Failure>),
}

/// The device as soon as it serves.
///
/// # Errors
/// `Closed`, or why it does not serve any more.
pub(crate) async fn open(mut state: watch::Receiver<State>) -> Outcome<Arc<Live>> {
    let is_settled = |state: &State| !matches!(state, State::Reopening);
    let state = state.wait_for(is_settled).await.map_err(|_| Refusal::closed())?;
    match &*state {
        State::Open(live) => Ok(Arc::clone(live)),
        State::Ended(Some(failure)) => Err(failure.clone().into()),
        State::Ended(None) | State::Reopening => Err(Refusal::closed()),
    }
}
