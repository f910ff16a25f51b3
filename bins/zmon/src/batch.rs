//! `zmon batch …`: many devices, one manifest, one scan each ([W §1]).

mod progress;
mod scan;
mod show;
mod source;

use std::path::PathBuf;

use zmon_cli::{Failure, Streams, files};
use zmon_domain::{ids::BatchName, limits};
use zmon_transport::paths;

use self::show::{numbers, show, summary};
use crate::{
    args::{BatchCommand, Login, OfBatch},
    station::StationClient,
};

/// Carries out a command about batches.
///
/// # Errors
/// A usage failure before anything is sent; else what the station says.
pub(crate) async fn run(command: BatchCommand, streams: &mut Streams<'_>) -> Result<(), Failure> {
    match command {
        BatchCommand::New { manifest, name, login } => new(manifest, &name, &login, streams).await,
        BatchCommand::List { login } => list(&login, streams).await,
        BatchCommand::Scan(scan) => scan::run(&scan, streams).await,
        BatchCommand::Status(of) => {
            let view = StationClient::login(&of.login).await?.batch(of.batch).await?;
            show(&view, streams)
        }
        BatchCommand::Pause(of) => shift(&of, paths::BATCH_PAUSE, streams).await,
        BatchCommand::Resume(of) => shift(&of, paths::BATCH_RESUME, streams).await,
        BatchCommand::Close(of) => shift(&of, paths::BATCH_CLOSE, streams).await,
        BatchCommand::Retry { rows, of } => retry(rows, &of, streams).await,
        BatchCommand::Report { output, of } => report(output, &of, streams).await,
    }
}

async fn new(
    manifest: PathBuf,
    name: &BatchName,
    login: &Login,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let bytes = files::read("manifest", &manifest, limits::MANIFEST_BYTES.default)?;
    zmon_wire::batch::parse(&bytes)?;
    let view = StationClient::login(login).await?.open_batch(name, bytes).await?;
    if streams.is_json() {
        return Ok(streams.json(&view)?);
    }
    streams.say(&format!("{} is open: {}", view.batch_name, view.batch_id))?;
    streams.say(&format!("  items  {}", numbers(&view)))?;
    for item in view.items.iter().filter(|item| item.problem.is_some()) {
        let problem = item.problem.as_ref().map_or("", |problem| problem.detail.as_str());
        streams.note(&format!("  row {:<3} {problem}", item.row))?;
    }
    Ok(streams.say(&format!("  next   zmon batch scan {} --qr-text -", view.batch_id))?)
}

async fn list(login: &Login, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let list = StationClient::login(login).await?.batches().await?;
    if streams.is_json() {
        return Ok(streams.json(&list)?);
    }
    let line = |id: &str, state: &str, paired: &str, name: &str| {
        format!("{id:<36} {state:<7} {paired:>9}  {name}")
    };
    streams.say(&line("BATCH", "STATE", "PAIRED", "NAME"))?;
    for batch in &list.batches {
        let paired = format!("{}/{}", batch.counts.paired, batch.counts.total());
        let (id, name) = (batch.batch_id.to_string(), batch.batch_name.as_str());
        streams.say(&line(&id, batch.state.as_str(), &paired, name))?;
    }
    Ok(())
}

async fn shift(of: &OfBatch, path: &str, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let view = StationClient::login(&of.login).await?.move_batch(path, of.batch).await?;
    if streams.is_json() {
        return Ok(streams.json(&view)?);
    }
    Ok(streams.say(&summary(&view))?)
}

async fn retry(
    rows: Option<Vec<u32>>,
    of: &OfBatch,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let answer = StationClient::login(&of.login).await?.retry_batch(of.batch, rows).await?;
    if streams.is_json() {
        return Ok(streams.json(&answer)?);
    }
    let rows: Vec<_> = answer.rows.iter().map(u32::to_string).collect();
    Ok(streams.say(&match rows.len() {
        0 => "nothing has failed that could be scanned again".to_owned(),
        _ => format!("to be scanned again: row {}", rows.join(", ")),
    })?)
}

async fn report(
    output: Option<PathBuf>,
    of: &OfBatch,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let view = StationClient::login(&of.login).await?.batch(of.batch).await?;
    match output {
        Some(path) => {
            files::create_named("--output", &path, view.to_csv().as_bytes())?;
            streams.note(&summary(&view))?;
            Ok(())
        }
        None if streams.is_json() => Ok(streams.json(&view)?),
        None => Ok(streams.raw(view.to_csv().as_bytes())?),
    }
}
