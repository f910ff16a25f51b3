//! `device init`: keys, anchors, operators, database, in this order; the settings file comes last
//! and marks a whole device.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Serialize;
use zeroize::Zeroizing;
use zmon_cli::{
    Failure, Streams, files,
    secret::{self, Source},
};
use zmon_crypto::Suite;
use zmon_domain::{
    audit::{AuditEvent, EventType},
    error::ErrorCode,
    ids::{OperatorId, SiteId, Thumbprint},
    limits,
    role::{Actor, Role},
    time::ClockQuality,
};
use zmon_persistence::{FileKeyStore, PrivateDir};
use zmon_protocol::device::{DeviceProfile, DeviceRecord};
use zmon_provisioning::ports::{Authenticator, KeyStore, Pin};

use crate::{
    anchors,
    args::{Init, SuiteName},
    compose::{Disk, system_rng},
    settings::SettingsFile,
    stored,
};

/// The flag that names the file of PINs.
const PIN_FILE: &str = "--pin-file";
/// Digits of a PIN that is made here.
const MADE_DIGITS: usize = 8;

/// What to make.
pub(crate) struct Order {
    /// New or empty directory.
    pub(crate) dir: PathBuf,
    /// Who the device is.
    pub(crate) file: SettingsFile,
    /// The hospital's CA certificates.
    pub(crate) anchors: anchors::Found,
    /// Site the anchors belong to.
    pub(crate) site: SiteId,
    /// Type of the identity key.
    pub(crate) suite: Suite,
    /// First operators, an administrator before the others.
    pub(crate) people: Vec<Person>,
}

/// A device that was made.
pub(crate) struct Made {
    pub(crate) profile: DeviceProfile,
    pub(crate) identity_key: Thumbprint,
    pub(crate) anchors: Vec<String>,
    pub(crate) people: Vec<Person>,
}

/// A first operator with a PIN that was given or made.
pub(crate) struct Person {
    pub(crate) id: OperatorId,
    pub(crate) role: Role,
    pub(crate) pin: Zeroizing<String>,
    pub(crate) is_made: bool,
}

/// What `init` reports.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    success: bool,
    directory: String,
    device_id: &'a str,
    device_serial: &'a str,
    identity_key: String,
    anchors: Vec<String>,
    operators: Vec<OperatorReport<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OperatorReport<'a> {
    operator: &'a str,
    role: &'a str,
    /// Only a PIN that was made here, and only this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pin: Option<&'a str>,
}

/// Makes a device, as the command line says, and reports it.
///
/// # Errors
/// As [`make`].
pub(crate) async fn run(args: Init, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let file = SettingsFile {
        device_id: args.device_id.to_string(),
        device_serial: args.serial.to_string(),
        firmware_version: args.firmware.to_string(),
        code_format: Some(args.code_format),
        proximity: args.proximity.then_some(true),
        ..SettingsFile::default()
    };
    let order = Order {
        anchors: anchors::read(&args.anchor, &args.site)?,
        // Nobody is asked for a PIN before the rest is known to be right.
        people: people(&args)?,
        dir: args.dir.clone(),
        file,
        site: args.site,
        suite: suite(args.suite),
    };
    let made = make(order).await?;
    let report = Report {
        success: true,
        directory: args.dir.display().to_string(),
        device_id: made.profile.device_id.as_str(),
        device_serial: made.profile.serial.as_str(),
        identity_key: made.identity_key.to_string(),
        anchors: made.anchors,
        operators: made.people.iter().map(Person::report).collect(),
    };
    show(&report, &args.dir, streams)
}

/// Makes a device.
///
/// # Errors
/// A usage failure before anything is made, `pin_too_weak` too; `state_conflict` for a directory that
/// is not empty.
pub(crate) async fn make(order: Order) -> Result<Made, Failure> {
    let Order { dir: path, file, anchors: found, site, suite, people } = order;
    let profile = file.profile()?;
    for person in &people {
        strong(&person.id, &Pin::parse(&person.pin)?)?;
    }
    files::create_empty_dir(&path)?;

    let dir = Arc::new(PrivateDir::create(&path).map_err(stored)?);
    let keys =
        FileKeyStore::create(Arc::clone(&dir), suite, &mut *system_rng().lock()).map_err(stored)?;
    let keys: Arc<dyn KeyStore> = Arc::new(keys);
    let anchors = anchors::create(&dir, found, &site)?;
    let disk = Disk::with_keys(dir, keys, &profile, ClockQuality::Synced).await?;
    add_people(&disk, &people).await?;

    let identity_key = disk.keys.identity().public().thumbprint();
    let mut audit = vec![
        AuditEvent::new(EventType::KeyCreated, Actor::System)
            .device(&profile.device_id)
            .with("identityKey", identity_key),
    ];
    audit.extend(anchors.iter().map(|fingerprint| {
        AuditEvent::new(EventType::AnchorInstalled, Actor::System)
            .device(&profile.device_id)
            .with("anchor", fingerprint)
            .with("site", &site)
    }));
    audit.extend(people.iter().map(|person| {
        AuditEvent::new(EventType::OperatorAdded, Actor::System)
            .device(&profile.device_id)
            .with("operator", &person.id)
            .with("role", person.role)
    }));
    let record = DeviceRecord { audit, ..DeviceRecord::default() };
    disk.record(&disk.clock.now(), &record).await?;
    file.create(&path)?;
    Ok(Made { profile, identity_key, anchors, people })
}

/// The first operators with their PINs: from the file, from the terminal, or made.
fn people(args: &Init) -> Result<Vec<Person>, Failure> {
    let mut wanted = vec![(&args.administrator, Role::Administrator)];
    wanted.extend(args.technician.as_ref().map(|name| (name, Role::Technician)));
    if args.technician.as_ref() == Some(&args.administrator) {
        return Err(Failure::usage("--technician", "must have a name of their own"));
    }
    if let Some(path) = &args.pin_file {
        let count = wanted.len();
        let given = secret::read_lines(PIN_FILE, path, count..=count)?;
        let people = wanted.into_iter().zip(given).map(|((id, role), pin)| {
            strong(id, &Pin::parse(&pin).map_err(|error| error.at(PIN_FILE))?)?;
            Ok(Person { id: id.clone(), role, pin, is_made: false })
        });
        return people.collect();
    }
    let mut people = Vec::new();
    for (id, role) in wanted {
        let is_made = !secret::is_attended();
        let pin = if is_made {
            made_pin()?
        } else {
            secret::read_new(Source::Terminal, &format!("New PIN of {role} {id}"))?
        };
        strong(id, &Pin::parse(&pin)?)?;
        people.push(Person { id: id.clone(), role, pin, is_made });
    }
    Ok(people)
}

/// Nothing is made for a PIN that anybody would try first.
fn strong(id: &OperatorId, pin: &Pin) -> Result<(), Failure> {
    if pin.is_weak() {
        return Err(Failure::new(ErrorCode::PinTooWeak).context(format!("the PIN of {id}")));
    }
    Ok(())
}

/// A PIN that nobody would guess first: of a hundred million some thirty are thrown away.
fn made_pin() -> Result<Zeroizing<String>, Failure> {
    loop {
        let pin = secret::make_pin(MADE_DIGITS, &mut *system_rng().lock());
        if !Pin::parse(&pin)?.is_weak() {
            return Ok(pin);
        }
    }
}

async fn add_people(disk: &Disk, people: &[Person]) -> Result<(), Failure> {
    let mut administrator = None;
    for person in people {
        let (id, pin) = (person.id.clone(), Pin::parse(&person.pin)?);
        match &administrator {
            None => {
                disk.operators.create_administrator(id.clone(), pin).await.map_err(stored)?;
                let now = disk.clock.now();
                let pin = Pin::parse(&person.pin)?;
                administrator = Some(disk.operators.authenticate(&id, pin, &now).await?);
            }
            Some(proof) => {
                let now = disk.clock.now();
                let added = disk.operators.add_operator(proof, &now, id, person.role, pin);
                added.await.map_err(stored)?;
            }
        }
    }
    Ok(())
}

impl Person {
    fn report(&self) -> OperatorReport<'_> {
        OperatorReport {
            operator: self.id.as_str(),
            role: self.role.as_str(),
            pin: self.is_made.then_some(self.pin.as_str()),
        }
    }
}

fn show(report: &Report<'_>, dir: &Path, streams: &mut Streams<'_>) -> Result<(), Failure> {
    if streams.is_json() {
        return Ok(streams.json(report)?);
    }
    let dir = dir.display();
    streams.say(&format!("Device {} is made in {dir}", report.device_id))?;
    streams.say(&format!("  identity key  {}", report.identity_key))?;
    for anchor in &report.anchors {
        streams.say(&format!("  anchor        {anchor}"))?;
    }
    if report.anchors.is_empty() {
        streams.say("  anchor        none: an operator confirms the station (proximity)")?;
    }
    for operator in &report.operators {
        let OperatorReport { operator, role, pin } = operator;
        let shown = match pin {
            Some(pin) => format!("  PIN {pin}  (shown this one time)"),
            None => String::new(),
        };
        streams.say(&format!("  {role:<13} {operator}{shown}"))?;
    }
    streams.say("Next: register it at the station, then start it:")?;
    streams.say(&format!("  device identity {dir} --manifest > manifest.jsonl"))?;
    Ok(streams.say(&format!("  device run {dir}"))?)
}

fn suite(name: SuiteName) -> Suite {
    match name {
        SuiteName::P256 => Suite::P256,
        SuiteName::Rsa2048 => Suite::Rsa2048,
    }
}

const _: () = assert!(MADE_DIGITS >= limits::PIN_MIN_DIGITS.default);
