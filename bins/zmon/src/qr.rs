//! `zmon qr …`.

mod decode;
mod terminal;

use std::path::Path;

use serde::Serialize;
use zeroize::Zeroizing;
use zmon_cli::{Failure, Streams, files};
use zmon_domain::{code::PairingCode, error::ErrorReport};
use zmon_provisioning::qr::{QrCodeData, QrParts};
use zmon_wire::qr::QrContent;

use crate::{
    args::{Qr, QrShow},
    device,
};

pub(crate) use decode::decode;
pub(crate) use terminal::show;

/// Longest image that is read, in bytes.
pub(crate) const IMAGE_MAX: usize = 32 * 1024 * 1024;
/// Longest content that is read, in bytes.
pub(crate) const CONTENT_MAX: usize = 4096;

/// What a QR code says, for programs.
#[derive(Serialize)]
struct Said<'a> {
    success: bool,
    text: &'a str,
}

/// Carries out a command about QR codes.
///
/// # Errors
/// A usage failure for a wrong image or content; what the device says.
pub(crate) async fn run(command: Qr, streams: &mut Streams<'_>) -> Result<(), Failure> {
    match command {
        Qr::Decode { image } => {
            let text = Zeroizing::new(decode("image", &files::read("image", &image, IMAGE_MAX)?)?);
            if streams.is_json() {
                return Ok(streams.json(&Said { success: true, text: &text })?);
            }
            Ok(streams.say(&text)?)
        }
        Qr::Show(args) => show_code(&args, streams).await,
    }
}

async fn show_code(args: &QrShow, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let drawn = match (&args.device, &args.text) {
        (Some(dir), _) => device::qr(dir).await?,
        (None, Some(path)) => draw(path)?,
        (None, None) => return Err(Failure::usage("--text", "must be given without a device")),
    };
    if let Some(path) = &args.png {
        files::create_named("--png", path, &drawn.png)?;
    }
    if let Some(path) = &args.svg {
        files::create_named("--svg", path, drawn.svg.as_bytes())?;
    }
    if streams.is_json() {
        return Ok(streams.json(&Said { success: true, text: &drawn.content })?);
    }
    show(&drawn.content, streams)
}

/// A QR code in every form that this program shows or writes.
pub(crate) struct Drawn {
    pub(crate) content: Zeroizing<String>,
    pub(crate) png: Vec<u8>,
    pub(crate) svg: Zeroizing<String>,
}

/// Draws the content of a file as the device would.
fn draw(path: &Path) -> Result<Drawn, Failure> {
    let text = Zeroizing::new(files::read_text("--text", path, CONTENT_MAX)?);
    let content = QrContent::parse(text.trim().as_bytes())?;
    let json = content.to_json()?;
    let pairing_code = PairingCode::parse_any(content.pairing_code.expose())
        .map_err(|error| ErrorReport::from(error.code()))?;
    let unfit = |error: zmon_provisioning::qr::QrError| {
        Failure::usage("--text", "must fit a QR code").context(error.to_string())
    };
    let data = QrCodeData::draw(QrParts {
        device_id: content.device_id,
        serial_number: content.device_serial,
        ip_address: content.ip_address,
        pairing_code,
        // The content does not say when it was made; no drawing shows it.
        timestamp: content.expires_at,
        expires_at: content.expires_at,
        content: json.clone(),
    })
    .map_err(unfit)?;
    let svg = data.svg().map_err(unfit)?;
    Ok(Drawn { content: json, png: data.qr_code_image().to_vec(), svg })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_reads_back_byte_for_byte() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("content.json");
        let content = r#"{"deviceId":"ZM-001","deviceSerial":"SN-2024-001234","ipAddress":"192.168.1.100","pairingCode":"ABC-123-XYZ","pairingToken":"dG9rZW4","expiresAt":"2024-11-25T14:30:00Z","firmwareVersion":"1.2.3"}"#;
        std::fs::write(&path, format!("{content}\n")).unwrap();
        let drawn = draw(&path).unwrap();
        assert_eq!(decode("image", &drawn.png).unwrap(), content);
        assert!(drawn.svg.starts_with("<svg"));
    }

    #[test]
    fn other_content_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("content.json");
        std::fs::write(&path, "{}").unwrap();
        assert!(draw(&path).is_err());
    }
}
