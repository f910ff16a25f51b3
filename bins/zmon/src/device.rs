//! `zmon device …`: the screens' use-cases over the control socket.

mod anchor;
mod confirm;
mod operator;
mod show;

use std::{
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;
use zmon_cli::{
    Failure, Streams, files,
    secret::{self, Source},
    stop::StopSignal,
};
use zmon_domain::{error::ErrorCode, ids::OperatorId, limits};
use zmon_transport::control::{ControlClient, ControlError, ControlEvents};
use zmon_wire::{
    admin::Done,
    audit::AuditPage,
    configuration::ProvisioningPayload,
    control::{ControlAnswer, ControlRequest, EventView, LinkView, QrView, StatusView},
    kind::True,
    secret::SecretText,
};

use crate::{
    args::{Device, DeviceCommand, device::Person},
    qr::{self, Drawn},
};

/// Carries out a command at a device.
///
/// # Errors
/// `device_not_running` when no device serves the socket; else what the device says.
pub(crate) async fn run(args: Device, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let mut control = Control::connect(&args.dir).await?;
    match args.command {
        DeviceCommand::Status => {
            let status = control.status().await?;
            show::answer(streams, &status, show::status)
        }
        DeviceCommand::Watch => watch(control, streams).await,
        DeviceCommand::Enter { person, address, override_interlock } => {
            let (operator, pin) = read_person(&person)?;
            let request = ControlRequest::Enter { operator, pin, address, override_interlock };
            control.done(&request).await?;
            show_qr(&control.qr().await?, streams)
        }
        DeviceCommand::Reprovision { person, address, yes, override_interlock } => {
            if !yes {
                confirm::typed(&control.status().await?.device_id, streams)?;
            }
            let (operator, pin) = read_person(&person)?;
            let request = ControlRequest::Reprovision {
                operator,
                pin,
                confirm: True,
                address,
                override_interlock,
            };
            control.done(&request).await?;
            show_qr(&control.qr().await?, streams)
        }
        DeviceCommand::Renew { person } => {
            let (operator, pin) = read_person(&person)?;
            // Followed from before it is asked for, or its end might be missed.
            let following = Control::connect(&args.dir).await?.client.events().await;
            let (_, events) = following.map_err(failed)?;
            control.done(&ControlRequest::Renew { operator, pin }).await?;
            ended(events).await?;
            finish(&mut control, streams).await
        }
        DeviceCommand::Regenerate => {
            control.done(&ControlRequest::Regenerate {}).await?;
            show_qr(&control.qr().await?, streams)
        }
        DeviceCommand::Cancel => {
            control.done(&ControlRequest::Cancel {}).await?;
            finish(&mut control, streams).await
        }
        DeviceCommand::Courier => {
            let answer = control.ask(&ControlRequest::Courier {}).await?;
            let ControlAnswer::Courier(courier) = answer else { return Err(unexpected()) };
            show::answer(streams, &courier, show::courier)
        }
        DeviceCommand::Simulate { payload } => {
            let payload = payload.as_deref().map(read_payload).transpose()?;
            control.done(&ControlRequest::Simulate { payload }).await?;
            finish(&mut control, streams).await
        }
        DeviceCommand::Retry { person } => {
            let (operator, pin) = read_person(&person)?;
            control.done(&ControlRequest::Retry { operator, pin }).await?;
            show_qr(&control.qr().await?, streams)
        }
        DeviceCommand::Reset { person } => {
            let (operator, pin) = read_person(&person)?;
            control.done(&ControlRequest::Reset { operator, pin }).await?;
            finish(&mut control, streams).await
        }
        DeviceCommand::Confirm { person, words, yes } => {
            let status = control.status().await?;
            let shown = status.confirmation.as_ref().ok_or(ErrorCode::StateConflict)?;
            let words = match words {
                Some(typed) => typed,
                None => confirm::compared(shown, yes, streams)?,
            };
            let (operator, pin) = read_person(&person)?;
            control.done(&ControlRequest::ConfirmStation { operator, pin, words }).await?;
            finish(&mut control, streams).await
        }
        DeviceCommand::Refuse => {
            control.done(&ControlRequest::RefuseStation {}).await?;
            finish(&mut control, streams).await
        }
        DeviceCommand::Deprovision { person } => {
            let (operator, pin) = read_person(&person)?;
            control.done(&ControlRequest::Deprovision { operator, pin }).await?;
            finish(&mut control, streams).await
        }
        DeviceCommand::Anchor(command) => anchor::run(&mut control, command, streams).await,
        DeviceCommand::Operator(command) => operator::run(&mut control, command, streams).await,
        DeviceCommand::FactoryReset { person, confirm, new_identity } => {
            let (operator, pin) = read_person(&person)?;
            let confirmation = confirm.clone();
            let request =
                ControlRequest::FactoryReset { operator, pin, confirmation, new_identity };
            control.done(&request).await?;
            if !new_identity {
                return finish(&mut control, streams).await;
            }
            // The device starts again: this connection has no future.
            if streams.is_json() {
                return Ok(streams.json(&Done::default())?);
            }
            streams.say("The device is erased and starts again with a new identity. Next:")?;
            streams.say(&format!(
                "  device identity {} --manifest > manifest.jsonl",
                args.dir.display()
            ))?;
            Ok(streams
                .say(&format!("  zmon registry rekey {confirm} --manifest manifest.jsonl"))?)
        }
        DeviceCommand::Migrate { person, not_now: true, .. } => {
            let (operator, pin) = read_person(&person)?;
            control.done(&ControlRequest::PostponeMigration { operator, pin }).await?;
            finish(&mut control, streams).await
        }
        DeviceCommand::Migrate { person, address, not_now: false } => {
            let (operator, pin) = read_person(&person)?;
            control.done(&ControlRequest::Migrate { operator, pin, address }).await?;
            let status = control.status().await?;
            if status.pairing_code.is_none() {
                // Provisioned already: only the removal is left.
                return show::answer(streams, &status, show::status);
            }
            show_qr(&control.qr().await?, streams)
        }
        DeviceCommand::Identity => {
            let answer = control.ask(&ControlRequest::Identity {}).await?;
            let ControlAnswer::Identity(identity) = answer else { return Err(unexpected()) };
            show::answer(streams, &identity, show::identity)
        }
        DeviceCommand::Link => {
            let link = control.link().await?;
            show::answer(streams, &link, show::link)
        }
        DeviceCommand::Log { rows } => {
            let page = control.newest(rows).await?;
            show::answer(streams, &page, show::log)
        }
    }
}

/// The QR code of a device whose window is open.
///
/// # Errors
/// As [`run`].
pub(crate) async fn qr(dir: &Path) -> Result<Drawn, Failure> {
    let view = Control::connect(dir).await?.qr().await?;
    Ok(Drawn {
        content: Zeroizing::new(view.content.expose().to_owned()),
        png: view.png,
        svg: Zeroizing::new(view.svg.expose().to_owned()),
    })
}

/// A device on this machine, with typed answers.
pub(crate) struct Control {
    client: ControlClient,
}

impl Control {
    /// Connects to the control socket of a device directory, or to a socket itself.
    ///
    /// # Errors
    /// `device_not_running`, with the command that starts the device.
    pub(crate) async fn connect(dir: &Path) -> Result<Self, Failure> {
        let path = socket(dir);
        let client = ControlClient::connect(&path).await.map_err(|error| {
            failed(error)
                .context(format!("no device answers at {}", path.display()))
                .next(format!("Start it: device run {}", dir.display()))
        })?;
        Ok(Self { client })
    }

    /// Any request.
    ///
    /// # Errors
    /// What the device says.
    pub(crate) async fn ask(&mut self, request: &ControlRequest) -> Result<ControlAnswer, Failure> {
        self.client.ask(request).await.map_err(failed)
    }

    /// A request whose answer says nothing but that it is done.
    ///
    /// # Errors
    /// What the device says.
    pub(crate) async fn done(&mut self, request: &ControlRequest) -> Result<(), Failure> {
        let ControlAnswer::Done {} = self.ask(request).await? else { return Err(unexpected()) };
        Ok(())
    }

    /// The state of the device.
    ///
    /// # Errors
    /// What the device says.
    pub(crate) async fn status(&mut self) -> Result<StatusView, Failure> {
        let answer = self.ask(&ControlRequest::Status {}).await?;
        let ControlAnswer::Status(status) = answer else { return Err(unexpected()) };
        Ok(*status)
    }

    /// The QR code of the open window.
    ///
    /// # Errors
    /// `not_in_provisioning_mode` without one.
    pub(crate) async fn qr(&mut self) -> Result<QrView, Failure> {
        let answer = self.ask(&ControlRequest::Qr {}).await?;
        let ControlAnswer::Qr(view) = answer else { return Err(unexpected()) };
        Ok(view)
    }

    /// The link to the station.
    ///
    /// # Errors
    /// What the device says.
    pub(crate) async fn link(&mut self) -> Result<LinkView, Failure> {
        let answer = self.ask(&ControlRequest::Link {}).await?;
        let ControlAnswer::Link(view) = answer else { return Err(unexpected()) };
        Ok(view)
    }

    /// Every audit row after `after`, oldest first.
    ///
    /// # Errors
    /// What the device says.
    pub(crate) async fn log(&mut self, mut after: u64) -> Result<AuditPage, Failure> {
        let mut all = AuditPage { rows: Vec::new(), next: None };
        loop {
            let limit = u16::try_from(limits::PAGE_ROWS.max).ok();
            let answer = self.ask(&ControlRequest::Log { after, limit }).await?;
            let ControlAnswer::Log(page) = answer else { return Err(unexpected()) };
            all.rows.extend(page.rows);
            match page.next {
                Some(next) => after = next,
                None => return Ok(all),
            }
        }
    }

    async fn newest(&mut self, rows: u32) -> Result<AuditPage, Failure> {
        let mut page = self.log(0).await?;
        let surplus = page.rows.len().saturating_sub(usize::try_from(rows).unwrap_or(usize::MAX));
        page.rows.drain(..surplus);
        Ok(page)
    }
}

async fn watch(control: Control, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let mut stop = StopSignal::listen()?;
    let (status, mut events) = control.client.events().await.map_err(failed)?;
    show::answer(streams, &status, show::status)?;
    loop {
        let event = tokio::select! {
            _ = stop.recv() => return Ok(()),
            event = events.next() => event.map_err(failed)?,
        };
        match event {
            Some(event) => show::answer(streams, &event, show::event)?,
            None => return Ok(()),
        }
    }
}

/// Waits until what was begun has ended; a device in doubt may need longer than anybody waits.
async fn ended(mut events: ControlEvents) -> Result<(), Failure> {
    let end = async {
        loop {
            match events.next().await.map_err(failed)? {
                Some(EventView::ProvisioningCompleted { .. }) => return Ok(()),
                Some(EventView::ProvisioningFailed { error }) => return Err((*error).into()),
                Some(_) => {}
                None => return Err(Failure::new(ErrorCode::DeviceNotRunning)),
            }
        }
    };
    tokio::time::timeout(limits::SESSION_LIFETIME.default, end)
        .await
        .map_err(|_elapsed| Failure::new(ErrorCode::Timeout))?
}

async fn finish(control: &mut Control, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let status = control.status().await?;
    show::answer(streams, &status, show::status)
}

fn show_qr(view: &QrView, streams: &mut Streams<'_>) -> Result<(), Failure> {
    if streams.is_json() {
        return Ok(streams.json(view)?);
    }
    qr::show(view.content.expose(), streams)?;
    streams.say(&format!("  code     {}", view.pairing_code.expose()))?;
    Ok(streams.say(&format!("  expires  {}", view.expires_at))?)
}

fn read_payload(path: &Path) -> Result<Box<ProvisioningPayload>, Failure> {
    let bytes = files::read("--payload", path, limits::BODY_MAX.default)?;
    Ok(Box::new(ProvisioningPayload::parse(&bytes)?))
}

fn read_person(person: &Person) -> Result<(OperatorId, SecretText), Failure> {
    let operator = person.operator.clone();
    let source = Source::choose("--pin-file", person.pin_file.as_deref())?;
    let pin = secret::read(source, &format!("PIN of {operator}"))?;
    Ok((operator, SecretText::new(&pin)))
}

fn socket(dir: &Path) -> PathBuf {
    let is_socket = std::fs::metadata(dir).is_ok_and(|found| found.file_type().is_socket());
    if is_socket { dir.to_owned() } else { dir.join("control.sock") }
}

#[expect(clippy::needless_pass_by_value, reason = "used as `map_err(failed)`")]
fn failed(error: ControlError) -> Failure {
    match (&error, error.report()) {
        (_, Some(report)) => Failure::from(report),
        (ControlError::Timeout, None) => {
            Failure::new(ErrorCode::Timeout).context(error.to_string())
        }
        (_, None) => Failure::new(ErrorCode::DeviceNotRunning).context(error.to_string()),
    }
}

/// An answer of another kind; it is not shown, since it may hold a code.
fn unexpected() -> Failure {
    Failure::new(ErrorCode::Internal).context("the device answered something else")
}
