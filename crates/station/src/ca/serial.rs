//! Certificate serial numbers.

use rand_core::CryptoRng;
use zmon_domain::ids::Serial;

/// Length in bytes: 128 bits, of which 126 are random.
const LENGTH: usize = 16;

/// The least a serial number may have, in bytes: 64 bits.
pub(super) const MIN_LENGTH: usize = 8;

/// A random serial number: positive, without a leading zero byte, the same length every time
/// (RFC 5280 §4.1.2.2 allows 20 bytes and asks for uniqueness; 126 random bits give it without a
/// counter, and nobody can guess the next one).
pub fn random_serial(rng: &mut dyn CryptoRng) -> Serial {
    let mut bytes = [0u8; LENGTH];
    loop {
        rng.fill_bytes(&mut bytes);
        let [first, ..] = &mut bytes;
        // A cleared top bit keeps the DER INTEGER positive, a set next bit keeps it 16 bytes long.
        *first = (*first & 0x3f) | 0x40;
        if let Ok(serial) = Serial::from_bytes(&bytes) {
            return serial;
        }
    }
}
