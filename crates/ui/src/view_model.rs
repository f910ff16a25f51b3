//! The controller: one task that follows the service, five invokables.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use zeroize::Zeroizing;
use zmon_domain::role::OperatorProof;
use zmon_domain::time::{Tick, UnixTime};
use zmon_provisioning::ports::Clock;
use zmon_provisioning::{
    IProvisioningService, ProvisioningError, ProvisioningPayload, ProvisioningResult, ServiceView,
};

use crate::properties::ProvisioningProperties;

/// [W §11.2]'s `ProvisioningController` for screens of any kind. The task ends when it is dropped.
pub struct ProvisioningViewModel {
    service: Arc<dyn IProvisioningService>,
    clock: Arc<dyn Clock>,
    properties: watch::Receiver<ProvisioningProperties>,
    task: AbortHandle,
}

impl ProvisioningViewModel {
    /// The document's names of the invokables, in its order.
    pub const INVOKABLES: [&'static str; 5] = [
        "enterProvisioningMode",
        "exitProvisioningMode",
        "regenerateQRCode",
        "simulateConfiguration",
        "reprovisionDevice",
    ];

    /// Follows `service`. Needs a tokio runtime.
    #[must_use]
    pub fn new(service: Arc<dyn IProvisioningService>, clock: Arc<dyn Clock>) -> Self {
        let views = service.view();
        let first = ProvisioningProperties::new(&views.borrow(), Arc::default(), &clock.now());
        let (sender, properties) = watch::channel(first);
        let follower = Follower {
            service: Arc::clone(&service),
            clock: Arc::clone(&clock),
            views,
            properties: sender,
            drawn: None,
        };
        let task = tokio::spawn(follower.run()).abort_handle();
        Self { service, clock, properties, task }
    }

    /// The eight properties, newest value first.
    #[must_use]
    pub fn properties(&self) -> watch::Receiver<ProvisioningProperties> {
        self.properties.clone()
    }

    /// "Enter Provisioning Mode".
    ///
    /// # Errors
    ///
    /// As [`IProvisioningService::enter_provisioning_mode`].
    pub async fn enter_provisioning_mode(
        &self,
        proof: OperatorProof,
    ) -> Result<(), ProvisioningError> {
        self.service.enter_provisioning_mode(proof).await
    }

    /// "Cancel Provisioning".
    ///
    /// # Errors
    ///
    /// As [`IProvisioningService::exit_provisioning_mode`].
    pub async fn exit_provisioning_mode(
        &self,
        by: Option<&OperatorProof>,
    ) -> Result<(), ProvisioningError> {
        self.service.exit_provisioning_mode(by).await
    }

    /// "Regenerate QR Code": new code and token, the old ones are void.
    ///
    /// # Errors
    ///
    /// As [`IProvisioningService::generate_pairing_code`].
    pub async fn regenerate_qr_code(&self) -> Result<(), ProvisioningError> {
        self.service.generate_pairing_code().await.map(drop)
    }

    /// "Simulate Configuration" ([W §9.3], development only): a mock payload for the code on the
    /// screen, pushed and applied.
    pub async fn simulate_configuration(&self) -> ProvisioningResult {
        let code = self.properties.borrow().pairing_code.clone();
        let now = self.clock.now().wall.unwrap_or(UnixTime::EPOCH);
        let payload = ProvisioningPayload::mock(self.service.device_id(), &code, now);
        self.service.simulate_provisioning(&payload).await
    }

    /// "Re-provision Device".
    ///
    /// # Errors
    ///
    /// As [`IProvisioningService::reprovision_device`].
    pub async fn reprovision_device(&self, proof: OperatorProof) -> Result<(), ProvisioningError> {
        self.service.reprovision_device(proof).await
    }
}

/// [W §14], beside the document's eight properties and five invokables.
impl ProvisioningViewModel {
    /// What to ask or say about a manual configuration; empty without one.
    #[must_use]
    pub fn migration_prompt(&self) -> String {
        match &self.service.view().borrow().manual {
            None => String::new(),
            Some(manual) => match &manual.found {
                Ok(_) => String::from(manual.message()),
                Err(problem) => format!("{} {problem} {}", manual.message(), problem.next()),
            },
        }
    }

    /// The answer "now" to the migration prompt ([W §14]).
    ///
    /// # Errors
    ///
    /// As [`IProvisioningService::migrate`].
    pub async fn migrate(&self, proof: OperatorProof) -> Result<(), ProvisioningError> {
        self.service.migrate(proof).await
    }

    /// The answer "not now".
    ///
    /// # Errors
    ///
    /// As [`IProvisioningService::postpone_migration`].
    pub async fn postpone_migration(&self, proof: OperatorProof) -> Result<(), ProvisioningError> {
        self.service.postpone_migration(proof).await
    }
}

impl Drop for ProvisioningViewModel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for ProvisioningViewModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProvisioningViewModel")
            .field("properties", &*self.properties.borrow())
            .finish_non_exhaustive()
    }
}

/// The task: redraws the image when its content changes, counts down while a window is open.
struct Follower {
    service: Arc<dyn IProvisioningService>,
    clock: Arc<dyn Clock>,
    views: watch::Receiver<ServiceView>,
    properties: watch::Sender<ProvisioningProperties>,
    drawn: Option<(Zeroizing<String>, Arc<[u8]>)>,
}

impl Follower {
    async fn run(mut self) {
        loop {
            let view = self.views.borrow_and_update().clone();
            let image = self.image(&view).await;
            let now = self.clock.now();
            let next = ProvisioningProperties::new(&view, image, &now);
            self.properties.send_if_modified(|properties| {
                let changed = *properties != next;
                *properties = next;
                changed
            });
            let tick = next_tick(&view, now.mono);
            tokio::select! {
                changed = self.views.changed() => if changed.is_err() { return },
                () = wait(&*self.clock, tick) => {}
            }
        }
    }

    /// The image of the open window, drawn once per content.
    async fn image(&mut self, view: &ServiceView) -> Arc<[u8]> {
        let qr = view.pairing.as_ref().and_then(|pairing| pairing.qr.as_ref());
        let Some(qr) = qr else {
            self.drawn = None;
            return Arc::default();
        };
        match &self.drawn {
            Some((content, image)) if content.as_str() == qr.content.as_str() => Arc::clone(image),
            _ => match self.service.generate_qr_code().await {
                Ok(data) => {
                    let image: Arc<[u8]> = data.qr_code_image().into();
                    let content = Zeroizing::new(data.qr_code_content().to_owned());
                    self.drawn = Some((content, Arc::clone(&image)));
                    image
                }
                // The window closed meanwhile; the next view says so.
                Err(_closed) => Arc::default(),
            },
        }
    }
}

/// When the countdown next shows another number.
fn next_tick(view: &ServiceView, now: Tick) -> Option<Tick> {
    let left = view.pairing.as_ref()?.deadline.since(now);
    let part = Duration::from_nanos(u64::from(left.subsec_nanos()));
    let step = if part.is_zero() { Duration::from_secs(1) } else { part };
    (!left.is_zero()).then(|| now + step)
}

async fn wait(clock: &dyn Clock, tick: Option<Tick>) {
    match tick {
        Some(tick) => clock.sleep_until(tick).await,
        None => core::future::pending().await,
    }
}
