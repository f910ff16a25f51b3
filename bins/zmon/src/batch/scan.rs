//! `zmon batch scan`: one device after the other, and the batch until they have come to their end.

use core::time::Duration;
use std::collections::BTreeSet;

use tokio::time::{MissedTickBehavior, interval};
use zmon_cli::{Failure, Streams, stop::StopSignal};
use zmon_domain::{batch::ItemState, error::ErrorCode, ids::BatchId};
use zmon_wire::batch::BatchView;

use super::{
    progress::Progress,
    show::{device, show},
    source::{self, Scanned},
};
use crate::{args::BatchScan, station::StationClient};

/// How often the batch is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Scans until there is nothing more to scan and nothing of it at work, or a person ends it.
///
/// # Errors
/// A usage failure; what the station says about the batch as a whole; at the end, why the first item of
/// this run was not taken or has failed.
pub(crate) async fn run(args: &BatchScan, streams: &mut Streams<'_>) -> Result<(), Failure> {
    // Asked before, so that the password and the first scan do not both wait for standard input.
    let mut station = StationClient::login(&args.of.login).await?;
    let mut scans = source::scans(args)?;
    let mut stop = StopSignal::listen()?;
    let progress = Progress::new(!streams.is_json());
    let mut run = Run { batch: args.of.batch, rows: BTreeSet::new(), refused: None };
    let mut view = station.batch(run.batch).await?;
    progress.show(&view);
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut more = true;
    let left = loop {
        tokio::select! {
            biased;
            _ = stop.recv() => break true,
            scan = scans.recv(), if more => match scan {
                Some(scan) => {
                    let told = run.scan(&mut station, scan).await?;
                    progress.aside(|| streams.note(&told))?;
                }
                None => more = false,
            },
            _ = looks.tick() => {
                view = station.batch(run.batch).await?;
                progress.show(&view);
                if !more && run.is_over(&view) {
                    break false;
                }
            }
        }
    };
    drop(progress);
    if left {
        view = station.batch(run.batch).await?;
        streams
            .note("The station goes on with what was scanned; the same command goes on here.")?;
    }
    show(&view, streams)?;
    if left { Ok(()) } else { run.outcome(&view) }
}

/// What this run of the program has scanned.
struct Run {
    batch: BatchId,
    rows: BTreeSet<u32>,
    refused: Option<Failure>,
}

impl Run {
    /// Hands one scan in; what a person is told about it.
    async fn scan(
        &mut self,
        station: &mut StationClient,
        (name, scan): Scanned,
    ) -> Result<String, Failure> {
        let scanned = match scan {
            Ok(scan) => station.batch_scan(self.batch, &scan).await.map(|taken| (scan, taken)),
            Err(unreadable) => Err(unreadable),
        };
        match scanned {
            Ok((scan, taken)) => {
                self.rows.insert(taken.row);
                let bed = taken.bed_id.as_ref().map_or("no bed", |bed| bed.as_str());
                Ok(format!("row {:<3} {} -> {bed}", taken.row, scan.device_id))
            }
            // Scanned before, by this command or another: that is how one goes on.
            Err(failure) if failure.code() == ErrorCode::BatchItemTaken => {
                Ok(format!("{name}: {}", failure.report().message()))
            }
            Err(failure) if is_whole(failure.code()) => Err(failure),
            Err(failure) => {
                let told = format!("{name}: {}", failure.report().message());
                self.refused.get_or_insert(failure.context(name));
                Ok(told)
            }
        }
    }

    /// Whether everything that was scanned here has come to its end.
    fn is_over(&self, view: &BatchView) -> bool {
        let mut ours = view.items.iter().filter(|item| self.rows.contains(&item.row));
        ours.all(|item| item.state != ItemState::Pairing)
    }

    fn outcome(self, view: &BatchView) -> Result<(), Failure> {
        let ours = view.items.iter().filter(|item| self.rows.contains(&item.row));
        let failed = ours.filter(|item| item.state == ItemState::Failed).find_map(|item| {
            let problem = item.problem.clone()?;
            Some(Failure::from(problem).context(format!("row {}, {}", item.row, device(item))))
        });
        failed.or(self.refused).map_or(Ok(()), Err)
    }
}

/// Whether a refusal is about more than one scan.
fn is_whole(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::BatchUnknown
            | ErrorCode::BatchPaused
            | ErrorCode::BatchClosed
            | ErrorCode::AuthenticationFailed
            | ErrorCode::ProofExpired
            | ErrorCode::NotPermitted
            | ErrorCode::StationUnreachable
            | ErrorCode::NetworkError
            | ErrorCode::ServerUntrusted
            | ErrorCode::Timeout
    )
}
