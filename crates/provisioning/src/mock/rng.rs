//! Reproducible randomness for the mock.

use core::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};
use zmon_crypto::sha256;

/// SHA-256 over seed and counter: the same seed gives the same codes in every run. Random to look
/// at and known to everyone, which is all a mock may be.
pub(super) struct MockRng {
    seed: u64,
    counter: u64,
}

impl MockRng {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, counter: 0 }
    }

    fn block(&mut self) -> [u8; 32] {
        self.counter = self.counter.wrapping_add(1);
        let mut input = Vec::with_capacity(32);
        input.extend_from_slice(b"zmon mock rng");
        input.extend_from_slice(&self.seed.to_be_bytes());
        input.extend_from_slice(&self.counter.to_be_bytes());
        sha256(&input)
    }
}

impl TryRng for MockRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(32) {
            for (to, from) in chunk.iter_mut().zip(self.block()) {
                *to = from;
            }
        }
        Ok(())
    }
}

impl TryCryptoRng for MockRng {}
