//! Content to PNG ([I §8]: below 500 ms).

use core::hint::black_box;
use core::time::Duration;

use fast_qr::{ECL, QRBuilder};
use qrcode::bits::Bits;
use qrcode::{EcLevel, QrCode, Version};
use zeroize::Zeroizing;
use zmon_bench::sample::in_turn;
use zmon_bench::table::{Row, Target};
use zmon_domain::address::DeviceAddress;
use zmon_domain::code::{CodeFormat, PairingCode};
use zmon_domain::ids::{DeviceId, DeviceSerial};
use zmon_domain::time::UnixTime;
use zmon_provisioning::qr::{QrCodeData, QrParts};

/// The largest content of version 17 at level H, which the content aims at (D15).
const LENGTH: usize = 280;

/// The row.
pub(crate) fn draw() -> Row {
    let content = content();
    let rows = decode(&picture(&content));
    let [drawn, encoded, fast, deflated] = in_turn(
        200,
        [
            &mut || drop(picture(&content)),
            &mut || {
                let mut bits = Bits::new(Version::Normal(17));
                bits.push_byte_data(content.as_bytes()).expect("it fits");
                bits.push_terminator(EcLevel::H).expect("it fits");
                drop(QrCode::with_bits(bits, EcLevel::H).expect("a symbol"));
            },
            &mut || {
                let fast = QRBuilder::new(content.as_str()).ecl(ECL::H).build();
                black_box(fast.expect("a symbol"));
            },
            &mut || drop(encode(&rows)),
        ],
    );
    Row {
        what: format!("QR code to PNG, {LENGTH} bytes"),
        cost: drawn,
        linked: vec![("`qrcode` encode", 1, encoded), ("`png` write", 1, deflated)],
        fastest: vec![("`fast_qr`", 1, fast), ("`png` write", 1, deflated)],
        target: Some(Target::Wall(Duration::from_millis(4))),
        limit: Some(Duration::from_millis(500)),
    }
}

/// [W §3]'s members with the token's real length, filled up to [`LENGTH`].
fn content() -> String {
    let token = "Ab1-".repeat(17);
    let json = format!(
        "{{\"deviceId\":\"ZM-001\",\"deviceSerial\":\"SN-2024-001234\",\"ipAddress\":\
         \"192.168.1.100\",\"pairingCode\":\"ABC-123-XYZ\",\"pairingToken\":\"{token}\",\
         \"expiresAt\":\"2024-11-25T14:30:00Z\",\"firmwareVersion\":\"1.2.3"
    );
    let filled = json.len() + "\"}".len();
    format!("{json}{}\"}}", "0".repeat(LENGTH - filled))
}

fn picture(content: &str) -> Vec<u8> {
    let expires_at = UnixTime::parse("2024-11-25T14:30:00Z").expect("a time");
    let drawn = QrCodeData::draw(QrParts {
        device_id: DeviceId::parse("ZM-001").expect("an id"),
        serial_number: DeviceSerial::parse("SN-2024-001234").expect("a serial number"),
        ip_address: DeviceAddress::parse("192.168.1.100").expect("an address"),
        pairing_code: PairingCode::parse("ABC-123-XYZ", CodeFormat::Grouped9).expect("a code"),
        timestamp: expires_at - Duration::from_secs(600),
        expires_at,
        content: Zeroizing::new(content.to_owned()),
    });
    drawn.expect("it fits").qr_code_image().to_vec()
}

/// Rows of 1-bit pixels.
fn decode(png: &[u8]) -> Vec<u8> {
    let decoder = png::Decoder::new(std::io::Cursor::new(png));
    let mut reader = decoder.read_info().expect("a PNG");
    let mut rows = vec![0; reader.output_buffer_size().expect("a size")];
    let info = reader.next_frame(&mut rows).expect("a picture");
    rows.truncate(info.buffer_size());
    rows
}

fn encode(rows: &[u8]) -> Vec<u8> {
    let mut png = Vec::with_capacity(rows.len());
    let mut encoder = png::Encoder::new(&mut png, 300, 300);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    encoder.set_compression(png::Compression::Balanced);
    encoder.set_filter(png::Filter::NoFilter);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(rows).expect("pixels");
    writer.finish().expect("an end");
    png
}
