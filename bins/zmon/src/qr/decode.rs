//! Reads QR codes from PNG images with `rqrr`, which shares no code with the encoder.

use png::{ColorType, Decoder, Limits, Transformations};
use rqrr::PreparedImage;
use zmon_cli::Failure;

/// Most pixels of an image; a phone's photo has fewer.
const PIXELS_MAX: usize = 64_000_000;

/// The content of the one QR code in a PNG image, which the argument `flag` named.
///
/// # Errors
/// A usage failure when it is no PNG image, or does not show exactly one readable QR code.
pub(crate) fn decode(flag: &'static str, image: &[u8]) -> Result<String, Failure> {
    let grey = Grey::read(flag, image)?;
    let mut prepared =
        PreparedImage::prepare_from_greyscale(grey.width, grey.height, |x, y| grey.at(x, y));
    let mut found = prepared.detect_grids().into_iter().filter_map(|grid| grid.decode().ok());
    let Some((_, content)) = found.next() else {
        return Err(Failure::usage(flag, "must show a readable QR code"));
    };
    if found.next().is_some() {
        return Err(Failure::usage(flag, "must show one QR code only"));
    }
    Ok(content)
}

/// An image as 8-bit grey.
struct Grey {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Grey {
    fn read(flag: &'static str, image: &[u8]) -> Result<Self, Failure> {
        let unreadable = |error: png::DecodingError| {
            Failure::usage(flag, "must be PNG").context(error.to_string())
        };
        let limits = Limits { bytes: PIXELS_MAX };
        let mut decoder = Decoder::new_with_limits(std::io::Cursor::new(image), limits);
        decoder.set_transformations(Transformations::normalize_to_color8());
        let mut reader = decoder.read_info().map_err(unreadable)?;
        let size = reader.output_buffer_size().filter(|size| *size <= 4 * PIXELS_MAX);
        let size =
            size.ok_or_else(|| Failure::usage(flag, "must have at most 64 million pixels"))?;
        let mut samples = vec![0; size];
        let frame = reader.next_frame(&mut samples).map_err(unreadable)?;
        samples.truncate(frame.buffer_size());
        let pixels = match frame.color_type {
            ColorType::Grayscale => samples,
            ColorType::GrayscaleAlpha => samples.chunks_exact(2).map(over_white).collect(),
            ColorType::Rgb => samples.chunks_exact(3).map(luma).collect(),
            ColorType::Rgba => samples.chunks_exact(4).map(luma).collect(),
            ColorType::Indexed => return Err(Failure::usage(flag, "must be grey or colour")),
        };
        let side = |length: u32| usize::try_from(length).unwrap_or(0);
        Ok(Self { width: side(frame.width), height: side(frame.height), pixels })
    }

    fn at(&self, x: usize, y: usize) -> u8 {
        self.pixels.get(y * self.width + x).copied().unwrap_or(u8::MAX)
    }
}

fn over_white(pixel: &[u8]) -> u8 {
    match *pixel {
        [grey, alpha] => blend(u32::from(grey), u32::from(alpha)),
        _ => u8::MAX,
    }
}

/// ITU-R BT.601 luma in integers, over white where transparent.
fn luma(pixel: &[u8]) -> u8 {
    let (red, green, blue, alpha) = match *pixel {
        [red, green, blue] => (red, green, blue, u8::MAX),
        [red, green, blue, alpha] => (red, green, blue, alpha),
        _ => return u8::MAX,
    };
    let grey = (299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue)) / 1000;
    blend(grey, u32::from(alpha))
}

fn blend(grey: u32, alpha: u32) -> u8 {
    u8::try_from((grey * alpha + 255 * (255 - alpha)) / 255).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use qrcode::{Color, EcLevel, QrCode};
    use zmon_cli::ExitClass;

    use super::*;

    /// A PNG of `text` with 4 pixels per module, in any colour type.
    fn image(text: &str, color: ColorType, black: &[u8], white: &[u8]) -> Vec<u8> {
        let code = QrCode::with_error_correction_level(text, EcLevel::M).unwrap();
        let (width, colors) = (code.width(), code.to_colors());
        let side = (width + 8) * 4;
        let mut samples = Vec::new();
        for y in 0..side {
            for x in 0..side {
                let (x, y) = ((x / 4).wrapping_sub(4), (y / 4).wrapping_sub(4));
                let dark = x < width && y < width && colors[y * width + x] == Color::Dark;
                samples.extend_from_slice(if dark { black } else { white });
            }
        }
        let mut bytes = Vec::new();
        let side = u32::try_from(side).unwrap();
        let mut encoder = png::Encoder::new(&mut bytes, side, side);
        encoder.set_color(color);
        encoder.write_header().unwrap().write_image_data(&samples).unwrap();
        bytes
    }

    #[test]
    fn reads_every_colour_type() {
        let cases: [(ColorType, &[u8], &[u8]); 4] = [
            (ColorType::Grayscale, &[0], &[255]),
            (ColorType::GrayscaleAlpha, &[0, 255], &[0, 0]),
            (ColorType::Rgb, &[10, 0, 60], &[250, 255, 240]),
            (ColorType::Rgba, &[0, 0, 0, 255], &[0, 0, 0, 0]),
        ];
        for (color, black, white) in cases {
            let png = image("hello, monitor", color, black, white);
            assert_eq!(decode("image", &png).unwrap(), "hello, monitor", "{color:?}");
        }
    }

    #[test]
    fn other_files_are_usage_failures() {
        let png = image("x", ColorType::Grayscale, &[255], &[255]);
        let truncated = &png[..png.len() / 2];
        for bytes in [&b""[..], b"GIF89a", truncated, &png] {
            assert_eq!(decode("image", bytes).unwrap_err().class(), ExitClass::Usage);
        }
    }
}
