//! `zmon courier`: what lies between a station and a device that do not reach each other (D7).

use core::time::Duration;
use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
};

use tokio::time::sleep;
use zmon_cli::{Failure, Streams, files};
use zmon_domain::{error::ErrorCode, ids::SessionId, limits};
use zmon_transport::{courier::Courier as Carrier, provider, tls::TlsContext};
use zmon_wire::{
    carry::{Carriage, CourierAnswer, Message, Return},
    kind::V1,
    pair::PairAnswer,
    strict,
};

use crate::{args::Courier, clock, station::StationClient};

/// Pause between two looks at a station that is at work.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest file of a message.
const FILE_MAX: usize = limits::BODY_MAX.default;

/// Carries the messages of a pairing, over the network or as files.
///
/// # Errors
/// A usage failure; what the station says; `device_unreachable`.
pub(crate) async fn run(args: &Courier, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let session = args.session;
    let mut station = StationClient::login(&args.login).await?;
    match &args.folder {
        Some(folder) => by_files(&mut station, session, folder, streams).await,
        None => online(&mut station, session, args, streams).await,
    }
}

/// From here to the device's listener, pinned to the key that was scanned or registered.
async fn online(
    station: &mut StationClient,
    session: SessionId,
    args: &Courier,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let deadline = clock::now().mono + limits::SESSION_LIFETIME.default;
    let mut carrier: Option<Carrier> = None;
    loop {
        if let Some(answer) = station.finished(session).await? {
            return paired(&answer, streams);
        }
        if clock::now().mono >= deadline {
            return Err(Failure::new(ErrorCode::Timeout));
        }
        let Some(next) = fetch(station, session).await? else { continue };
        let (address, port) =
            (args.address.unwrap_or(next.ip_address), args.port.unwrap_or(next.port));
        let Some(message) = next.message else {
            sleep(PAUSE).await;
            continue;
        };
        let carrier = carrier.get_or_insert_with(|| {
            let tls = TlsContext::new(provider::ring().tls, clock::unix_seconds);
            Carrier::new(tls, address, port, next.device_key16)
        });
        if !streams.is_json() {
            streams.say(&format!("{} -> {}", message.name(), next.device_id))?;
        }
        let reply = carrier.carry(message).await.map_err(|error| {
            Failure::new(ErrorCode::DeviceUnreachable)
                .context(format!("{address} port {port}: {error}"))
                .next("Check that this machine reaches the monitor, then run the command again.")
        })?;
        give(station, session, &Return { v: V1::default(), session_id: session, reply }).await?;
    }
}

/// One trip: takes the device's answer out of the folder, and lays the next message into it.
async fn by_files(
    station: &mut StationClient,
    session: SessionId,
    folder: &Path,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    if let Some(answer) = station.finished(session).await? {
        return paired(&answer, streams);
    }
    let mut next = station.courier(session).await?;
    let waits = next.message.as_ref().and_then(Message::answer_file);
    if let Some(name) = waits {
        let path = folder.join(name);
        if path.try_exists().unwrap_or(false) {
            let answer: Return =
                strict::parse(&files::read("folder", &path, FILE_MAX)?, limits::BODY_MAX.default)
                    .map_err(|error| {
                    Failure::usage("folder", "must hold a device's answer")
                        .context(format!("{name}: {error}"))
                })?;
            give(station, session, &answer).await?;
            remove(&path)?;
            if let Some(answer) = station.finished(session).await? {
                return paired(&answer, streams);
            }
            next = station.courier(session).await?;
        }
    }
    let CourierAnswer { session_id, device_id, message, .. } = next;
    let message = message.ok_or_else(|| Failure::new(ErrorCode::NothingToCarry))?;
    let Some(name) = message.file() else {
        return Err(Failure::usage("folder", "carries a scanned QR code only")
            .context("a typed code needs an answer within seconds")
            .next("Run it without --folder on a machine that reaches the monitor."));
    };
    let carriage = Carriage { v: V1::default(), session_id, device_id, message };
    let path = folder.join(name);
    files::replace(&path, &strict::to_vec(&carriage)?).map_err(|error| stored(&path, &error))?;
    if streams.is_json() {
        return Ok(streams
            .json(&serde_json::json!({ "session": session.to_string(), "written": name }))?);
    }
    streams.say(&format!("{} is written", path.display()))?;
    Ok(streams.say(&format!(
        "  next    carry it to {} and run there: zmon device courier\n  \
         then    carry the folder back and run this command again",
        carriage.device_id
    ))?)
}

/// The next message; none when the session has ended in between, which its result tells.
async fn fetch(
    station: &mut StationClient,
    session: SessionId,
) -> Result<Option<CourierAnswer>, Failure> {
    match station.courier(session).await {
        Ok(answer) => Ok(Some(answer)),
        Err(failure) if failure.code() == ErrorCode::SessionUnknown => {
            sleep(PAUSE).await;
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

/// Hands an answer in. Where the session has ended with it or before it, its result says how.
async fn give(
    station: &mut StationClient,
    session: SessionId,
    answer: &Return,
) -> Result<(), Failure> {
    let given = station.courier_return(session, answer).await;
    match given {
        Err(failure) if failure.code() == ErrorCode::SessionUnknown => Ok(()),
        given => given,
    }
}

fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(stored(path, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn stored(path: &Path, error: &io::Error) -> Failure {
    Failure::new(ErrorCode::StorageUnavailable).context(format!("{}: {error}", path.display()))
}

fn paired(answer: &PairAnswer, streams: &mut Streams<'_>) -> Result<(), Failure> {
    if streams.is_json() {
        return Ok(streams.json(answer)?);
    }
    streams.say("the device is provisioned")?;
    Ok(streams.say(&format!("  server  {}", answer.configuration.server_url))?)
}
