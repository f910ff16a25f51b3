//! A file of any length sealed by a passphrase: Argon2id (RFC 9106), then AES-256-GCM chunk by chunk in the
//! STREAM construction, so that a chunk changed, moved, missing at the end or added is found.
//!
//! ```text
//! head  = "zmon sealed\0" ‖ version(1) ‖ memory in KiB(4) ‖ passes(4) ‖ lanes(4) ‖ salt(16) ‖ nonce(7)
//! key   = Argon2id(passphrase, salt, memory, passes, lanes), 32 bytes
//! chunk = AES-256-GCM(key, nonce ‖ u32 number ‖ last(1), aad = head, up to 65,536 bytes) ‖ tag(16)
//! ```

use std::io::{self, ErrorKind, Read, Write};

use aead_stream::{DecryptorBE32, EncryptorBE32, NewStream, StreamBE32, StreamPrimitive};
use aes_gcm::aead::{KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key};
use argon2::{Algorithm, Argon2, Params, Version};
use rand_core::CryptoRng;
use zeroize::Zeroizing;
use zmon_crypto::Secret32;
use zmon_domain::error::ErrorCode;

use crate::error::{PersistenceError, Result};

const MAGIC: &[u8; 12] = b"zmon sealed\0";
const VERSION: u8 = 1;
const SALT: usize = 16;
/// The rest of the 96 bits is the number of the chunk and whether it is the last.
const NONCE: usize = 7;
const HEAD: usize = MAGIC.len() + 1 + 3 * 4 + SALT + NONCE;
const CHUNK: usize = 65_536;
const TAG: usize = 16;

/// What a guess costs: the second recommended option of RFC 9106 §4, 64 MiB and three passes.
const COST: Cost = Cost { memory_kib: 65_536, passes: 3, lanes: 4 };
/// What a file may ask for at most: more is damage, or somebody who wants this machine's memory.
const MOST: Cost = Cost { memory_kib: 1_048_576, passes: 16, lanes: 16 };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// Seals what is written to it. Nothing of it can be read before [`SealedWriter::finish`].
pub struct SealedWriter<W> {
    to: W,
    head: [u8; HEAD],
    stream: EncryptorBE32<Aes256Gcm>,
    chunk: Zeroizing<Vec<u8>>,
}

impl<W: Write> SealedWriter<W> {
    /// Begins a sealed file.
    ///
    /// # Errors
    /// When it cannot be written to.
    pub fn new(mut to: W, passphrase: &str, rng: &mut dyn CryptoRng) -> Result<Self> {
        let (mut salt, mut nonce) = ([0; SALT], [0; NONCE]);
        rng.fill_bytes(&mut salt);
        rng.fill_bytes(&mut nonce);
        let head = head(COST, &salt, &nonce)?;
        let stream = StreamBE32::from_aead(cipher(passphrase, COST, &salt)?, &nonce.into());
        to.write_all(&head).map_err(unwritable)?;
        let chunk = Zeroizing::new(Vec::with_capacity(CHUNK));
        Ok(Self { to, head, stream: stream.encryptor(), chunk })
    }

    /// Writes the last chunk; without it the file is torn, and is refused.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<W> {
        let last = Payload { msg: &self.chunk, aad: &self.head };
        let sealed = self.stream.encrypt_last(last).map_err(|_| {
            PersistenceError::new(ErrorCode::Internal, "the last chunk cannot be sealed")
        })?;
        self.to.write_all(&sealed).and_then(|()| self.to.flush()).map_err(unwritable)?;
        Ok(self.to)
    }
}

impl<W: Write> Write for SealedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.len() == CHUNK {
            let next = Payload { msg: &self.chunk, aad: &self.head };
            let sealed = self.stream.encrypt_next(next).map_err(|_| {
                io::Error::new(ErrorKind::FileTooLarge, "more chunks than a nonce can number")
            })?;
            self.to.write_all(&sealed)?;
            self.chunk.clear();
        }
        let room = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend(bytes.iter().take(room));
        Ok(room)
    }

    /// A chunk that is not full waits for more.
    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Opens what [`SealedWriter`] sealed. Every byte it gives is one that was written, in its place; an error in
/// place of the end says that the rest is not.
pub struct SealedReader<R> {
    from: R,
    head: [u8; HEAD],
    /// `None` after the last chunk.
    stream: Option<DecryptorBE32<Aes256Gcm>>,
    /// The sealed chunk that comes next, one byte more than one to see whether it is the last.
    ahead: Vec<u8>,
    chunk: Zeroizing<Vec<u8>>,
    given: usize,
}

impl<R: Read> SealedReader<R> {
    /// Reads the head and tries the passphrase on the first chunk.
    ///
    /// # Errors
    /// `StorageCorrupt` for another file or a damaged head, `SchemaNewer` for a newer version, `AuthenticationFailed` when
    /// the passphrase does not open it (or the first chunk was changed: nobody can tell).
    pub fn new(mut from: R, passphrase: &str) -> Result<Self> {
        let mut head = [0; HEAD];
        let torn = |error| {
            PersistenceError::caused_by(ErrorCode::StorageCorrupt, "not a sealed file", error)
        };
        from.read_exact(&mut head).map_err(torn)?;
        let (cost, salt, nonce) = read_head(&head)?;
        let stream = StreamBE32::from_aead(cipher(passphrase, cost, &salt)?, &nonce.into());
        let mut reader = Self {
            from,
            head,
            stream: Some(stream.decryptor()),
            ahead: Vec::with_capacity(CHUNK + TAG + 1),
            chunk: Zeroizing::new(Vec::new()),
            given: 0,
        };
        match reader.next_chunk() {
            Ok(()) => Ok(reader),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                let context = "the passphrase does not open it";
                Err(PersistenceError::new(ErrorCode::AuthenticationFailed, context))
            }
            Err(error) => {
                let context = "the sealed file cannot be read";
                Err(PersistenceError::caused_by(ErrorCode::StorageUnavailable, context, error))
            }
        }
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        let Some(mut stream) = self.stream.take() else { return Ok(()) };
        let wanted = CHUNK + TAG + 1;
        let missing = u64::try_from(wanted.saturating_sub(self.ahead.len())).unwrap_or(0);
        self.from.by_ref().take(missing).read_to_end(&mut self.ahead)?;
        let torn = |_| io::Error::new(ErrorKind::InvalidData, "the sealed file is damaged or torn");
        let opened = if self.ahead.len() == wanted {
            let next = self.ahead.split_off(CHUNK + TAG);
            let sealed = core::mem::replace(&mut self.ahead, next);
            let opened = stream.decrypt_next(Payload { msg: &sealed, aad: &self.head });
            self.stream = Some(stream);
            opened
        } else {
            stream.decrypt_last(Payload { msg: &self.ahead, aad: &self.head })
        };
        self.chunk = Zeroizing::new(opened.map_err(torn)?);
        self.given = 0;
        Ok(())
    }
}

impl<R: Read> Read for SealedReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.given == self.chunk.len() && self.stream.is_some() {
            self.next_chunk()?;
        }
        let rest = self.chunk.get(self.given..).unwrap_or_default();
        let count = rest.len().min(into.len());
        for (to, from) in into.iter_mut().zip(rest) {
            *to = *from;
        }
        self.given += count;
        Ok(count)
    }
}

fn head(cost: Cost, salt: &[u8; SALT], nonce: &[u8; NONCE]) -> Result<[u8; HEAD]> {
    let Cost { memory_kib, passes, lanes } = cost;
    let numbers = [memory_kib, passes, lanes].map(u32::to_be_bytes).concat();
    let head = [MAGIC.as_slice(), &[VERSION], &numbers, salt, nonce].concat();
    let length = |_| PersistenceError::new(ErrorCode::Internal, "the length of a sealed head");
    head.try_into().map_err(length)
}

fn read_head(head: &[u8; HEAD]) -> Result<(Cost, [u8; SALT], [u8; NONCE])> {
    let damaged = || PersistenceError::corrupt("the head of the sealed file is damaged");
    let (magic, rest) = head.split_first_chunk::<12>().ok_or_else(damaged)?;
    if magic != MAGIC {
        return Err(PersistenceError::corrupt("not a sealed file"));
    }
    let (version, rest) = rest.split_first().ok_or_else(damaged)?;
    if *version != VERSION {
        return Err(PersistenceError::newer("sealed file", (*version).into(), VERSION.into()));
    }
    let (memory, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
    let (passes, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
    let (lanes, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
    let (salt, nonce) = rest.split_first_chunk::<SALT>().ok_or_else(damaged)?;
    let [memory_kib, passes, lanes] = [memory, passes, lanes].map(|n| u32::from_be_bytes(*n));
    if memory_kib > MOST.memory_kib || passes > MOST.passes || lanes > MOST.lanes {
        return Err(damaged());
    }
    Ok((Cost { memory_kib, passes, lanes }, *salt, nonce.try_into().map_err(|_| damaged())?))
}

fn cipher(passphrase: &str, cost: Cost, salt: &[u8; SALT]) -> Result<Aes256Gcm> {
    let failed = |error| {
        PersistenceError::caused_by(ErrorCode::StorageCorrupt, "the cost of the passphrase", error)
    };
    let Cost { memory_kib, passes, lanes } = cost;
    let params = Params::new(memory_kib, passes, lanes, Some(Secret32::LEN)).map_err(failed)?;
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut key = Zeroizing::new([0; Secret32::LEN]);
    argon.hash_password_into(passphrase.as_bytes(), salt, &mut *key).map_err(failed)?;
    Ok(Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key)))
}

fn unwritable(error: io::Error) -> PersistenceError {
    let context = "the sealed file cannot be written";
    PersistenceError::caused_by(ErrorCode::StorageUnavailable, context, error)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    const PASSPHRASE: &str = "correct horse battery staple";

    fn sealed(plain: &[u8]) -> Vec<u8> {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut writer = SealedWriter::new(Vec::new(), PASSPHRASE, &mut rng).unwrap();
        writer.write_all(plain).unwrap();
        writer.finish().unwrap()
    }

    fn opened(sealed: &[u8]) -> io::Result<Vec<u8>> {
        let mut reader = SealedReader::new(sealed, PASSPHRASE)
            .map_err(|error| io::Error::other(error.describe()))?;
        let mut plain = Vec::new();
        reader.read_to_end(&mut plain).map(|_| plain)
    }

    fn plain(length: usize) -> Vec<u8> {
        (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect()
    }

    #[test]
    fn what_was_sealed_is_opened_at_every_length_around_a_chunk() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 7] {
            let sealed = sealed(&plain(length));
            assert_eq!(opened(&sealed).unwrap(), plain(length), "{length}");
        }
    }

    #[test]
    fn any_change_is_found_wherever_it_is() {
        let whole = sealed(&plain(2 * CHUNK + 7));
        let chunk = CHUNK + TAG;
        for at in [0, 12, 13, 20, 30, HEAD, HEAD + chunk - 1, HEAD + chunk, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(opened(&changed).is_err(), "byte {at}");
        }
        let swapped = [
            &whole[..HEAD],
            &whole[HEAD + chunk..HEAD + 2 * chunk],
            &whole[HEAD..HEAD + chunk],
            &whole[HEAD + 2 * chunk..],
        ]
        .concat();
        assert!(opened(&swapped).is_err(), "swapped chunks");
        for end in [0, HEAD - 1, HEAD, HEAD + chunk, HEAD + 2 * chunk, whole.len() - 1] {
            assert!(opened(&whole[..end]).is_err(), "cut at {end}");
        }
        assert!(opened(&[whole.as_slice(), b"x"].concat()).is_err(), "something more");
        assert!(opened(&whole).is_ok(), "positive control");
    }

    #[test]
    fn a_wrong_passphrase_a_newer_file_and_a_cost_beyond_reason_have_names_of_their_own() {
        let whole = sealed(b"secret");
        let code =
            |file: &[u8], passphrase| SealedReader::new(file, passphrase).err().unwrap().code();
        assert_eq!(code(&whole, "another passphrase"), ErrorCode::AuthenticationFailed);
        let mut newer = whole.clone();
        newer[MAGIC.len()] = 2;
        assert_eq!(code(&newer, PASSPHRASE), ErrorCode::SchemaNewer);
        let mut costly = whole.clone();
        costly[MAGIC.len() + 1] = 0xff;
        assert_eq!(code(&costly, PASSPHRASE), ErrorCode::StorageCorrupt);
        assert_eq!(code(b"PK\x03\x04", PASSPHRASE), ErrorCode::StorageCorrupt);
        assert!(!whole.windows(6).any(|bytes| bytes == b"secret"));
    }
}
