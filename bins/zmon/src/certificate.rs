//! `zmon certificate …`.

use zmon_cli::{Failure, Streams};
use zmon_wire::fleet::{CertificateList, CertificateView, RevokeRequest};

use crate::{
    args::certificate::CertificateCommand,
    station::{StationClient, Which},
};

/// Carries out a command about certificates.
///
/// # Errors
/// What the station says.
pub(crate) async fn run(
    command: CertificateCommand,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    match command {
        CertificateCommand::List { state, device, login } => {
            let which = device.map_or_else(|| Which::State(state.into()), Which::Device);
            let list = StationClient::login(&login).await?.certificates(&which).await?;
            show(&list, streams)
        }
        CertificateCommand::Revoke { serial, reason, login } => {
            let request = RevokeRequest { reason: reason.into() };
            let mut client = StationClient::login(&login).await?;
            let answer = client.revoke(serial, &request).await?;
            if streams.is_json() {
                return Ok(streams.json(&answer)?);
            }
            let word = if answer.already_revoked { "was revoked before" } else { "is revoked" };
            Ok(streams.say(&format!("{serial} of {} {word}", answer.device_id))?)
        }
    }
}

fn show(list: &CertificateList, streams: &mut Streams<'_>) -> Result<(), Failure> {
    if streams.is_json() {
        return Ok(streams.json(list)?);
    }
    // A serial number has up to 40 digits: no column fits beside it in 80, so it stands last.
    let line = |device: &str, state: &str, until: &str, serial: &str| {
        format!("{device:<14} {state:<10} {until:<11} {serial}")
    };
    streams.say(&line("DEVICE", "STATE", "VALID UNTIL", "SERIAL NUMBER"))?;
    for row in &list.certificates {
        let CertificateView { device_id, serial, state, not_after, .. } = row;
        let until = not_after.to_string();
        let day = until.get(..10).unwrap_or("-");
        streams.say(&line(device_id.as_str(), state.as_str(), day, &serial.to_string()))?;
    }
    Ok(())
}
