//! A QR code for a terminal of 80 columns.
//!
//! The images keep level H; a screen of text is clean and its columns are scarce, so this drawing
//! takes level L: 65 columns for a usual content where level H needs 93.

use qrcode::{Color, EcLevel, QrCode};
use zmon_cli::{Failure, Streams};
use zmon_domain::error::ErrorCode;

/// Light modules around the symbol (ISO/IEC 18004 asks for four).
const QUIET_ZONE: usize = 4;

/// `content` as half blocks, one module a column and two a line.
///
/// # Errors
/// When the content does not fit any QR code.
pub(crate) fn draw(content: &str) -> Result<String, Failure> {
    let code = QrCode::with_error_correction_level(content, EcLevel::L)
        .map_err(|error| Failure::new(ErrorCode::RequestMalformed).context(error.to_string()))?;
    let width = code.width();
    let colors = code.into_colors();
    let side = width + 2 * QUIET_ZONE;
    let is_light = |x: usize, y: usize| {
        let inside = |at: usize| at.checked_sub(QUIET_ZONE).filter(|at| *at < width);
        match (inside(x), inside(y)) {
            (Some(x), Some(y)) => colors.get(y * width + x) != Some(&Color::Dark),
            _ => y < side,
        }
    };
    let mut text = String::new();
    for y in (0..side).step_by(2) {
        for x in 0..side {
            text.push(match (is_light(x, y), is_light(x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        text.push('\n');
    }
    Ok(text)
}

/// Shows `content` in the terminal, white on black whatever its colours are.
///
/// # Errors
/// As [`draw`], and when the output cannot be written.
pub(crate) fn show(content: &str, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let drawing = draw(content)?;
    for line in drawing.lines() {
        let line = if streams.is_terminal() {
            format!("  \x1b[97;40m{line}\x1b[0m")
        } else {
            format!("  {line}")
        };
        streams.say(&line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usual_content_fits_80_columns() {
        let drawing = draw(&"x".repeat(270)).unwrap();
        assert!(drawing.lines().all(|line| line.chars().count() <= 78));
    }

    #[test]
    fn the_drawing_reads_back() {
        let drawing = draw("hello, monitor").unwrap();
        let rows: Vec<Vec<char>> = drawing.lines().map(|line| line.chars().collect()).collect();
        let at = |x: usize, y: usize| match (rows[y / 2][x], y % 2) {
            ('█', _) | ('▀', 0) | ('▄', 1) => 255,
            _ => 0,
        };
        let side = rows[0].len();
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(side * 4, side * 4, |x, y| {
            at(x / 4, y / 4)
        });
        let (_, content) = image.detect_grids()[0].decode().unwrap();
        assert_eq!(content, "hello, monitor");
    }

    #[test]
    fn too_much_content_is_refused() {
        assert!(draw(&"x".repeat(4000)).is_err());
    }
}
