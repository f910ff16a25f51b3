//! The mask of a symbol: of the eight, the one with the lowest penalty (ISO/IEC 18004 §7.8.3).
//!
//! The penalties are those of `qrcode`'s `apply_best_mask`, which looks at modules one by one and
//! takes nine tenths of the time of an encoding. Here they are counted on lines of bits; a test
//! holds both to the same symbols.

use qrcode::Color;
use qrcode::canvas::{Canvas, MaskPattern};

/// In the order of the standard: the first of the lowest is taken.
const MASKS: [MaskPattern; 8] = [
    MaskPattern::Checkerboard,
    MaskPattern::HorizontalLines,
    MaskPattern::VerticalLines,
    MaskPattern::DiagonalLines,
    MaskPattern::LargeCheckerboard,
    MaskPattern::Fields,
    MaskPattern::Diamonds,
    MaskPattern::Meadow,
];

/// One row or column, a bit a module, dark is 1. Beyond the last module all is light.
type Line = u128;

/// The modules of `canvas`, `width` a side, under its best mask, row by row.
pub(super) fn best(canvas: &Canvas, width: usize) -> Vec<Color> {
    // Versions above 27 have longer lines; no content of ours needs them.
    if width > 125 {
        return canvas.apply_best_mask().into_colors();
    }
    let masked = |mask| {
        let mut canvas = canvas.clone();
        canvas.apply_mask(mask);
        canvas.into_colors()
    };
    MASKS.into_iter().map(masked).min_by_key(|modules| penalty(modules, width)).unwrap_or_default()
}

/// How hard the symbol is to read.
fn penalty(modules: &[Color], width: usize) -> u32 {
    let (rows, columns) = lines(modules, width);
    // Pairs of neighbours in a line: one less than modules.
    let pairs = (1 << width.saturating_sub(1)) - 1;
    let along: u32 =
        rows.iter().chain(&columns).map(|line| runs(*line, pairs) + finders(*line)).sum();
    let blocks: u32 =
        rows.iter().zip(rows.iter().skip(1)).map(|(a, b)| squares(*a, *b, pairs)).sum();
    along + blocks + balance(&rows, width)
}

fn lines(modules: &[Color], width: usize) -> (Vec<Line>, Vec<Line>) {
    let mut rows = Vec::with_capacity(width);
    let mut columns = vec![0; width];
    for (y, modules) in modules.chunks(width).enumerate() {
        let mut row = 0;
        for ((x, module), column) in modules.iter().enumerate().zip(&mut columns) {
            let dark = Line::from(*module == Color::Dark);
            row |= dark << x;
            *column |= dark << y;
        }
        rows.push(row);
    }
    (rows, columns)
}

/// Runs of five or more alike: their length less two.
fn runs(line: Line, pairs: Line) -> u32 {
    let alike = !(line ^ line >> 1) & pairs;
    let five = alike & alike >> 1 & alike >> 2 & alike >> 3;
    let starts = five & !(five << 1);
    five.count_ones() + 2 * starts.count_ones()
}

/// What looks like a finder pattern with four light modules before or behind: 40 each.
fn finders(line: Line) -> u32 {
    let core = line & !(line >> 1) & line >> 2 & line >> 3 & line >> 4 & !(line >> 5) & line >> 6;
    let before = line << 1 | line << 2 | line << 3 | line << 4;
    let behind = line >> 7 | line >> 8 | line >> 9 | line >> 10;
    40 * (core & !(before & behind)).count_ones()
}

/// Squares of two by two alike: 3 each.
fn squares(above: Line, below: Line, pairs: Line) -> u32 {
    let alike = !(above ^ above >> 1) & !(below ^ below >> 1) & !(above ^ below);
    3 * (alike & pairs).count_ones()
}

/// How far the dark half is from a half, in half percents.
fn balance(rows: &[Line], width: usize) -> u32 {
    let dark: u32 = rows.iter().map(|row| row.count_ones()).sum();
    let all = u32::try_from(width * width).unwrap_or(u32::MAX);
    (dark * 200).checked_div(all).unwrap_or_default().abs_diff(100)
}

#[cfg(test)]
mod tests {
    use qrcode::bits::Bits;
    use qrcode::{EcLevel, QrCode, Version, ec};

    use super::*;

    /// Bytes without a pattern of their own.
    fn content(length: usize, seed: u64) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        };
        (0..length).map(|_| next()).collect()
    }

    fn bits(content: &[u8], version: i16) -> Option<Bits> {
        let mut bits = Bits::new(Version::Normal(version));
        bits.push_byte_data(content).ok()?;
        bits.push_terminator(EcLevel::H).ok()?;
        Some(bits)
    }

    fn ours(content: &[u8], version: i16) -> Vec<Color> {
        let (data, version) = (bits(content, version).unwrap(), Version::Normal(version));
        let (data, check) =
            ec::construct_codewords(&data.into_bytes(), version, EcLevel::H).unwrap();
        let mut canvas = Canvas::new(version, EcLevel::H);
        canvas.draw_all_functional_patterns();
        canvas.draw_data(&data, &check);
        best(&canvas, usize::try_from(version.width()).unwrap())
    }

    #[test]
    fn the_symbols_are_those_of_the_library() {
        for (seed, length) in (0..=560).step_by(7).chain([280, 310]).enumerate() {
            let content = content(length, u64::try_from(seed).unwrap());
            let version = (1..=40).find(|version| bits(&content, *version).is_some()).unwrap();
            let theirs = QrCode::with_bits(bits(&content, version).unwrap(), EcLevel::H).unwrap();
            assert_eq!(ours(&content, version), theirs.into_colors(), "{length} bytes");
        }
    }

    #[test]
    fn even_a_symbol_too_wide_for_a_line_of_bits_is_that_of_the_library() {
        let content = content(700, 1);
        assert!(bits(&content, 27).is_none());
        let theirs = QrCode::with_bits(bits(&content, 30).unwrap(), EcLevel::H).unwrap();
        assert_eq!(ours(&content, 30), theirs.into_colors());
    }

    #[test]
    fn runs_squares_and_finders_cost_what_the_standard_says() {
        let pairs = (1 << 19) - 1;
        assert_eq!(runs(0b1010_1010_1010_1010_1010, pairs), 0);
        assert_eq!(runs(0b1010_1010_1010_1011_1110, pairs), 3);
        assert_eq!(runs(0b1010_1010_0000_0111_1111, pairs), 4 + 5);
        assert_eq!(squares(0b1010_1010_1010_1010_1010, 0b1010_1010_1010_1010_1010, pairs), 0);
        assert_eq!(squares(0b1011, 0b0111, 0b111), 3);
        assert_eq!(finders(0b0000_1011_1010_0000), 40);
        assert_eq!(finders(0b1011_1010_0001), 40);
        assert_eq!(finders(0b1000_1011_1010_0010), 0);
    }
}
