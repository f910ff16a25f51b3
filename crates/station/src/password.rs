//! Operators' passwords: argon2id (RFC 9106), never stored, never logged.

use core::fmt;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use rand_core::CryptoRng;
use zeroize::Zeroizing;
use zmon_domain::error::FieldError;
use zmon_domain::limits;

/// A password in transit; wiped when dropped.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes a password as typed at a login: anything a person may once have set.
    ///
    /// # Errors
    /// [`FieldError`] for an empty one and for one above 256 bytes.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        if text.is_empty() || text.len() > limits::PASSWORD_MAX.default {
            return Err(FieldError::new("password", "must be 1 to 256 bytes"));
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// Takes a password for a new account.
    ///
    /// # Errors
    /// [`FieldError`] for one below 12 characters, and as [`Password::parse`].
    pub fn parse_new(text: &str) -> Result<Self, FieldError> {
        if text.chars().count() < limits::PASSWORD_MIN.default {
            return Err(FieldError::new("password", "must have at least 12 characters"));
        }
        Self::parse(text)
    }

    /// A new random password of 20 characters (100 bits), to be shown once.
    #[must_use]
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        // Crockford's alphabet: nothing that is mistaken for something else when read aloud.
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let mut bytes = Zeroizing::new([0u8; 20]);
        rng.fill_bytes(bytes.as_mut_slice());
        let symbol = |byte: &u8| ALPHABET.get(usize::from(byte & 31)).copied().unwrap_or(b'0');
        Self(Zeroizing::new(bytes.iter().map(|byte| char::from(symbol(byte))).collect()))
    }

    /// The password itself, to be shown once. Name of the method on purpose: every use is greppable.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The argon2id hash in PHC string form, with a salt from `rng`. Takes about 20 ms and 19 MiB.
    pub(crate) fn hash(&self, rng: &mut dyn CryptoRng) -> Option<String> {
        let mut salt = [0u8; 16];
        rng.fill_bytes(&mut salt);
        let hash: PasswordHash =
            Argon2::default().hash_password_with_salt(self.0.as_bytes(), &salt).ok()?;
        Some(hash.to_string())
    }

    /// Whether `hash` is of this password. Costs the same whether or not there is a hash: without
    /// one a fixed hash is computed, so that timing does not tell which accounts exist.
    pub(crate) fn verify(&self, hash: Option<&str>) -> bool {
        let known = hash.is_some();
        let matches = PasswordHash::new(hash.unwrap_or(NOBODY))
            .is_ok_and(|hash| Argon2::default().verify_password(self.0.as_bytes(), &hash).is_ok());
        known && matches
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// A hash with the default costs that no password is known for.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$\
                      AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn only_the_password_itself_verifies() {
        let password = Password::parse_new("correct horse battery").unwrap();
        let hash = password.hash(&mut ChaCha20Rng::seed_from_u64(1)).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(password.verify(Some(&hash)));
        assert!(!Password::parse("correct horse batterz").unwrap().verify(Some(&hash)));
        assert!(!password.verify(Some("$argon2id$broken")));
    }

    #[test]
    fn the_hash_of_nobody_is_well_formed_and_matches_nothing() {
        assert!(PasswordHash::new(NOBODY).is_ok());
        assert!(!Password::parse("anything").unwrap().verify(None));
    }

    #[test]
    fn length_rules() {
        assert!(Password::parse("").is_err());
        assert!(Password::parse(&"x".repeat(257)).is_err());
        assert!(Password::parse("x").is_ok());
        assert!(Password::parse_new("elevenchars").is_err());
        assert!(Password::parse_new("twelve chars").is_ok());
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Password::parse("hunter2").unwrap()), "[secret]");
    }
}
