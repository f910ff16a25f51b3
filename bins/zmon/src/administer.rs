//! `zmon registry …` and `zmon operator …`.

use zmon_cli::{
    Failure, Streams, files,
    secret::{self, Source},
};
use zmon_domain::{ids::OperatorId, limits};
use zmon_wire::{admin::OperatorRequest, manifest, secret::SecretText};

use crate::{
    args::{RegistryCommand, station::OperatorCommand},
    station::StationClient,
};

/// The flag that names a file with a new password.
const NEW_PASSWORD: &str = "--new-password-file";

/// Carries out a command about the registry.
///
/// # Errors
/// A usage failure for a wrong manifest before anything is sent; else what the station says.
pub(crate) async fn registry(
    command: RegistryCommand,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    match command {
        RegistryCommand::Import { manifest: path, login } => {
            let bytes = files::read("manifest", &path, limits::MANIFEST_BYTES.default)?;
            manifest::parse(&bytes)?;
            let answer = StationClient::login(&login).await?.import(bytes).await?;
            if streams.is_json() {
                return Ok(streams.json(&answer)?);
            }
            Ok(streams.say(&format!(
                "{} added, {} changed, {} known already",
                answer.added, answer.changed, answer.unchanged
            ))?)
        }
        RegistryCommand::AcceptAudit { device, login } => {
            let done = StationClient::login(&login).await?.accept_audit(&device).await?;
            if streams.is_json() {
                return Ok(streams.json(&done)?);
            }
            Ok(streams.say(&format!("{device} may begin a new audit log"))?)
        }
        RegistryCommand::Rekey { device, manifest: path, login } => {
            let bytes = files::read("--manifest", &path, limits::BODY_MAX.default)?;
            manifest::parse(&bytes)?;
            let answer = StationClient::login(&login).await?.rekey(&device, bytes).await?;
            if streams.is_json() {
                return Ok(streams.json(&answer)?);
            }
            streams
                .say(&format!("{} has the key {} now", answer.device_id, answer.identity_key))?;
            Ok(streams.say(&format!("{} certificates of the old key revoked", answer.revoked))?)
        }
        RegistryCommand::Enrol { device, login } => {
            let answer = StationClient::login(&login).await?.permit_enrolment(&device).await?;
            if streams.is_json() {
                return Ok(streams.json(&answer)?);
            }
            let until = answer.expires_at;
            streams.say(&format!("{device} may enrol once, until {until}, with the credential"))?;
            Ok(streams.say(answer.credential.expose())?)
        }
        RegistryCommand::List { login } => {
            let list = StationClient::login(&login).await?.devices().await?;
            if streams.is_json() {
                return Ok(streams.json(&list)?);
            }
            let line = |id: &str, serial: &str, bed: &str, trust: &str, until: &str| {
                format!("{id:<20} {serial:<20} {bed:<12} {trust:<10} {until}")
            };
            streams.say(&line("DEVICE", "SERIAL", "BED", "TRUST", "VALID UNTIL"))?;
            for row in &list.devices {
                let bed = row.bed_id.as_ref().map_or("-", |bed| bed.as_str());
                let until = row.certificate_not_after.filter(|_| row.provisioned);
                let until = until.map(|until| until.to_string());
                // The day is enough for a line of 80 columns.
                let day = until.as_deref().and_then(|until| until.get(..10)).unwrap_or("-");
                let trust = row.trust_level.map_or("-", |level| level.as_str());
                let (id, serial) = (row.device_id.as_str(), row.device_serial.as_str());
                streams.say(&line(id, serial, bed, trust, day))?;
            }
            Ok(())
        }
    }
}

/// Carries out a command about operators.
///
/// # Errors
/// A usage failure for a wrong name; else what the station says.
pub(crate) async fn operator(
    command: OperatorCommand,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    match command {
        OperatorCommand::Add { name: operator, role, new_password_file, login } => {
            let source = Source::choose(NEW_PASSWORD, new_password_file.as_deref())?;
            let mut client = StationClient::login(&login).await?;
            let password = secret::read_new(source, &format!("New password of {operator}"))?;
            let request = OperatorRequest {
                operator: operator.clone(),
                role: role.into(),
                password: Some(SecretText::new(&password)),
            };
            let done = client.add_operator(&request).await?;
            if streams.is_json() {
                return Ok(streams.json(&done)?);
            }
            Ok(streams.say(&format!("{operator} is added as {}", request.role))?)
        }
        OperatorCommand::Password { new_password_file, login } => {
            let source = Source::choose(NEW_PASSWORD, new_password_file.as_deref())?;
            let (mut client, present) = StationClient::login_keeping(&login).await?;
            let name = login.operator.as_ref().map_or("", OperatorId::as_str);
            let new = secret::read_new(source, &format!("New password of {name}"))?;
            let done = client.change_password(&present, &new).await?;
            if streams.is_json() {
                return Ok(streams.json(&done)?);
            }
            Ok(streams.say(&format!("{name} has a new password; every other login has ended"))?)
        }
    }
}
