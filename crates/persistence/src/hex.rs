//! Lower-case hexadecimal, for hashes in text columns.

/// Two digits per byte.
pub(crate) fn encode(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

/// Exactly 32 bytes in lower-case digits.
pub(crate) fn decode32(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != out.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in out.iter_mut().zip(pairs) {
        *byte = (value(*high)? << 4) | value(*low)?;
    }
    Some(out)
}

fn digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('0')
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_read_back_and_nothing_else_is() {
        let hash: [u8; 32] = core::array::from_fn(|i| u8::try_from(i * 8).unwrap());
        let text = encode(&hash);
        assert_eq!(text.get(..8), Some("00081018"));
        assert_eq!(decode32(&text), Some(hash));
        assert_eq!(decode32(&text.to_uppercase()), None);
        assert_eq!(decode32(text.get(1..).unwrap()), None);
        assert_eq!(decode32(&format!("{text}00")), None);
        assert_eq!(decode32(&text.replace('0', "g")), None);
    }
}
