//! A device that is open and serves its stations. The sockets for people are its owner's: the program
//! puts a page and a control socket on it, a product its own screen.

use core::time::Duration;
use std::{path::PathBuf, sync::Arc};

use zmon_cli::Failure;
use zmon_crypto::Suite;
use zmon_domain::{
    audit::{AuditEvent, EventType},
    error::ErrorCode,
    limits,
    role::Actor,
};
use zmon_protocol::device::DeviceRecord;
use zmon_provisioning::{
    AuditedOperators, CentralStationProvisioningService, IProvisioningService,
    ports::{Authenticator, Clock, DeviceStore, OperatorAccounts, StoreError},
};
use zmon_transport::control::{ControlParts, LocalAccounts};
use zmon_ui::web::{LocalOperators, ScreenParts};
use zmon_wire::{control::IdentityView, kind};

#[cfg(feature = "simulate")]
use crate::simulate::Simulation;
use crate::{
    anchors,
    compose::{self, Disk, World},
    courier::Folder,
    settings::Settings,
};

/// How often rows that no checkpoint speaks for are signed (D16).
const CHECKPOINT_EVERY: Duration = limits::CHECKPOINT_PAUSE.default;
/// How often, and for how long in all, a directory is waited for that the run before still holds.
const LET_GO: Duration = Duration::from_millis(20);
const LET_GO_AT_MOST: Duration = Duration::from_secs(5);

/// An open device.
pub(crate) struct Running {
    settings: Arc<Settings>,
    disk: Disk,
    service: Arc<CentralStationProvisioningService>,
    operators: Arc<AuditedOperators>,
    anchors: Arc<anchors::Files>,
    #[cfg(feature = "simulate")]
    simulation: Option<Simulation>,
}

impl Running {
    /// Opens the directory of an initialised device and starts its service.
    ///
    /// # Errors
    /// As [`Disk::open`] and [`compose::start`].
    pub(crate) async fn open(
        dir: PathBuf,
        settings: Arc<Settings>,
        simulates: bool,
    ) -> Result<Self, Failure> {
        let disk = Disk::open(&dir, &settings.profile, settings.clock).await?;
        Self::start(dir, settings, disk, simulates).await
    }

    /// The same after a [`stop`](Self::stop); the last task of the run before may still be letting go
    /// of the directory.
    ///
    /// # Errors
    /// As [`Running::open`].
    pub(crate) async fn open_again(
        dir: PathBuf,
        settings: Arc<Settings>,
        simulates: bool,
    ) -> Result<Self, Failure> {
        let opening = async {
            loop {
                match Disk::open(&dir, &settings.profile, settings.clock).await {
                    Err(failure) if failure.code() == ErrorCode::StateConflict => {
                        tokio::time::sleep(LET_GO).await;
                    }
                    opened => return opened,
                }
            }
        };
        let disk = tokio::time::timeout(LET_GO_AT_MOST, opening)
            .await
            .unwrap_or_else(|_elapsed| Err(Failure::new(ErrorCode::StateConflict)))?;
        Self::start(dir, settings, disk, simulates).await
    }

    #[cfg_attr(
        not(feature = "simulate"),
        expect(unused_variables, reason = "only a development build simulates (D20)")
    )]
    async fn start(
        dir: PathBuf,
        settings: Arc<Settings>,
        disk: Disk,
        simulates: bool,
    ) -> Result<Self, Failure> {
        record(&disk, &settings, EventType::Started).await?;
        #[cfg(feature = "simulate")]
        let simulation = simulation(simulates, &settings, &disk).await?;
        #[cfg(feature = "simulate")]
        let world = match &simulation {
            Some(simulation) => simulation.world()?,
            None => World::real(&dir, &settings)?,
        };
        #[cfg(not(feature = "simulate"))]
        let world = World::real(&dir, &settings)?;
        let live = world.live_anchors();
        let service = compose::start(&settings, &disk, world, live.clone()).await?;
        #[cfg(feature = "simulate")]
        let service = match &simulation {
            Some(simulation) => service.with_simulated_station(simulation.station()),
            None => service,
        };
        let operators = AuditedOperators::new(
            Arc::clone(&disk.operators) as Arc<dyn OperatorAccounts>,
            Arc::clone(&disk.store) as Arc<dyn DeviceStore>,
            Arc::clone(&disk.clock),
            settings.profile.device_id.clone(),
        );
        let files = anchors::Files { dir: Arc::clone(&disk.dir), live };
        Ok(Self {
            settings,
            disk,
            service: Arc::new(service),
            operators: Arc::new(operators),
            anchors: Arc::new(files),
            #[cfg(feature = "simulate")]
            simulation,
        })
    }

    /// The service.
    pub(crate) fn service(&self) -> Arc<dyn IProvisioningService> {
        Arc::clone(&self.service) as Arc<dyn IProvisioningService>
    }

    /// The time that the service goes by.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.disk.clock)
    }

    /// What a control socket, or whoever speaks its requests, is composed of.
    pub(crate) fn control(&self) -> ControlParts {
        let Self { settings, disk, service, operators, .. } = self;
        let public = disk.keys.identity().public();
        let identity = IdentityView {
            device_id: settings.profile.device_id.clone(),
            device_serial: settings.profile.serial.clone(),
            firmware_version: settings.profile.firmware.clone(),
            suite: match public.suite() {
                Suite::P256 => kind::Suite::P256,
                Suite::Rsa2048 => kind::Suite::Rsa2048,
            },
            identity_key: public.thumbprint(),
            ip_address: Some(settings.address),
        };
        let desk = anchors::Desk { files: Arc::clone(&self.anchors), service: Arc::clone(service) };
        let parts = ControlParts::new(
            self.service(),
            Arc::clone(operators) as Arc<dyn Authenticator>,
            Arc::clone(&disk.store) as Arc<dyn DeviceStore>,
            self.clock(),
            identity,
        )
        .with_accounts(Arc::clone(operators) as Arc<dyn LocalAccounts>)
        .with_anchors(Arc::new(desk));
        match &settings.courier_folder {
            Some(path) => {
                let folder = Folder { path: path.clone(), device: service.endpoint() };
                parts.with_courier(Arc::new(folder))
            }
            None => parts,
        }
    }

    /// What a page on the device's own screen is composed of.
    pub(crate) fn screen(&self) -> ScreenParts {
        let page = ScreenParts::new(
            self.service(),
            Arc::clone(&self.operators) as Arc<dyn Authenticator>,
            Arc::clone(&self.operators) as Arc<dyn LocalOperators>,
            self.clock(),
            self.settings.profile.serial.clone(),
        );
        #[cfg(feature = "simulate")]
        let page = if self.simulation.is_some() { page.with_simulation() } else { page };
        page
    }

    /// Signs new audit rows once a minute; returns when a factory reset has asked for a new identity, so
    /// that everything has to be opened anew, under other keys.
    pub(crate) async fn keep(&self) {
        let mut view = self.service.view();
        tokio::select! {
            never = self.checkpoints() => match never {},
            // The driver outlives the view.
            _awaits = view.wait_for(|view| view.awaits_restart) => {}
        }
    }

    /// Stops the service in order.
    ///
    /// # Errors
    /// What the store says to the last row.
    pub(crate) async fn stop(self) -> Result<(), Failure> {
        self.service.shutdown().await;
        #[cfg(feature = "simulate")]
        if let Some(simulation) = self.simulation {
            simulation.stop().await;
        }
        record(&self.disk, &self.settings, EventType::Stopped).await
    }

    /// A failure waits for the next round: the rows are durable without a checkpoint.
    async fn checkpoints(&self) -> core::convert::Infallible {
        let disk = &self.disk;
        loop {
            disk.clock.sleep_until(disk.clock.now().mono + CHECKPOINT_EVERY).await;
            let signed = async {
                if disk.store.audit_log().rows_since_checkpoint().await.is_ok_and(|rows| rows > 0) {
                    disk.store.write_checkpoint(&disk.clock.now()).await?;
                }
                Ok::<(), StoreError>(())
            };
            if let Err(error) = signed.await {
                tracing::warn!(%error, "no checkpoint of the audit log");
            }
        }
    }
}

/// The station in this process, if one was asked for. The log says so before anything happens.
#[cfg(feature = "simulate")]
async fn simulation(
    simulates: bool,
    settings: &Settings,
    disk: &Disk,
) -> Result<Option<Simulation>, Failure> {
    if !simulates {
        return Ok(None);
    }
    tracing::warn!("this device simulates: its station is its own, and real ones are refused");
    let simulation = Simulation::start(settings, disk, compose::provider()).await?;
    record(disk, settings, EventType::SimulationStarted).await?;
    Ok(Some(simulation))
}

/// A row about the program itself, before it serves and after it has stopped.
async fn record(disk: &Disk, settings: &Settings, event: EventType) -> Result<(), Failure> {
    let row = AuditEvent::new(event, Actor::System)
        .device(&settings.profile.device_id)
        .with("firmwareVersion", &settings.profile.firmware);
    let record = DeviceRecord { audit: vec![row], ..DeviceRecord::default() };
    disk.record(&disk.clock.now(), &record).await
}
