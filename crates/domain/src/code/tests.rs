use alloc::{collections::BTreeSet, format, string::String, vec::Vec};

use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;

fn grouped(text: &str) -> Result<PairingCode, CodeError> {
    PairingCode::parse(text, CodeFormat::Grouped9)
}

fn short(text: &str) -> Result<PairingCode, CodeError> {
    PairingCode::parse(text, CodeFormat::Short6)
}

fn values(code: &PairingCode) -> Vec<u8> {
    code.canonical().iter().map(|b| value_of(*b).unwrap()).collect()
}

fn text_of(values: &[u8]) -> String {
    values.iter().map(|v| char::from(ALPHABET[usize::from(*v)])).collect()
}

#[test]
fn the_documents_examples_are_valid() {
    for text in ["ABC-123-XYZ", "000-000-00R", "7K3-M9P-Q2M"] {
        assert_eq!(*grouped(text).unwrap().display(), text);
    }
    assert_eq!(*short("X7Y9Z2").unwrap().display(), "X7Y9Z2");
}

#[test]
fn case_dashes_spaces_and_lookalikes_do_not_matter() {
    let code = grouped("ABC-123-XYZ").unwrap();
    for twin in
        ["abc-123-xyz", "ABC123XYZ", "abc 123 xyz", " A-B-C-I-2-3-X-Y-Z ", "abcl23xyz", "ABCi23XYZ"]
    {
        assert_eq!(grouped(twin).unwrap(), code, "{twin}");
    }
    assert_eq!(grouped("OOO-ooo-00R").unwrap(), grouped("000-000-00R").unwrap());
    assert_eq!(short("x7y9z2").unwrap(), short("X7Y9Z2").unwrap());
}

#[test]
fn every_broken_rule_has_its_name() {
    assert_eq!(grouped("").unwrap_err(), CodeError::Empty);
    assert_eq!(grouped(" -- ").unwrap_err(), CodeError::Empty);
    assert_eq!(grouped("ABC-123-XY").unwrap_err(), CodeError::Length);
    assert_eq!(grouped("ABC-123-XYZ0").unwrap_err(), CodeError::Length);
    assert_eq!(grouped(&"-".repeat(65)).unwrap_err(), CodeError::Length);
    assert_eq!(grouped("ABC_123_XYZ").unwrap_err(), CodeError::Symbol('_'));
    assert_eq!(grouped("ABU-123-XYZ").unwrap_err(), CodeError::LetterU);
    assert_eq!(grouped("abu123xyz").unwrap_err(), CodeError::LetterU);
    assert_eq!(grouped("ABC-123-XYY").unwrap_err(), CodeError::CheckSymbol);
    assert_eq!(grouped("X7Y9Z2").unwrap_err(), CodeError::Length);
    assert_eq!(short("ABC-123-XYZ").unwrap_err(), CodeError::Length);
    assert_eq!(short("X7Y9ZU").unwrap_err(), CodeError::LetterU);
}

#[test]
fn control_characters_and_tabs_are_no_separators() {
    for (text, character) in [
        ("ABC-123-XYZ\0", '\0'),
        ("ABC-123-XYZ\n", '\n'),
        ("ABC\t123\tXYZ", '\t'),
        ("ABC\u{1b}123XYZ", '\u{1b}'),
    ] {
        assert_eq!(grouped(text).unwrap_err(), CodeError::Symbol(character));
    }
}

#[test]
fn unicode_twins_are_refused() {
    // Letters that case-map or normalise into ASCII, dashes and digits that only look like ASCII.
    for twin in [
        '\u{131}', '\u{130}', '\u{17f}', '\u{212a}', '\u{df}', '\u{1e9e}', '\u{fb00}', '\u{fb01}',
        '\u{fb02}', '\u{fb03}', '\u{fb04}', '\u{fb05}', '\u{fb06}', '\u{2010}', '\u{2011}',
        '\u{2212}', '\u{a0}', '\u{3000}', '\u{200b}', '\u{feff}', '\u{410}', '\u{391}', '\u{660}',
        'Ａ', '０', '－',
    ] {
        for text in
            [format!("{twin}BC-123-XYZ"), format!("ABC{twin}123-XYZ"), format!("ABC-123-XYZ{twin}")]
        {
            assert_eq!(
                grouped(&text).unwrap_err(),
                CodeError::NotAscii,
                "U+{:04X}",
                u32::from(twin)
            );
            assert_eq!(short(&text).unwrap_err(), CodeError::NotAscii);
        }
    }
}

#[test]
fn the_form_is_told_by_the_number_of_symbols() {
    assert_eq!(PairingCode::parse_any("abc123xyz").unwrap().format(), CodeFormat::Grouped9);
    assert_eq!(PairingCode::parse_any("x7y9z2").unwrap().format(), CodeFormat::Short6);
    assert_eq!(PairingCode::parse_any("abc123xyy").unwrap_err(), CodeError::CheckSymbol);
    assert_eq!(PairingCode::parse_any("abc123x").unwrap_err(), CodeError::Length);
    assert_eq!(PairingCode::parse_any("").unwrap_err(), CodeError::Empty);
    for format in [CodeFormat::Grouped9, CodeFormat::Short6] {
        assert_eq!(format.as_str().parse(), Ok(format));
    }
    assert_eq!("nine".parse::<CodeFormat>().unwrap_err().field(), "codeFormat");
}

#[test]
fn the_weights_are_distinct_and_not_zero() {
    let weights: BTreeSet<u8> = (0..9).map(power).collect();
    assert_eq!(weights.len(), 9);
    assert!(!weights.contains(&0));
    assert_eq!(multiply(power(8), INVERSE_OF_LAST_WEIGHT), 1);
}

/// The sum is linear, so an error is noticed exactly if its own weighted sum is not zero: these two
/// loops cover every single-symbol error and every swap of any valid code.
#[test]
fn every_single_error_and_every_swap_changes_the_sum() {
    for place in 0..9 {
        for difference in 1..32 {
            let mut error = [0; 9];
            error[place] = difference;
            assert_ne!(weighted_sum(&error), 0);
            for other in 0..9 {
                if other != place {
                    let mut swap = [0; 9];
                    (swap[place], swap[other]) = (difference, difference);
                    assert_ne!(weighted_sum(&swap), 0);
                }
            }
        }
    }
}

#[test]
fn secrets_are_not_printed() {
    let code = grouped("ABC-123-XYZ").unwrap();
    assert_eq!(format!("{code:?}"), "PairingCode([secret])");
}

#[test]
fn errors_map_to_codes_and_rules_without_the_text() {
    for error in [
        CodeError::Empty,
        CodeError::Length,
        CodeError::Symbol('?'),
        CodeError::LetterU,
        CodeError::NotAscii,
        CodeError::CheckSymbol,
    ] {
        let typo = error == CodeError::CheckSymbol;
        let code = if typo { ErrorCode::PairingCodeTypo } else { ErrorCode::PairingCodeMalformed };
        assert_eq!(error.code(), code);
        assert_eq!(format!("{error}"), error.rule());
        assert_eq!(FieldError::from(error).field(), "pairingCode");
    }
}

#[test]
fn random_symbols_are_uniform() {
    let mut rng = ChaCha20Rng::from_seed([42; 32]);
    let rounds = 32_000;
    let mut counts = [[0u32; 32]; 9];
    for _ in 0..rounds {
        for (place, value) in
            values(&PairingCode::generate(CodeFormat::Grouped9, &mut rng)).iter().enumerate()
        {
            counts[place][usize::from(*value)] += 1;
        }
    }
    for place in counts {
        let expected = f64::from(rounds) / 32.0;
        let chi_square: f64 =
            place.iter().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum();
        assert!(chi_square < 61.1, "31 degrees of freedom, p = 0.001: {chi_square}");
    }
}

proptest! {
    #[test]
    fn a_generated_code_reads_back(seed in any::<[u8; 32]>(), nine in any::<bool>()) {
        let format = if nine { CodeFormat::Grouped9 } else { CodeFormat::Short6 };
        let code = PairingCode::generate(format, &mut ChaCha20Rng::from_seed(seed));
        prop_assert_eq!(code.format(), format);
        prop_assert_eq!(&PairingCode::parse(&code.display(), format).unwrap(), &code);
        prop_assert_eq!(&PairingCode::parse(&code.display().to_lowercase(), format).unwrap(), &code);
    }

    #[test]
    fn a_typo_or_a_swap_is_noticed(seed in any::<[u8; 32]>(), place in 0usize..9, other in 0u8..32) {
        let code = PairingCode::generate(CodeFormat::Grouped9, &mut ChaCha20Rng::from_seed(seed));
        let mut typo = values(&code);
        let changed = typo[place] != other;
        typo[place] = other;
        prop_assert_eq!(grouped(&text_of(&typo)).is_err(), changed);
        let mut swapped = values(&code);
        let differs = swapped[place] != swapped[(place + 1) % 9];
        swapped.swap(place, (place + 1) % 9);
        prop_assert_eq!(grouped(&text_of(&swapped)).is_err(), differs);
    }

    #[test]
    fn parsing_any_text_never_panics(text in ".{0,80}") {
        drop(PairingCode::parse_any(&text));
    }

    #[test]
    fn what_parses_shows_one_canonical_form(text in "[-0-9A-Za-z ]{9,12}") {
        if let Ok(code) = grouped(&text) {
            prop_assert_eq!(&grouped(&code.display()).unwrap(), &code);
            prop_assert_eq!(code.display().len(), 11);
        }
    }
}
