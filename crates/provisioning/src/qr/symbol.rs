//! A QR symbol as a matrix of modules, and its three drawings.

use qrcode::bits::Bits;
use qrcode::canvas::Canvas;
use qrcode::{Color, EcLevel, Version, ec};
use zeroize::Zeroizing;
use zmon_domain::limits;

use super::mask;

/// Light modules around the symbol that ISO/IEC 18004 demands.
const QUIET_ZONE: usize = 4;
/// Eight light pixels.
const LIGHT: u8 = 0xff;
/// Highest version of the standard.
const VERSIONS: i16 = 40;

/// Why there is no symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QrError {
    /// Level H holds 1273 bytes at most.
    #[error("the content does not fit a QR code of level H")]
    TooLong,
    /// The image encoder refused.
    #[error("the image could not be written")]
    Image,
}

/// One symbol of error-correction level H ([I §8]), byte mode (D15).
pub(crate) struct Symbol {
    modules: Vec<Color>,
    width: usize,
}

impl Symbol {
    /// Encodes `content` at the smallest version that holds it.
    pub(crate) fn encode(content: &[u8]) -> Result<Self, QrError> {
        for version in 1..=VERSIONS {
            let version = Version::Normal(version);
            let mut bits = Bits::new(version);
            if bits.push_byte_data(content).and_then(|()| bits.push_terminator(EcLevel::H)).is_err()
            {
                continue;
            }
            return Self::draw(bits, version);
        }
        Err(QrError::TooLong)
    }

    /// As `qrcode`'s `QrCode::with_bits`, but for the choice of the mask.
    fn draw(bits: Bits, version: Version) -> Result<Self, QrError> {
        let width = usize::try_from(version.width()).map_err(|_| QrError::TooLong)?;
        let bytes = Zeroizing::new(bits.into_bytes());
        let (data, check) =
            ec::construct_codewords(&bytes, version, EcLevel::H).map_err(|_| QrError::TooLong)?;
        let mut canvas = Canvas::new(version, EcLevel::H);
        canvas.draw_all_functional_patterns();
        canvas.draw_data(&data, &check);
        Ok(Self { modules: mask::best(&canvas, width), width })
    }

    /// Modules per side with the quiet zone.
    fn side(&self) -> usize {
        self.width + 2 * QUIET_ZONE
    }

    /// Whether the module at (x, y), counted from the quiet zone's corner, is dark.
    fn is_dark(&self, x: usize, y: usize) -> bool {
        let inside = |at: usize| at.checked_sub(QUIET_ZONE).filter(|at| *at < self.width);
        let (Some(x), Some(y)) = (inside(x), inside(y)) else { return false };
        self.modules.get(y * self.width + x) == Some(&Color::Dark)
    }

    /// A 1-bit grey PNG: whole pixels per module, at least three, centred on 300×300 pixels; grown
    /// by whole modules where three do not fit.
    pub(crate) fn png(&self) -> Result<Zeroizing<Vec<u8>>, QrError> {
        // Fewer than three pixels per module, and phones stop reading (D15).
        let least = pixels(limits::QR_PIXELS.default);
        let module_pixels = pixels(limits::QR_MODULE_PIXELS.default);
        let scale = (least / self.side()).max(module_pixels);
        let drawn = self.side() * scale;
        let size = drawn.max(least);
        let offset = (size - drawn) / 2;
        let line = size.div_ceil(8);
        let mut rows = Zeroizing::new(Vec::with_capacity(line * size));
        rows.resize(line * offset, LIGHT);
        for y in 0..self.side() {
            let start = rows.len();
            rows.resize(start + line, LIGHT);
            for x in (0..self.side()).filter(|x| self.is_dark(*x, y)) {
                for pixel in (offset + x * scale..).take(scale) {
                    if let Some(eight) = rows.get_mut(start + pixel / 8) {
                        *eight &= !(0x80 >> (pixel % 8));
                    }
                }
            }
            for _ in 1..scale {
                rows.extend_from_within(start..start + line);
            }
        }
        rows.resize(line * size, LIGHT);
        write_png(&rows, size)
    }

    /// One path on a white square, one unit per module.
    pub(crate) fn svg(&self) -> Zeroizing<String> {
        let side = self.side();
        let mut path = Zeroizing::new(String::new());
        for y in 0..side {
            let mut x = 0;
            while x < side {
                let run = (x..side).take_while(|x| self.is_dark(*x, y)).count();
                if run > 0 {
                    path.push_str(&format!("M{x} {y}h{run}v1h-{run}z"));
                }
                x += run.max(1);
            }
        }
        Zeroizing::new(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" \
             shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/>\
             <path d=\"{}\"/></svg>",
            *path
        ))
    }

    /// Half-block characters, two modules a line, light on dark: readable on a dark terminal.
    pub(crate) fn terminal(&self) -> Zeroizing<String> {
        let side = self.side();
        let mut text = Zeroizing::new(String::with_capacity(side * side * 2));
        for y in (0..side).step_by(2) {
            for x in 0..side {
                let lower = y + 1 < side && !self.is_dark(x, y + 1);
                text.push(match (!self.is_dark(x, y), lower) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (false, false) => ' ',
                });
            }
            text.push('\n');
        }
        text
    }
}

fn pixels(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn write_png(rows: &[u8], pixels: usize) -> Result<Zeroizing<Vec<u8>>, QrError> {
    let side = u32::try_from(pixels).map_err(|_| QrError::Image)?;
    let mut png = Zeroizing::new(Vec::with_capacity(rows.len() / 2));
    let mut encoder = png::Encoder::new(&mut *png, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    encoder.set_compression(png::Compression::Balanced);
    encoder.set_filter(png::Filter::NoFilter);
    let mut writer = encoder.write_header().map_err(|_| QrError::Image)?;
    writer.write_image_data(rows).map_err(|_| QrError::Image)?;
    writer.finish().map_err(|_| QrError::Image)?;
    Ok(png)
}
