//! `mock-central-station run`: serves until SIGTERM or SIGINT.

use core::time::Duration;

use zmon_cli::{Failure, Streams, logging, stop::StopSignal};
use zmon_domain::error::{ErrorCode, Side};
use zmon_domain::limits;
use zmon_station::ports::Clock;
use zmon_wire::ready::Ready;

use crate::{
    args::Run,
    compose::{self, Running},
    faulty::Disturbance,
    keys,
    settings::Settings,
    system::SystemClock,
};

/// How often rows that no checkpoint speaks for are signed (D16).
const CHECKPOINT_EVERY: Duration = limits::CHECKPOINT_PAUSE.default;

/// Serves a station; returns when it was told to stop and has stopped in order.
///
/// # Errors
/// Only before the ready line: settings, disk, sockets.
pub(crate) async fn run(args: Run, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let settings = Settings::load(&args)?;
    logging::init(settings.log.clone(), settings.log_format);
    let mut stop = stop_signal()?;
    let running = match compose::start(&args.dir, &settings, Disturbance::default()).await {
        Ok(running) => running,
        Err(failure) => {
            logging::ending(&failure.report().on(Side::Station));
            return Err(failure);
        }
    };
    let anchor = args.dir.join(keys::ANCHOR).display().to_string();
    streams.json(&ready(&running, &settings, anchor))?;
    until_stopped(running, &mut stop).await
}

/// Takes over the stop signals.
///
/// # Errors
/// `internal` when the system refuses.
pub(crate) fn stop_signal() -> Result<StopSignal, Failure> {
    StopSignal::listen()
        .map_err(|error| Failure::new(ErrorCode::Internal).context(error.to_string()))
}

/// The ready line of a station.
pub(crate) fn ready(running: &Running, settings: &Settings, anchor: String) -> Ready {
    Ready::new("mock-central-station", env!("CARGO_PKG_VERSION"))
        .with("stationId", settings.station_id.as_str())
        .with("operators", format!("https://{}", running.operators()))
        .with("devices", format!("https://{}", running.devices()))
        .with("anchor", anchor)
}

/// Serves until the first stop signal, then stops in order.
///
/// # Errors
/// When the end could not be written down.
pub(crate) async fn until_stopped(running: Running, stop: &mut StopSignal) -> Result<(), Failure> {
    tracing::info!(operators = %running.operators(), devices = %running.devices(), "ready");
    let signal = tokio::select! {
        signal = stop.recv() => signal,
        never = checkpoints(&running) => never,
    };
    tracing::info!(signal, "stopping");
    running.stop().await?;
    tracing::info!("stopped");
    Ok(())
}

/// Signs new audit rows once a minute; never returns. A failure waits for the next round: the rows
/// are durable without it.
async fn checkpoints(running: &Running) -> &'static str {
    loop {
        SystemClock.sleep_until(SystemClock.now().mono + CHECKPOINT_EVERY).await;
        let log = running.store.audit_log();
        if log.rows_since_checkpoint().await.is_ok_and(|rows| rows > 0)
            && let Err(error) = running.store.write_checkpoint(&SystemClock.now()).await
        {
            tracing::warn!(%error, "no checkpoint of the audit log");
        }
    }
}
