//! `mock-central-station init`: certificate authority, database, administrator; the settings file
//! comes last and marks a whole station.

use std::{path::Path, sync::Arc};

use serde::Serialize;
use zmon_cli::{
    Failure, Streams, files,
    secret::{self, Source},
};
use zmon_crypto::Anchor;
use zmon_domain::{
    address::Network,
    audit::{AuditEvent, EventType},
    error::ErrorCode,
    ids::OperatorId,
    role::Actor,
};
use zmon_persistence::{PrivateDir, SqlStationStore};
use zmon_station::{
    Password, bootstrap_administrator,
    ca::CaMaterial,
    ports::{Clock, Entropy, StationRecord, StationStore},
};

use crate::{
    args::Init,
    database, keys, refused,
    settings::{DATABASE, FILE, Pkcs11, Settings, SettingsFile},
    stored,
    system::{SystemClock, SystemEntropy},
    token,
};

/// What `init` reports.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    success: bool,
    directory: String,
    station_id: &'a str,
    site: &'a str,
    anchor: String,
    anchor_fingerprint: String,
    anchor_key: String,
    administrator: &'a str,
    /// Only a password that was made here, and only this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
}

/// Makes a station and shows how to go on.
///
/// # Errors
/// A usage failure before anything is made; `state_conflict` for a directory that is not empty.
pub(crate) async fn run(args: Init, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let file = SettingsFile {
        station_id: args.station_id.to_string(),
        station_name: args.name.to_string(),
        site: args.site.to_string(),
        listen: Some(args.listen),
        device_listen: Some(args.device_listen),
        server_names: args.server_name,
        device_networks: args.device_network.iter().map(Network::to_string).collect(),
        database: args.database,
        ..SettingsFile::default().with_pkcs11(&args.pkcs11)
    };
    // Every value was read as a flag; what is left is that a name may be wanting.
    let settings = file.read().map_err(|failure| match failure.report().detail {
        Some(detail) if detail.field() == DATABASE => failure.at("--database"),
        Some(detail) if detail.field().starts_with("pkcs11_") => failure,
        _ => failure.at("--server-name"),
    })?;
    let administrator = args.administrator;
    let (password, is_made) = match args.password_file.as_deref() {
        Some(path) => {
            let flag = "--password-file";
            let text = secret::read(Source::File { flag, path }, "password")?;
            let password = Password::parse_new(&text);
            (password.map_err(|report| Failure::from(report).at(flag))?, false)
        }
        None => (Password::generate(&mut *SystemEntropy.generator()), true),
    };
    let apart = args.anchor_key.as_deref();
    let administrator = Administrator { id: administrator, password, one_time: is_made };
    let made = make(&args.dir, &file, &settings, &administrator, apart).await?;
    let anchor_key = apart.map_or_else(|| keys::anchor_key(&args.dir), Path::to_owned);
    let report = Report {
        success: true,
        directory: args.dir.display().to_string(),
        station_id: settings.station_id.as_str(),
        site: settings.site.as_str(),
        anchor: args.dir.join(keys::ANCHOR).display().to_string(),
        anchor_fingerprint: made.anchor_fingerprint,
        anchor_key: anchor_key.display().to_string(),
        administrator: administrator.id.as_str(),
        password: is_made.then(|| administrator.password.expose()),
    };
    show(&report, apart.is_some(), streams)
}

/// The first account of a station.
pub(crate) struct Administrator {
    pub(crate) id: OperatorId,
    pub(crate) password: Password,
    /// Nobody chose the password: it opens nothing but its own change.
    pub(crate) one_time: bool,
}

/// What [`make`] made.
pub(crate) struct Made {
    pub(crate) anchor_fingerprint: String,
}

/// Makes a station in a new or empty directory; `anchor_key` is where the anchor's key goes instead
/// of into that directory.
///
/// # Errors
/// What [`keys::create`] says, and the disk.
pub(crate) async fn make(
    dir: &Path,
    file: &SettingsFile,
    settings: &Settings,
    administrator: &Administrator,
    anchor_key: Option<&Path>,
) -> Result<Made, Failure> {
    // A database that cannot be had leaves nothing half made.
    let prepared = match &settings.database {
        Some(url) => Some(database::prepare(url, settings).await?),
        None => None,
    };
    files::create_empty_dir(dir)?;
    let now = SystemClock.now();
    let wall = now.wall.ok_or_else(|| Failure::new(ErrorCode::Internal).context("no clock"))?;
    let mut rng = SystemEntropy.generator();
    let modules = token::make_keys(dir, settings.pkcs11.as_ref())?;
    let material = CaMaterial::generate_with(&settings.authority()?, modules, &mut *rng, wall)
        .map_err(|error| keys::unusable(&error))?;
    keys::create(dir, &material, anchor_key)?;
    keys::root(dir, &mut *rng)?;
    let anchor = Anchor::parse(material.anchor_der(), settings.site.clone())
        .map_err(|error| Failure::new(ErrorCode::Internal).context(error.to_string()))?;
    let anchor_fingerprint = anchor.fingerprint().to_string();

    let private = Arc::new(PrivateDir::create(dir).map_err(stored)?);
    let audit_key = material.audit_signer().map_err(|error| keys::unusable(&error))?;
    let store = match prepared {
        Some(store) => store,
        None => {
            let dir = Arc::clone(&private);
            SqlStationStore::open(dir, &settings.station_id).await.map_err(stored)?
        }
    };
    let store = store.with_checkpoints(audit_key, Arc::new(SystemEntropy));
    let held = |label: fn(&Pkcs11) -> &Option<String>| {
        let in_token = settings.pkcs11.as_ref().is_some_and(|token| label(token).is_some());
        if in_token { "token" } else { "file" }
    };
    let row = AuditEvent::new(EventType::KeyCreated, Actor::System)
        .with("anchorFingerprint", &anchor_fingerprint)
        .with("clientCaKey", held(|token| &token.client_ca_key))
        .with("signingKey", held(|token| &token.signing_key));
    let record = StationRecord { audit: vec![row], ..StationRecord::default() };
    let failed = |cause: String| Failure::new(ErrorCode::StorageUnavailable).context(cause);
    store
        .commit(&now, &record)
        .await
        .map_err(|error| failed(error.to_string()))?
        .map_err(|refusal| failed(format!("{refusal:?}")))?;
    let Administrator { id, password, one_time } = administrator;
    bootstrap_administrator(&store, &now, &mut *rng, id.clone(), password, *one_time)
        .await
        .map_err(refused)?;
    debug_assert!(!dir.join(FILE).exists(), "the settings file comes last");
    file.create(dir)?;
    Ok(Made { anchor_fingerprint })
}

fn show(report: &Report<'_>, is_apart: bool, streams: &mut Streams<'_>) -> Result<(), Failure> {
    if streams.is_json() {
        return Ok(streams.json(report)?);
    }
    let Report { directory, anchor, .. } = report;
    streams.say(&format!("Station {} is made in {directory}", report.station_id))?;
    streams.say(&format!("  site          {}", report.site))?;
    streams.say(&format!("  anchor        {anchor}"))?;
    streams.say(&format!("  fingerprint   {}", report.anchor_fingerprint))?;
    streams.say(&format!("  anchor key    {}", report.anchor_key))?;
    streams.say(&format!("  administrator {}", report.administrator))?;
    if let Some(password) = report.password {
        streams.say(&format!("  password      {password}  (shown once, and good for"))?;
        streams.say("                setting one of your own: zmon operator password)")?;
    }
    if !is_apart {
        streams
            .say("Move the anchor's key to another medium: a running station does not need it,")?;
        streams.say("and whoever has it is this site's authority.")?;
    }
    streams.say("Next: start it, and give the anchor to the devices:")?;
    streams.say(&format!("  mock-central-station run {directory}"))?;
    Ok(streams
        .say(&format!("  device init DEVICE_DIR --anchor {anchor} --site {}", report.site))?)
}
