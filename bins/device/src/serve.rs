//! `device run`: serves until SIGTERM or SIGINT.

use std::sync::Arc;

use zmon_cli::{Failure, Streams, logging, stop::StopSignal};
use zmon_domain::error::ErrorCode;
use zmon_transport::{
    control::{ControlServer, SocketError},
    screen,
    server::Server,
};
use zmon_ui::web::{Screen, ScreenParts};
use zmon_wire::ready::Ready;

use crate::{
    args::{Run, ScreenAddress},
    running::Running,
    settings::Settings,
};

/// Serves a device; returns when it was told to stop and has stopped in order.
///
/// # Errors
/// Only before the ready line: settings, disk, sockets.
pub(crate) async fn run(args: Run, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let settings = Arc::new(Settings::load(&args)?);
    logging::init(settings.log.clone(), settings.log_format);
    let served = async {
        let mut end = serve(&args, &settings, Turn::First, streams).await?;
        while let End::Again = end {
            end = serve(&args, &settings, Turn::Later, streams).await?;
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

async fn serve(
    args: &Run,
    settings: &Arc<Settings>,
    turn: Turn,
    streams: &mut Streams<'_>,
) -> Result<End, Failure> {
    let mut stop = StopSignal::listen()
        .map_err(|error| Failure::new(ErrorCode::Internal).context(error.to_string()))?;
    let (dir, simulates) = (args.dir.clone(), simulates(args));
    let running = match turn {
        Turn::First => Running::open(dir, Arc::clone(settings), simulates).await?,
        Turn::Later => Running::open_again(dir, Arc::clone(settings), simulates).await?,
    };
    let control = ControlServer::start(&settings.control, running.control())
        .map_err(|error| refused(settings, &error))?;
    let screen = Shown::start(settings.screen, running.screen()).await?;

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

    let (end, reason) = tokio::select! {
        signal = stop.recv() => (End::Stopped, signal),
        () = running.keep() => (End::Again, "new identity"),
    };
    tracing::info!(reason, "stopping");
    if let Some(shown) = screen {
        shown.stop().await;
    }
    control.shutdown().await;
    running.stop().await?;
    tracing::info!("stopped");
    Ok(end)
}

#[cfg(feature = "simulate")]
fn simulates(args: &Run) -> bool {
    args.simulate
}

#[cfg(not(feature = "simulate"))]
fn simulates(_: &Run) -> bool {
    false
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

fn refused(settings: &Settings, error: &SocketError) -> Failure {
    Failure::new(ErrorCode::ListenerFailed)
        .context(format!("{}: {error}", settings.control.display()))
        .next("Stop the other process, or name another socket with --control.")
}
