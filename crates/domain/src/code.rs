//! The pairing code that people read and type ([W §4], [I §2.1], D1).
//!
//! Default form: Crockford's alphabet (no I, L, O, U), eight random symbols (40 bits) and a check
//! symbol, shown 3-3-3. The check works over GF(2^5) with x^5 + x^2 + 1 and α = 2: a code is valid
//! when Σ α^i·s_i = 9 for i = 0…8. All nine weights are distinct and none is zero, so every
//! change of one symbol and every swap of two symbols is noticed, and a typo costs no try. Second form:
//! six random symbols without a check.

use alloc::string::String;
use core::fmt;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::error::{ErrorCode, FieldError};

/// Crockford's base 32: the symbol of value v is at index v.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Random symbols of the default form; the check symbol follows them.
const RANDOM_SYMBOLS: usize = 8;
/// Σ α^i·s_i of every valid code: the value for which the document's `ABC-123-XYZ` is valid.
const CHECK_SUM: u8 = 9;
/// α^-8 = α^23, since α^31 = 1: turns the missing part of the sum into the check symbol.
const INVERSE_OF_LAST_WEIGHT: u8 = power(23);
/// Longest text that is looked at, separators included.
const TEXT_MAX: usize = 64;

/// The two forms of a pairing code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CodeFormat {
    /// Eight random symbols and a check symbol, shown as `ABC-123-XYZ` ([W §4]).
    #[default]
    Grouped9,
    /// Six random symbols without a check, shown as `X7Y9Z2` ([I §2.1]).
    Short6,
}

impl CodeFormat {
    /// How many symbols the form has.
    #[must_use]
    pub const fn symbols(self) -> usize {
        match self {
            Self::Grouped9 => RANDOM_SYMBOLS + 1,
            Self::Short6 => 6,
        }
    }

    /// The word used in configuration: `grouped9` or `short6`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grouped9 => "grouped9",
            Self::Short6 => "short6",
        }
    }
}

impl core::str::FromStr for CodeFormat {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        match text {
            "grouped9" => Ok(Self::Grouped9),
            "short6" => Ok(Self::Short6),
            _ => Err(FieldError::new("codeFormat", "must be grouped9 or short6")),
        }
    }
}

/// Why a text is not a pairing code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// Nothing was typed.
    #[error("must not be empty")]
    Empty,
    /// Too few or too many symbols.
    #[error("must have nine symbols, or six in the short form")]
    Length,
    /// A character that is no symbol, dash or space.
    #[error("must hold only letters, digits, dashes and spaces")]
    Symbol(char),
    /// The letter U, which the alphabet leaves out.
    #[error("must not hold the letter U, which no code uses")]
    LetterU,
    /// A character outside ASCII, however alike it looks.
    #[error("must hold only ASCII characters")]
    NotAscii,
    /// The check symbol does not fit: a typing error.
    #[error("must fit its check symbol: one symbol is mistyped or two are swapped")]
    CheckSymbol,
}

impl CodeError {
    /// The rule that was broken, without the text.
    #[must_use]
    pub const fn rule(&self) -> &'static str {
        match self {
            Self::Empty => "must not be empty",
            Self::Length => "must have nine symbols, or six in the short form",
            Self::Symbol(_) => "must hold only letters, digits, dashes and spaces",
            Self::LetterU => "must not hold the letter U, which no code uses",
            Self::NotAscii => "must hold only ASCII characters",
            Self::CheckSymbol => {
                "must fit its check symbol: one symbol is mistyped or two are swapped"
            }
        }
    }

    /// The error code shown to people: a typo is told from a text that is no code at all.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::CheckSymbol => ErrorCode::PairingCodeTypo,
            Self::Empty | Self::Length | Self::Symbol(_) | Self::LetterU | Self::NotAscii => {
                ErrorCode::PairingCodeMalformed
            }
        }
    }
}

impl From<CodeError> for FieldError {
    fn from(error: CodeError) -> Self {
        Self::new("pairingCode", error.rule())
    }
}

/// A pairing code, parsed once: wiped on drop, compared in constant time, never printed by `Debug`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PairingCode {
    #[zeroize(skip)]
    format: CodeFormat,
    // Symbols in the canonical alphabet; unused places of the short form are zero.
    symbols: [u8; RANDOM_SYMBOLS + 1],
}

impl PairingCode {
    /// A fresh random code. Five bits of a random byte are uniform over the 32 symbols, so no draw
    /// has to be rejected.
    pub fn generate(format: CodeFormat, rng: &mut dyn CryptoRng) -> Self {
        let mut random = Zeroizing::new([0u8; RANDOM_SYMBOLS + 1]);
        rng.fill_bytes(random.as_mut_slice());
        let mut values = Zeroizing::new([0u8; RANDOM_SYMBOLS + 1]);
        let fresh = match format {
            CodeFormat::Grouped9 => RANDOM_SYMBOLS,
            CodeFormat::Short6 => format.symbols(),
        };
        for (value, byte) in values.iter_mut().zip(random.iter()).take(fresh) {
            *value = byte & 31;
        }
        if let (CodeFormat::Grouped9, Some((check, payload))) = (format, values.split_last_mut()) {
            *check = multiply(weighted_sum(payload) ^ CHECK_SUM, INVERSE_OF_LAST_WEIGHT);
        }
        Self::from_values(format, &values)
    }

    /// Reads a typed or scanned code: any case, dashes and spaces anywhere, O as 0, I and L as 1.
    ///
    /// # Errors
    /// A [`CodeError`] naming the first rule that is broken; it carries at most one character.
    pub fn parse(text: &str, format: CodeFormat) -> Result<Self, CodeError> {
        if !text.is_ascii() {
            return Err(CodeError::NotAscii);
        }
        if text.len() > TEXT_MAX {
            return Err(CodeError::Length);
        }
        let mut values = Zeroizing::new([0u8; RANDOM_SYMBOLS + 1]);
        let mut count = 0;
        for character in text.bytes().filter(|b| !matches!(b, b'-' | b' ')) {
            let value = value_of(character)?;
            if let Some(place) = values.get_mut(count) {
                *place = value;
            }
            count += 1;
        }
        match format {
            _ if count == 0 => Err(CodeError::Empty),
            _ if count != format.symbols() => Err(CodeError::Length),
            CodeFormat::Grouped9 if weighted_sum(values.as_slice()) != CHECK_SUM => {
                Err(CodeError::CheckSymbol)
            }
            CodeFormat::Grouped9 | CodeFormat::Short6 => Ok(Self::from_values(format, &values)),
        }
    }

    /// Reads a code of either form, told apart by the number of symbols.
    ///
    /// # Errors
    /// As [`PairingCode::parse`].
    pub fn parse_any(text: &str) -> Result<Self, CodeError> {
        match Self::parse(text, CodeFormat::Grouped9) {
            Err(CodeError::Length) => Self::parse(text, CodeFormat::Short6),
            other => other,
        }
    }

    /// The form as people read it and as the QR content carries it: `ABC-123-XYZ` or `X7Y9Z2`.
    #[must_use]
    pub fn display(&self) -> Zeroizing<String> {
        // The capacity is exact: a reallocation would leave a copy behind.
        let mut text = Zeroizing::new(String::with_capacity(RANDOM_SYMBOLS + 3));
        for (place, symbol) in self.canonical().iter().enumerate() {
            if self.format == CodeFormat::Grouped9 && place > 0 && place % 3 == 0 {
                text.push('-');
            }
            text.push(char::from(*symbol));
        }
        text
    }

    /// The symbols in the canonical alphabet without separators, for keyed hashes.
    #[must_use]
    pub fn canonical(&self) -> &[u8] {
        self.symbols.get(..self.format.symbols()).unwrap_or_default()
    }

    /// Which form the code has.
    #[must_use]
    pub const fn format(&self) -> CodeFormat {
        self.format
    }

    fn from_values(format: CodeFormat, values: &[u8; RANDOM_SYMBOLS + 1]) -> Self {
        let mut symbols = [0; RANDOM_SYMBOLS + 1];
        for (symbol, value) in symbols.iter_mut().zip(values).take(format.symbols()) {
            *symbol = ALPHABET.get(usize::from(*value)).copied().unwrap_or_default();
        }
        Self { format, symbols }
    }
}

impl ConstantTimeEq for PairingCode {
    fn ct_eq(&self, other: &Self) -> subtle::Choice {
        // The form is public; only the symbols are compared in constant time.
        subtle::Choice::from(u8::from(self.format == other.format))
            & self.symbols.ct_eq(&other.symbols)
    }
}

impl PartialEq for PairingCode {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for PairingCode {}

impl fmt::Debug for PairingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairingCode([secret])")
    }
}

/// The value of a typed character, with Crockford's readings of O, I and L.
fn value_of(character: u8) -> Result<u8, CodeError> {
    let read_as = match character.to_ascii_uppercase() {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        b'U' => return Err(CodeError::LetterU),
        other => other,
    };
    ALPHABET
        .iter()
        .position(|symbol| *symbol == read_as)
        .and_then(|value| u8::try_from(value).ok())
        .ok_or(CodeError::Symbol(char::from(character)))
}

/// Σ α^i·s_i over GF(2^5).
fn weighted_sum(values: &[u8]) -> u8 {
    // Horner from the last symbol: no table of weights to get wrong.
    values.iter().rev().fold(0, |sum, value| times_alpha(sum) ^ value)
}

const fn times_alpha(value: u8) -> u8 {
    let shifted = value << 1;
    if shifted & 0b10_0000 == 0 { shifted } else { shifted ^ 0b10_0101 }
}

const fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b != 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        a = times_alpha(a);
        b >>= 1;
    }
    product
}

const fn power(exponent: u8) -> u8 {
    let mut value = 1;
    let mut i = 0;
    while i < exponent {
        value = times_alpha(value);
        i += 1;
    }
    value
}

#[cfg(test)]
mod tests;
