//! `device run`: serves until SIGTERM or SIGINT.

use core::time::Duration;
use std::sync::Arc;

use zmon_cli::{Failure, Streams, logging, stop::StopSignal};
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
    ports::{Authenticator, DeviceStore, OperatorAccounts},
};
use zmon_transport::{
    control::{ControlParts, ControlServer, LocalAccounts, SocketError},
    screen,
    server::Server,
};
use zmon_ui::web::{LocalOperators, Screen, ScreenParts};
use zmon_wire::{control::IdentityView, kind, ready::Ready};

#[cfg(feature = "simulate")]
use crate::simulate::Simulation;
use crate::{
    anchors,
    args::{Run, ScreenAddress},
    compose::{self, Disk, World},
    courier::Folder,
    settings::Settings,
};

/// How often rows that no checkpoint speaks for are signed (D16).
const CHECKPOINT_EVERY: Duration = limits::CHECKPOINT_PAUSE.default;
/// How often, and for how long in all, a directory is waited for that the run before still holds.
const LET_GO: Duration = Duration::from_millis(20);
const LET_GO_AT_MOST: Duration = Duration::from_secs(5);

/// Serves a device; returns when it was told to stop and has stopped in order.
///
/// # Errors
/// Only before the ready line: settings, disk, sockets.
pub(crate) async fn run(args: Run, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let settings = Settings::load(&args)?;
    logging::init(settings.log.clone(), settings.log_format);
    let served = async {
        let disk = Disk::open(&args.dir, &settings.profile, settings.clock).await?;
        let mut end = serve(&args, &settings, disk, Turn::First, streams).await?;
        while let End::Again = end {
            let disk = open_again(&args, &settings).await?;
            end = serve(&args, &settings, disk, Turn::Later, streams).await?;
        }
        Ok(())
    };
    let served = served.await;
    if let Err(failure) = &served {
        let failure: &Failure = failure;
        logging::ending(&failure.report());
    }
    served
}

/// Which run of this process it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    First,
    Later,
}

/// Why serving ended.
enum End {
    /// It was told to.
    Stopped,
    /// A factory reset asked for a new identity: everything is opened anew, under other keys.
    Again,
}

/// Opens the directory of the run before; its last task may still be letting go of it.
async fn open_again(args: &Run, settings: &Settings) -> Result<Disk, Failure> {
    let opening = async {
        loop {
            match Disk::open(&args.dir, &settings.profile, settings.clock).await {
                Err(failure) if failure.code() == ErrorCode::StateConflict => {
                    tokio::time::sleep(LET_GO).await;
                }
                opened => return opened,
            }
        }
    };
    tokio::time::timeout(LET_GO_AT_MOST, opening)
        .await
        .unwrap_or_else(|_elapsed| Err(Failure::new(ErrorCode::StateConflict)))
}

async fn serve(
    args: &Run,
    settings: &Settings,
    disk: Disk,
    turn: Turn,
    streams: &mut Streams<'_>,
) -> Result<End, Failure> {
    let mut stop = StopSignal::listen()
        .map_err(|error| Failure::new(ErrorCode::Internal).context(error.to_string()))?;
    record(&disk, settings, EventType::Started).await?;
    #[cfg(feature = "simulate")]
    let simulation = simulation(args, settings, &disk).await?;
    #[cfg(feature = "simulate")]
    let world = match &simulation {
        Some(simulation) => simulation.world()?,
        None => World::real(&args.dir, settings)?,
    };
    #[cfg(not(feature = "simulate"))]
    let world = World::real(&args.dir, settings)?;
    let live = world.live_anchors();
    let service = compose::start(settings, &disk, world, live.clone()).await?;
    #[cfg(feature = "simulate")]
    let service = match &simulation {
        Some(simulation) => service.with_simulated_station(simulation.station()),
        None => service,
    };
    let service = Arc::new(service);
    let operators = Arc::new(AuditedOperators::new(
        Arc::clone(&disk.operators) as Arc<dyn OperatorAccounts>,
        Arc::clone(&disk.store) as Arc<dyn DeviceStore>,
        Arc::clone(&disk.clock),
        settings.profile.device_id.clone(),
    ));
    let files = Arc::new(anchors::Files { dir: Arc::clone(&disk.dir), live });
    let desk = anchors::Desk { files, service: Arc::clone(&service) };
    let control = control(&disk, settings, &service, &operators).with_anchors(Arc::new(desk));
    let control = ControlServer::start(&settings.control, control)
        .map_err(|error| refused(settings, &error))?;
    let page = ScreenParts::new(
        Arc::clone(&service) as Arc<dyn IProvisioningService>,
        Arc::clone(&operators) as Arc<dyn Authenticator>,
        operators as Arc<dyn LocalOperators>,
        Arc::clone(&disk.clock),
        settings.profile.serial.clone(),
    );
    #[cfg(feature = "simulate")]
    let page = if simulation.is_some() { page.with_simulation() } else { page };
    let screen = Shown::start(settings.screen, page).await?;

    let ready = Ready::new("device", env!("CARGO_PKG_VERSION"))
        .with("deviceId", settings.profile.device_id.as_str())
        .with("control", settings.control.display().to_string())
        .with("provisioning", settings.address.to_string());
    let ready = match &screen {
        Some(shown) => ready.with("screen", format!("http://{}/", shown.server.address())),
        None => ready,
    };
    match streams.json(&ready) {
        // Whoever read the first line may have hung up since; the monitor serves on.
        Err(error) if turn == Turn::Later => tracing::warn!(%error, "no second ready line"),
        written => written?,
    }
    tracing::info!(device = %settings.profile.device_id, "ready");

    let mut view = service.view();
    let (end, reason) = tokio::select! {
        signal = stop.recv() => (End::Stopped, signal),
        never = checkpoints(&disk) => (End::Stopped, never),
        // The driver outlives the view.
        _awaits = view.wait_for(|view| view.awaits_restart) => (End::Again, "new identity"),
    };
    tracing::info!(reason, "stopping");
    if let Some(shown) = screen {
        shown.stop().await;
    }
    control.shutdown().await;
    service.shutdown().await;
    #[cfg(feature = "simulate")]
    if let Some(simulation) = simulation {
        simulation.stop().await;
    }
    record(&disk, settings, EventType::Stopped).await?;
    tracing::info!("stopped");
    Ok(end)
}

/// The station in this process, if one was asked for. The log says so before anything happens.
#[cfg(feature = "simulate")]
async fn simulation(
    args: &Run,
    settings: &Settings,
    disk: &Disk,
) -> Result<Option<Simulation>, Failure> {
    if !args.simulate {
        return Ok(None);
    }
    tracing::warn!("this device simulates: its station is its own, and real ones are refused");
    let simulation = Simulation::start(settings, disk, compose::provider()).await?;
    record(disk, settings, EventType::SimulationStarted).await?;
    Ok(Some(simulation))
}

/// The page on the device's own screen, and who serves it.
struct Shown {
    screen: Screen,
    server: Server,
}

impl Shown {
    async fn start(address: ScreenAddress, parts: ScreenParts) -> Result<Option<Self>, Failure> {
        let ScreenAddress::At(address) = address else { return Ok(None) };
        let screen = Screen::new(parts);
        let server = screen::serve(address, screen.router()).await.map_err(|error| {
            Failure::new(ErrorCode::ListenerFailed)
                .context(format!("screen on {address}: {error}"))
                .next("Stop the other program, or name another port with --screen.")
        })?;
        Ok(Some(Self { screen, server }))
    }

    /// Ends the pages' streams first: nothing else does.
    async fn stop(self) {
        drop(self.screen);
        self.server.shutdown().await;
    }
}

fn control(
    disk: &Disk,
    settings: &Settings,
    service: &Arc<CentralStationProvisioningService>,
    operators: &Arc<AuditedOperators>,
) -> ControlParts {
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
    let parts = ControlParts::new(
        Arc::clone(service) as Arc<dyn IProvisioningService>,
        Arc::clone(operators) as Arc<dyn Authenticator>,
        Arc::clone(&disk.store) as Arc<dyn DeviceStore>,
        Arc::clone(&disk.clock),
        identity,
    )
    .with_accounts(Arc::clone(operators) as Arc<dyn LocalAccounts>);
    match &settings.courier_folder {
        Some(path) => {
            let folder = Folder { path: path.clone(), device: service.endpoint() };
            parts.with_courier(Arc::new(folder))
        }
        None => parts,
    }
}

/// A row about the program itself, before it serves and after it has stopped.
async fn record(disk: &Disk, settings: &Settings, event: EventType) -> Result<(), Failure> {
    let row = AuditEvent::new(event, Actor::System)
        .device(&settings.profile.device_id)
        .with("firmwareVersion", &settings.profile.firmware);
    let record = DeviceRecord { audit: vec![row], ..DeviceRecord::default() };
    disk.record(&disk.clock.now(), &record).await
}

/// Signs new audit rows once a minute; never returns. A failure waits for the next round: the rows
/// are durable without it.
async fn checkpoints(disk: &Disk) -> &'static str {
    loop {
        disk.clock.sleep_until(disk.clock.now().mono + CHECKPOINT_EVERY).await;
        let signed = async {
            if disk.store.audit_log().rows_since_checkpoint().await.is_ok_and(|rows| rows > 0) {
                disk.store.write_checkpoint(&disk.clock.now()).await?;
            }
            Ok::<(), zmon_provisioning::ports::StoreError>(())
        };
        if let Err(error) = signed.await {
            tracing::warn!(%error, "no checkpoint of the audit log");
        }
    }
}

fn refused(settings: &Settings, error: &SocketError) -> Failure {
    Failure::new(ErrorCode::ListenerFailed)
        .context(format!("{}: {error}", settings.control.display()))
        .next("Stop the other process, or name another socket with --control.")
}
