//! `mock-central-station --ephemeral`: a station for one harness, in a directory that goes away.

use core::time::Duration;
use std::net::{IpAddr, Ipv4Addr};

use serde::Serialize;
use zmon_cli::{Failure, Streams, logging};
use zmon_domain::{error::ErrorCode, ids::OperatorId};
use zmon_station::{Password, ports::Entropy};
use zmon_wire::{ready::Ready, secret::SecretText};

use crate::{
    args::Ephemeral,
    compose,
    faulty::Disturbance,
    init::{self, Administrator},
    keys, refused,
    serve::{ready, stop_signal, until_stopped},
    settings::SettingsFile,
    system::SystemEntropy,
};

/// Who works on an ephemeral station.
const ADMINISTRATOR: &str = "admin";

/// The ready line with everything a harness needs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EphemeralReady<'a> {
    #[serde(flatten)]
    ready: Ready,
    anchor_pem: String,
    site: &'a str,
    operator: &'a str,
    password: &'a str,
    operator_token: SecretText,
}

/// Makes, serves and removes a station.
///
/// # Errors
/// Only before the ready line.
pub(crate) async fn run(args: Ephemeral, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let file = SettingsFile {
        station_id: "mock-station".to_owned(),
        station_name: "Mock Central Station".to_owned(),
        site: "site-1".to_owned(),
        device_networks: vec!["127.0.0.0/8".to_owned()],
        unregistered_devices: args.auto_provision,
        ..SettingsFile::default()
    };
    let settings = file.read()?.with_logging(&args.logging);
    logging::init(settings.log.clone(), settings.log_format);
    let mut stop = stop_signal()?;
    let unavailable = |error: std::io::Error| {
        Failure::new(ErrorCode::StorageUnavailable).context(error.to_string())
    };
    let home = tempfile::Builder::new().prefix("zmon-station-").tempdir().map_err(unavailable)?;
    let dir = home.path().join("station");
    let administrator = Administrator {
        id: OperatorId::parse(ADMINISTRATOR)?,
        password: Password::generate(&mut *SystemEntropy.generator()),
        // A harness works with it right away, and it ends with the station.
        one_time: false,
    };
    init::make(&dir, &file, &settings, &administrator, None).await?;
    let password = administrator.password;

    let delay = Duration::from_millis(args.delay_ms);
    let disturbance = Disturbance::new(args.fault, delay);
    let running = compose::start(&dir, &settings, disturbance).await?;
    let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let login = running.station.login(source, ADMINISTRATOR, password.expose());
    let anchor = dir.join(keys::ANCHOR);
    let line = EphemeralReady {
        ready: ready(&running, &settings, anchor.display().to_string()),
        anchor_pem: std::fs::read_to_string(&anchor).map_err(unavailable)?,
        site: settings.site.as_str(),
        operator: ADMINISTRATOR,
        password: password.expose(),
        operator_token: login.await.map_err(refused)?.token,
    };
    streams.json(&line)?;
    let stopped = until_stopped(running, &mut stop).await;
    home.close().map_err(unavailable)?;
    stopped
}
