//! The QR code, read back by a decoder that shares nothing with the encoder.

use core::time::Duration;
use std::io::Cursor;

use zeroize::Zeroizing;
use zmon_domain::address::DeviceAddress;
use zmon_domain::code::{CodeFormat, PairingCode};
use zmon_domain::ids::DeviceSerial;
use zmon_domain::role::Role;
use zmon_domain::time::UnixTime;
use zmon_provisioning::IProvisioningService;
use zmon_provisioning::qr::{QrCodeData, QrError, QrParts};

use crate::common::{Bench, device_id};

/// The documents' example ([W §3]) with a token of its real length.
fn example() -> String {
    let token = "A".repeat(68);
    format!(
        "{{\"deviceId\":\"ZM-001\",\"deviceSerial\":\"SN-2024-001234\",\
         \"ipAddress\":\"192.168.1.100\",\"pairingCode\":\"ABC-123-XYZ\",\
         \"pairingToken\":\"{token}\",\"expiresAt\":\"2024-11-25T14:30:00Z\",\
         \"firmwareVersion\":\"1.2.3\"}}"
    )
}

fn draw(content: &str) -> Result<QrCodeData, QrError> {
    let expires_at = UnixTime::parse("2024-11-25T14:30:00Z").unwrap();
    QrCodeData::draw(QrParts {
        device_id: device_id(),
        serial_number: DeviceSerial::parse("SN-2024-001234").unwrap(),
        ip_address: DeviceAddress::parse("192.168.1.100").unwrap(),
        pairing_code: PairingCode::parse("ABC-123-XYZ", CodeFormat::Grouped9).unwrap(),
        timestamp: expires_at - Duration::from_secs(600),
        expires_at,
        content: Zeroizing::new(content.into()),
    })
}

/// Side in pixels and one byte per pixel, 0 for dark.
fn pixels(png: &[u8]) -> (usize, Vec<u8>) {
    let mut decoder = png::Decoder::new(Cursor::new(png));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut grey = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut grey).unwrap();
    assert_eq!(info.width, info.height);
    grey.truncate(info.buffer_size());
    (info.width as usize, grey)
}

fn decode(side: usize, grey: &[u8]) -> (usize, String) {
    let mut image =
        rqrr::PreparedImage::prepare_from_greyscale(side, side, |x, y| grey[y * side + x]);
    let grids = image.detect_grids();
    assert_eq!(grids.len(), 1);
    let (meta, content) = grids[0].decode().unwrap();
    assert_eq!(meta.ecc_level, 2, "level H is 2 in the format bits");
    (meta.version.0, content)
}

#[test]
fn the_documents_example_is_300_pixels_and_decodes_to_its_content() {
    let qr = draw(&example()).unwrap();
    let (side, grey) = pixels(qr.qr_code_image());
    assert_eq!(side, 300);
    let (version, content) = decode(side, &grey);
    assert_eq!(content, qr.qr_code_content());
    assert_eq!(content, example());
    assert!(version <= 17, "version {version}");
}

#[test]
fn every_module_is_whole_pixels_with_a_quiet_zone() {
    let (side, grey) = pixels(draw(&example()).unwrap().qr_code_image());
    let dark: Vec<(usize, usize)> =
        (0..side * side).filter(|at| grey[*at] == 0).map(|at| (at % side, at / side)).collect();
    let left = dark.iter().map(|(x, _)| *x).min().unwrap();
    let right = dark.iter().map(|(x, _)| *x).max().unwrap() + 1;
    let modules = 17 * 4 + 17;
    let scale = (right - left) / modules;
    assert!(scale >= 3 && scale * modules == right - left, "{scale} px per module");
    assert!(left >= 4 * scale && side - right >= 4 * scale, "quiet zone of four modules");
    for (x, y) in &dark {
        let corner = |at: usize| left + (at - left) / scale * scale;
        assert_eq!(grey[corner(*y) * side + corner(*x)], 0);
    }
}

#[test]
fn longer_content_grows_by_whole_modules_and_too_long_is_refused() {
    for (length, expected) in [(1, 300), (280, 300), (310, 300), (311, 303), (380, 315)] {
        let content = "x".repeat(length);
        let (side, grey) = pixels(draw(&content).unwrap().qr_code_image());
        assert_eq!(side, expected, "{length} bytes");
        assert_eq!(decode(side, &grey).1, content);
    }
    assert_eq!(draw(&"x".repeat(1274)).unwrap_err(), QrError::TooLong);
}

#[test]
fn svg_and_terminal_show_the_same_modules() {
    let qr = draw(&example()).unwrap();
    let (side, grey) = pixels(qr.qr_code_image());
    let text = qr.terminal().unwrap();
    let lines: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
    let modules = lines[0].len();
    assert_eq!(modules, 17 * 4 + 17 + 8);
    let light = |x: usize, y: usize| match lines[y / 2][x] {
        '█' => true,
        '▀' => y.is_multiple_of(2),
        '▄' => !y.is_multiple_of(2),
        _ => false,
    };
    let offset = (side - modules * 3) / 2;
    let mut dark = 0;
    for y in 0..modules {
        for x in 0..modules {
            let pixel = grey[(offset + y * 3 + 1) * side + offset + x * 3 + 1];
            assert_eq!(light(x, y), pixel != 0, "module {x},{y}");
            dark += u32::from(pixel == 0);
        }
    }
    let svg = qr.svg().unwrap();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>"));
    let drawn: u32 = svg
        .split("v1h-")
        .skip(1)
        .map(|run| run.split('z').next().unwrap().parse::<u32>().unwrap())
        .sum();
    assert_eq!(drawn, dark);
}

#[tokio::test(start_paused = true)]
async fn the_services_image_decodes_to_its_content_with_the_seven_keys() {
    let bench = Bench::new();
    let service = bench.start().await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    let qr = service.generate_qr_code().await.unwrap();
    let (side, grey) = pixels(qr.qr_code_image());
    assert_eq!(side, 300);
    let (_, content) = decode(side, &grey);
    assert_eq!(content, qr.qr_code_content());
    let keys: Vec<&str> = content.split('"').skip(1).step_by(4).collect();
    let expected = [
        "deviceId",
        "deviceSerial",
        "ipAddress",
        "pairingCode",
        "pairingToken",
        "expiresAt",
        "firmwareVersion",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn expiry_counts_down_to_zero_and_the_last_second_counts() {
    let qr = draw(&example()).unwrap();
    let end = qr.expires_at();
    let second = Duration::from_secs(1);
    assert_eq!(qr.seconds_until_expiry(qr.timestamp()), 600);
    assert_eq!((qr.seconds_until_expiry(end - second), qr.is_expired(end - second)), (1, false));
    assert_eq!((qr.seconds_until_expiry(end), qr.is_expired(end)), (0, false));
    assert_eq!((qr.seconds_until_expiry(end + second), qr.is_expired(end + second)), (0, true));
    assert!(!format!("{qr:?}").contains("ABC"));
}
