//! `zmon pair`: what the operator's tablet does after it has scanned the screen.

use zmon_cli::{Failure, Streams, files};
use zmon_domain::{
    address::DeviceAddress,
    code::PairingCode,
    error::ErrorReport,
    ids::{BedId, DeviceId, DeviceLabel},
};
use zmon_wire::{
    pair::{PairAnswer, PairRequest},
    qr::QrContent,
    secret::SecretText,
};

use crate::{args::Pair, qr, station::StationClient};

/// Longest image that is read, in bytes.
const IMAGE_MAX: u64 = 32 * 1024 * 1024;

/// Pairs a device through a station.
///
/// # Errors
/// A usage failure before anything is sent; else what the station says.
pub(crate) async fn run(args: &Pair, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let mut request = request(args)?;
    request.bed_id = args.bed.as_deref().map(BedId::parse).transpose()?;
    request.device_label = args.label.as_deref().map(DeviceLabel::parse).transpose()?;
    let answer = StationClient::login(&args.login).await?.pair(&request).await?;
    show(&request, &answer, streams)
}

/// What a scanned QR code asks the station for.
pub(crate) fn from_content(content: QrContent) -> PairRequest {
    PairRequest {
        device_id: content.device_id,
        pairing_code: content.pairing_code,
        pairing_token: Some(content.pairing_token),
        session_id: None,
        device_serial: Some(content.device_serial),
        ip_address: Some(content.ip_address),
        bed_id: None,
        device_label: None,
    }
}

fn request(args: &Pair) -> Result<PairRequest, Failure> {
    if let Some(path) = &args.qr_image {
        let text = qr::decode(&files::read(path, IMAGE_MAX)?)?;
        return Ok(from_content(QrContent::parse(text.as_bytes())?));
    }
    if let Some(text) = &args.qr_text {
        return Ok(from_content(QrContent::parse(text.as_bytes())?));
    }
    let (Some(id), Some(code)) = (&args.device_id, &args.code) else {
        return Err(Failure::usage("code", "must be given with the device id"));
    };
    // A typo is caught here and costs no try.
    PairingCode::parse_any(code).map_err(|error| ErrorReport::from(error.code()))?;
    Ok(PairRequest {
        device_id: DeviceId::parse(id)?,
        pairing_code: SecretText::new(code),
        pairing_token: args.token.as_deref().map(SecretText::new),
        session_id: None,
        device_serial: None,
        ip_address: args.address.as_deref().map(DeviceAddress::parse).transpose()?,
        bed_id: None,
        device_label: None,
    })
}

fn show(
    request: &PairRequest,
    answer: &PairAnswer,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    if streams.is_json() {
        return Ok(streams.json(answer)?);
    }
    streams.say(&format!("{} is provisioned", request.device_id))?;
    Ok(streams.say(&format!("  server  {}", answer.configuration.server_url))?)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use zmon_cli::ExitClass;
    use zmon_domain::error::ErrorCode;

    use super::*;
    use crate::{Args, Command};

    const CONTENT: &str = r#"{"deviceId":"ZM-001","deviceSerial":"SN-2024-001234","ipAddress":"192.168.1.100","pairingCode":"ABC-123-XYZ","pairingToken":"dG9rZW4","expiresAt":"2024-11-25T14:30:00Z","firmwareVersion":"1.2.3"}"#;

    fn parsed(more: &[&str]) -> Box<Pair> {
        let base = ["zmon", "pair", "--station", "https://h:1", "--ca", "a", "--operator", "o"];
        let args = Args::try_parse_from(base.iter().chain(more)).unwrap();
        let Command::Pair(pair) = args.command else { panic!("asked for pair") };
        pair
    }

    fn asked(more: &[&str]) -> Result<PairRequest, Failure> {
        request(&parsed(more))
    }

    #[test]
    fn the_content_of_a_qr_code_becomes_the_request() {
        let request = asked(&["--qr-text", CONTENT]).unwrap();
        assert_eq!(request.device_id.as_str(), "ZM-001");
        assert_eq!(request.pairing_code.expose(), "ABC-123-XYZ");
        assert_eq!(request.pairing_token.unwrap().expose(), "dG9rZW4");
        assert_eq!(request.ip_address.unwrap().to_string(), "192.168.1.100");
    }

    #[test]
    fn a_mistyped_code_is_refused_here() {
        let typed = |code| asked(&["--device-id", "ZM-001", "--code", code]);
        assert!(typed("ABC-123-XYZ").is_ok());
        let failure = typed("ABC-123-XYA").unwrap_err();
        assert_eq!(
            (failure.code(), failure.class()),
            (ErrorCode::PairingCodeTypo, ExitClass::Refused)
        );
    }

    #[test]
    fn other_content_is_a_usage_failure_that_names_the_member() {
        let failure = asked(&["--qr-text", r#"{"deviceId":"ZM-001"}"#]).unwrap_err();
        assert_eq!(failure.class(), ExitClass::Usage);
        let failure = asked(&["--qr-text", &CONTENT.replace("ZM-001", "-")]).unwrap_err();
        assert!(failure.to_text().contains("deviceId"), "{}", failure.to_text());
    }
}
