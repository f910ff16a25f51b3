//! The steps of the demonstration, in the order of a real ward: make, register, start, enter,
//! scan, pair, connect, verify.

use core::time::Duration;
use std::path::Path;

use serde::Deserialize;
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;
use zmon_cli::Failure;
use zmon_domain::{
    address::ServerUrl,
    error::ErrorCode,
    ids::{BedId, DeviceLabel, OperatorId},
    state::ProvisioningState,
};
use zmon_wire::{
    audit::AuditEntry,
    control::{ControlRequest, LinkView},
    pair::PairAnswer,
    qr::QrContent,
    ready::Ready,
    secret::SecretText,
};

use super::{
    programs::{Programs, Service},
    timeline::Timeline,
};
use crate::{
    args::{CodeFormatName, Demo, SuiteName},
    audit,
    device::Control,
    pair, qr,
    station::{Paired, StationClient},
};

/// The station's log in the directory of the demonstration.
pub(super) const STATION_LOG: &str = "station.log";
/// The device's log in the directory of the demonstration.
pub(super) const DEVICE_LOG: &str = "device.log";

const SITE: &str = "st-mary";
const TECHNICIAN: &str = "tina";
const BED: &str = "ICU-3B";
const LABEL: &str = "ICU-MON-04";
/// Between two looks at something that happens in another process.
const POLL: Duration = Duration::from_millis(10);

/// What `mock-central-station init --json` reports, as far as it is needed.
#[derive(Deserialize)]
struct StationMade {
    anchor: String,
    administrator: String,
    password: SecretText,
}

/// What `device init --json` reports, as far as it is needed.
#[derive(Deserialize)]
struct DeviceMade {
    operators: Vec<Person>,
}

#[derive(Deserialize)]
struct Person {
    operator: String,
    #[serde(default)]
    pin: Option<SecretText>,
}

/// Tells the whole story in `home`.
///
/// # Errors
/// The first step that failed.
pub(super) async fn tell(
    args: &Demo,
    programs: &Programs,
    home: &Path,
    timeline: &mut Timeline<'_, '_>,
) -> Result<(), Failure> {
    let station = Made::station(programs, home).await?;
    timeline.done("station: keys, certificates, administrator")?;
    let pin = make_device(args, programs, home, &station.made.anchor).await?;
    timeline.done("device: identity key, anchor, PINs")?;

    let (station_process, url) = station.start(programs, home).await?;
    timeline.done(&format!("station: serving {url}"))?;
    let mut operator = station.login(&url).await?;
    timeline
        .done(&format!("operator: {} has a password of its own", station.made.administrator))?;
    let identity = ["identity", &path(home, "device"), "--manifest"];
    let manifest = programs.run("device", identity, &[]).await?;
    operator.import(manifest.as_bytes().to_vec()).await?;
    timeline.done("registry: manifest of the device imported")?;
    let (device_process, mut device) = start_device(programs, home).await?;
    timeline.done(&format!("device: serving, {}", device.status().await?.status))?;

    let content = scan(&mut device, pin, timeline).await?;
    let answer = pair_device(&mut operator, content).await?;
    timeline.done("station: paired; the device is configured, tested, committed")?;
    let link = linked(&mut device, programs.patience()).await?;
    timeline.done(&format!("device: heartbeat answered, {} bytes sent", link.bytes_sent))?;

    let trails = (device.log(0).await?.rows, trail(&mut operator).await?);
    let status = device.status().await?;
    drop((device, operator));
    device_process.stop().await?;
    station_process.stop().await?;
    timeline.done("both programs stopped on SIGTERM")?;
    conclude(timeline, home, &trails, &answer, status.state).await
}

/// A station that was made and not started yet.
struct Made {
    made: StationMade,
    anchor: Vec<u8>,
}

impl Made {
    async fn station(programs: &Programs, home: &Path) -> Result<Self, Failure> {
        let (dir, any) = (path(home, "station"), "127.0.0.1:0");
        let args =
            ["--json", "init", &dir, "--site", SITE, "--listen", any, "--device-listen", any];
        let made: StationMade = read(&programs.run("mock-central-station", args, &[]).await?)?;
        let anchor = std::fs::read(&made.anchor)
            .map_err(|error| Failure::new(ErrorCode::Internal).context(error.to_string()))?;
        Ok(Self { made, anchor })
    }

    async fn start(
        &self,
        programs: &Programs,
        home: &Path,
    ) -> Result<(Service, ServerUrl), Failure> {
        let args = ["run", &path(home, "station")];
        let log = home.join(STATION_LOG);
        let (process, ready): (_, Ready) =
            programs.serve("mock-central-station", args, &log).await?;
        let url = ready.addresses.get("operators").map(String::as_str).unwrap_or_default();
        Ok((process, ServerUrl::parse(url)?))
    }

    async fn login(&self, url: &ServerUrl) -> Result<StationClient, Failure> {
        let operator = OperatorId::parse(&self.made.administrator)?;
        let made = self.made.password.expose();
        let mut client = StationClient::with_password(url, &self.anchor, operator, made).await?;
        // Good for this and nothing else.
        let own = Zeroizing::new(format!("{made}, and my own"));
        client.change_password(made, &own).await?;
        Ok(client)
    }
}

async fn make_device(
    args: &Demo,
    programs: &Programs,
    home: &Path,
    anchor: &str,
) -> Result<SecretText, Failure> {
    let suite = match args.suite {
        SuiteName::P256 => "p256",
        SuiteName::Rsa2048 => "rsa2048",
    };
    let format = match args.code_format {
        CodeFormatName::Grouped9 => "grouped9",
        CodeFormatName::Short6 => "short6",
    };
    let dir = path(home, "device");
    let init = [
        "--json",
        "init",
        &dir,
        "--anchor",
        anchor,
        "--site",
        SITE,
        "--technician",
        TECHNICIAN,
        "--suite",
        suite,
        "--code-format",
        format,
    ];
    let made: DeviceMade = read(&programs.run("device", init, &[]).await?)?;
    let technician = made.operators.into_iter().find(|person| person.operator == TECHNICIAN);
    technician
        .and_then(|person| person.pin)
        .ok_or_else(|| Failure::new(ErrorCode::Internal).context("device init made no PIN"))
}

async fn start_device(programs: &Programs, home: &Path) -> Result<(Service, Control), Failure> {
    let dir = path(home, "device");
    let log = home.join(DEVICE_LOG);
    let (process, _ready): (_, Ready) = programs.serve("device", ["run", &dir], &log).await?;
    Ok((process, Control::connect(Path::new(&dir)).await?))
}

/// Enters provisioning mode, shows the QR code and reads it back from the image.
async fn scan(
    device: &mut Control,
    pin: SecretText,
    timeline: &mut Timeline<'_, '_>,
) -> Result<QrContent, Failure> {
    let operator = OperatorId::parse(TECHNICIAN)?;
    let enter = ControlRequest::Enter { operator, pin, address: None, override_interlock: None };
    device.done(&enter).await?;
    timeline.done(&format!("technician: {TECHNICIAN}'s PIN opens the window"))?;
    let view = device.qr().await?;
    timeline.done("device: QR code drawn, 300x300 pixels, level H")?;
    qr::show(view.content.expose(), timeline.streams)?;
    timeline.streams.say(&format!("    pairing code {}", view.pairing_code.expose()))?;
    timeline.restart();
    let text = qr::decode("image", &view.png)?;
    let content = QrContent::parse(text.as_bytes())?;
    timeline.done("tablet: code read back from the image by another decoder")?;
    Ok(content)
}

async fn pair_device(
    operator: &mut StationClient,
    content: QrContent,
) -> Result<PairAnswer, Failure> {
    let mut request = pair::from_content(content);
    request.bed_id = Some(BedId::parse(BED)?);
    request.device_label = Some(DeviceLabel::parse(LABEL)?);
    match operator.pair(&request, |_words| Ok(())).await? {
        Paired::Done(answer) => Ok(*answer),
        Paired::Waits(pending) => Err(pair::stranded(&pending)),
    }
}

/// Waits until the station has answered a heartbeat.
async fn linked(device: &mut Control, patience: Duration) -> Result<LinkView, Failure> {
    let connected = async {
        loop {
            let link = device.link().await?;
            if link.connected {
                return Ok(link);
            }
            sleep(POLL).await;
        }
    };
    timeout(patience, connected).await.unwrap_or_else(|_| {
        Err(Failure::new(ErrorCode::Timeout).context("no heartbeat was answered in time"))
    })
}

async fn trail(operator: &mut StationClient) -> Result<Vec<AuditEntry>, Failure> {
    let mut rows = Vec::new();
    let mut after = 0;
    loop {
        let page = operator.audit(after).await?;
        rows.extend(page.rows);
        match page.next {
            Some(next) => after = next,
            None => return Ok(rows),
        }
    }
}

/// Shows the pairing as both audit logs tell it, verifies both, and says how it ended.
async fn conclude(
    timeline: &mut Timeline<'_, '_>,
    home: &Path,
    (device, station): &(Vec<AuditEntry>, Vec<AuditEntry>),
    answer: &PairAnswer,
    state: ProvisioningState,
) -> Result<(), Failure> {
    timeline.trail(device, station)?;
    for name in ["station", "device"] {
        let found = audit::verify(&home.join(name)).await?;
        if let Some((lane, damage)) = found.damage() {
            return Err(Failure::new(ErrorCode::StorageCorrupt)
                .context(format!("{lane}, row {}: {}", damage.sequence, damage.rule)));
        }
        timeline.verified(name, &found)?;
    }
    if state != ProvisioningState::Provisioned {
        return Err(
            Failure::new(ErrorCode::StateConflict).context(format!("the device is {state}"))
        );
    }
    timeline.provisioned(&answer.configuration.server_url)
}

fn path(home: &Path, name: &str) -> String {
    home.join(name).display().to_string()
}

fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Failure> {
    serde_json::from_str(json)
        .map_err(|error| Failure::new(ErrorCode::Internal).context(error.to_string()))
}
