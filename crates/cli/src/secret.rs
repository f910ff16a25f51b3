//! Secrets of people: read from a file, asked without echo, or made once.

use std::{
    io::{self, IsTerminal, Read},
    ops::RangeInclusive,
    path::Path,
};

use rand_core::CryptoRng;
use zeroize::Zeroizing;
use zmon_domain::error::ErrorCode;
use zmon_persistence::{Protection, read_file};

use crate::Failure;

/// Longest secret file that is read, in bytes.
const SECRET_FILE_MAX: usize = 4096;

/// Where a secret comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// The only line of the file that a flag names; `-` is standard input.
    File {
        /// The flag, as it is typed.
        flag: &'static str,
        /// The file.
        path: &'a Path,
    },
    /// A person at the terminal, typing without echo.
    Terminal,
}

impl<'a> Source<'a> {
    /// The file that `flag` names, else the terminal if there is one.
    ///
    /// # Errors
    /// A usage failure naming the flag where nobody can be asked.
    pub fn choose(flag: &'static str, file: Option<&'a Path>) -> Result<Self, Failure> {
        match file {
            Some(path) => Ok(Self::File { flag, path }),
            None if is_attended() => Ok(Self::Terminal),
            None => Err(Failure::usage(flag, "must be given where nobody can be asked")),
        }
    }
}

/// Whether a person can be asked at the terminal.
#[must_use]
pub fn is_attended() -> bool {
    io::stdin().is_terminal()
}

/// Reads one secret; `what` names it in the question ("PIN of admin").
///
/// # Errors
/// As [`read_lines`], or when the terminal is closed.
pub fn read(source: Source<'_>, what: &str) -> Result<Zeroizing<String>, Failure> {
    match source {
        Source::File { flag, path } => {
            let mut lines = read_lines(flag, path, 1..=1)?;
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

/// The lines of the secret file that `flag` names, each one secret, without their line ends and not
/// changed otherwise; `-` is standard input. A file must be one that nobody else can read.
///
/// # Errors
/// A usage failure naming the flag when the file can be read by others, is a link, no regular file,
/// over 4096 bytes or not UTF-8 text, or has an empty line or another number of lines than `count`.
pub fn read_lines(
    flag: &'static str,
    path: &Path,
    count: RangeInclusive<usize>,
) -> Result<Vec<Zeroizing<String>>, Failure> {
    let wrong = |rule| Failure::usage(flag, rule).context(path.display().to_string());
    let bytes = if path == Path::new("-") { standard_input(flag)? } else { private(flag, path)? };
    let text = core::str::from_utf8(&bytes).map_err(|_| wrong("must be UTF-8 text"))?;
    let lines: Vec<_> = text.lines().map(|line| Zeroizing::new(line.to_owned())).collect();
    if lines.iter().any(|line| line.is_empty()) {
        return Err(wrong("must have no empty line"));
    }
    if lines.len() < *count.start() {
        return Err(wrong("must have a line for each secret"));
    }
    if lines.len() > *count.end() {
        return Err(wrong("must have no line but those of the secrets"));
    }
    Ok(lines)
}

fn private(flag: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    read_file(path, SECRET_FILE_MAX, Protection::Private).map_err(|error| {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "what else may be wrong is the medium's"
        )]
        let rule = match error.code() {
            ErrorCode::KeyFileModeTooWide => "must be a file that only its owner can read",
            ErrorCode::KeyFileIsSymlink => "must be a file and no link to one",
            ErrorCode::StorageCorrupt => LENGTH,
            _ => "must be a readable file of this user",
        };
        let failure = Failure::usage(flag, rule).context(error.describe());
        if error.code() == ErrorCode::KeyFileModeTooWide {
            return failure.next(format!("Run: chmod 600 {}", path.display()));
        }
        failure
    })
}

const LENGTH: &str = "must have at most 4096 bytes";

fn standard_input(flag: &'static str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // Reserved up front: a growing vector would leave copies of a secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_FILE_MAX + 1));
    let limit = u64::try_from(SECRET_FILE_MAX + 1).unwrap_or(u64::MAX);
    io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(|error| {
        Failure::usage(flag, "must be readable").context(format!("standard input: {error}"))
    })?;
    if bytes.len() > SECRET_FILE_MAX {
        return Err(Failure::usage(flag, LENGTH).context("standard input"));
    }
    Ok(bytes)
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
    use std::{fs::Permissions, os::unix::fs::PermissionsExt, path::PathBuf};

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

    fn rule(failure: &Failure) -> String {
        assert_eq!(failure.class(), ExitClass::Usage);
        let detail = failure.report().detail.unwrap();
        assert_eq!(detail.field(), "--pin-file");
        detail.rule().to_owned()
    }

    fn source(path: &Path) -> Source<'_> {
        Source::File { flag: "--pin-file", path }
    }

    fn file(dir: &Path, content: &[u8], mode: u32) -> PathBuf {
        let path = dir.join("pin");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_line_is_a_secret_and_loses_only_its_end() {
        let dir = tempfile::tempdir().unwrap();
        for (content, secret) in
            [("123456", "123456"), ("123456\n", "123456"), (" a b \r\n", " a b ")]
        {
            let path = file(dir.path(), content.as_bytes(), 0o600);
            assert_eq!(*read(source(&path), "PIN").unwrap(), secret);
        }
        let path = file(dir.path(), b"123456\n654321\n", 0o400);
        let lines = read_lines("--pin-file", &path, 1..=2).unwrap();
        assert_eq!(
            lines.iter().map(|line| line.as_str()).collect::<Vec<_>>(),
            ["123456", "654321"]
        );
    }

    #[test]
    fn other_contents_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let long = vec![b'1'; 5000];
        let cases: [(&[u8], &str); 7] = [
            (b"", "must have a line for each secret"),
            (b"\n123456\n", "must have no empty line"),
            (b"123456\n\n", "must have no empty line"),
            (b"\n", "must have no empty line"),
            (b"123456\n654321\n", "must have no line but those of the secrets"),
            (b"\xff\xfe", "must be UTF-8 text"),
            (&long, LENGTH),
        ];
        for (content, expected) in cases {
            let path = file(dir.path(), content, 0o600);
            assert_eq!(rule(&read(source(&path), "PIN").unwrap_err()), expected);
        }
    }

    #[test]
    fn a_secret_that_others_can_reach_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        for mode in [0o644, 0o640, 0o604, 0o620, 0o610] {
            let path = file(dir.path(), b"123456\n", mode);
            let refused = read(source(&path), "PIN").unwrap_err();
            assert_eq!(rule(&refused), "must be a file that only its owner can read", "{mode:o}");
            assert!(refused.to_text().contains("chmod 600"));
        }
        let path = file(dir.path(), b"123456\n", 0o600);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let refused = read(source(&link), "PIN").unwrap_err();
        assert_eq!(rule(&refused), "must be a file and no link to one");
        let pipe = dir.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        for unusable in [pipe.as_path(), dir.path(), &dir.path().join("absent")] {
            let refused = read(source(unusable), "PIN").unwrap_err();
            assert_eq!(rule(&refused), "must be a readable file of this user");
        }
        std::fs::hard_link(&path, dir.path().join("second")).unwrap();
        let refused = read(source(&path), "PIN").unwrap_err();
        assert_eq!(rule(&refused), "must be a readable file of this user");
    }
}
