//! Secrets of people: read from a file, asked without echo, or made once.

use std::{
    io::{self, IsTerminal, Read},
    path::Path,
};

use rand_core::CryptoRng;
use zeroize::Zeroizing;
use zmon_domain::error::ErrorCode;

use crate::Failure;

/// Longest secret file that is read, in bytes.
const SECRET_FILE_MAX: u64 = 4096;

/// Where a secret comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// The first line of a file; `-` is standard input.
    File(&'a Path),
    /// A person at the terminal, typing without echo.
    Terminal,
}

impl<'a> Source<'a> {
    /// `file` if named, else the terminal if there is one.
    #[must_use]
    pub fn choose(file: Option<&'a Path>) -> Option<Self> {
        match file {
            Some(path) => Some(Self::File(path)),
            None => io::stdin().is_terminal().then_some(Self::Terminal),
        }
    }
}

/// Reads one secret; `what` names it in the question ("PIN of admin").
///
/// # Errors
/// When the file cannot be read, is empty or not text, or the terminal is closed.
pub fn read(source: Source<'_>, what: &str) -> Result<Zeroizing<String>, Failure> {
    match source {
        Source::File(path) => {
            let mut lines = read_lines(path)?;
            if lines.is_empty() {
                return Err(Failure::usage(
                    "secret file",
                    "must hold the secret in its first line",
                )
                .context(path.display().to_string()));
            }
            Ok(lines.swap_remove(0))
        }
        Source::Terminal => ask(&format!("{what}: ")),
    }
}

/// Reads a secret that is being chosen: on a terminal it is asked twice.
///
/// # Errors
/// As [`read`], and when the two answers differ.
pub fn read_new(source: Source<'_>, what: &str) -> Result<Zeroizing<String>, Failure> {
    let secret = read(source, what)?;
    if matches!(source, Source::Terminal) && *ask(&format!("{what}, again: "))? != *secret {
        return Err(Failure::usage("secret", "must be the same in both answers"));
    }
    Ok(secret)
}

/// The lines of a secret file, each one secret; `-` is standard input. Empty lines are dropped.
///
/// # Errors
/// When the file cannot be read, is over 4096 bytes, or is not UTF-8 text.
pub fn read_lines(path: &Path) -> Result<Vec<Zeroizing<String>>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let read = if path == Path::new("-") {
        io::stdin().lock().take(SECRET_FILE_MAX + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(SECRET_FILE_MAX + 1).read_to_string(&mut text))
    };
    read.map_err(|error| {
        Failure::usage("secret file", "must be a readable text file")
            .context(format!("{}: {error}", path.display()))
    })?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > SECRET_FILE_MAX {
        return Err(Failure::usage("secret file", "must have at most 4096 bytes")
            .context(path.display().to_string()));
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.map(|line| Zeroizing::new(line.to_owned())).collect())
}

/// A new PIN of `digits` decimal digits, each equally likely: a byte that would favour the first
/// digits is drawn again.
pub fn make_pin(digits: usize, rng: &mut dyn CryptoRng) -> Zeroizing<String> {
    const FAIR: u8 = 250;
    let mut pin = Zeroizing::new(String::with_capacity(digits));
    let mut byte = Zeroizing::new(0_u8);
    while pin.len() < digits {
        rng.fill_bytes(core::slice::from_mut(&mut *byte));
        if *byte < FAIR {
            pin.push(char::from(b'0' + *byte % 10));
        }
    }
    pin
}

fn ask(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(|error| {
        Failure::new(ErrorCode::Cancelled).context(format!("no answer at the terminal: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;
    use crate::ExitClass;

    #[test]
    fn made_pins_have_the_asked_digits_and_differ() {
        let mut rng = ChaCha20Rng::from_seed([7; 32]);
        let pin = make_pin(8, &mut rng);
        assert!(pin.len() == 8 && pin.bytes().all(|byte| byte.is_ascii_digit()));
        assert_ne!(*pin, *make_pin(8, &mut rng));
    }

    #[test]
    fn the_first_line_of_a_file_is_the_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pin");
        std::fs::write(&path, "\n 123456 \n654321\n").unwrap();
        assert_eq!(*read(Source::File(&path), "PIN").unwrap(), "123456");
        assert_eq!(read_lines(&path).unwrap().len(), 2);
    }

    #[test]
    fn unusable_secret_files_are_usage_failures() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pin");
        assert_eq!(read(Source::File(&path), "PIN").unwrap_err().class(), ExitClass::Usage);
        for content in [vec![], vec![0xff, 0xfe], vec![b'1'; 5000]] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(read(Source::File(&path), "PIN").unwrap_err().class(), ExitClass::Usage);
        }
    }
}
