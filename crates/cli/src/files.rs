//! Files a command reads whole or creates.

use std::{
    fs::{DirBuilder, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};
use zmon_domain::error::ErrorCode;

use crate::Failure;

/// Reads the file that the argument `flag` names, of at most `max` bytes; `-` is standard input. It may
/// be a pipe.
///
/// # Errors
/// A usage failure naming the flag when it is absent, unreadable or longer.
pub fn read(flag: &'static str, path: &Path, max: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    let read = if path == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| {
        Failure::usage(flag, "must be a readable file")
            .context(format!("{}: {error}", path.display()))
    })?;
    if bytes.len() > max {
        return Err(Failure::usage(flag, "must not be longer than this program reads")
            .context(format!("{}: over {max} bytes", path.display())));
    }
    Ok(bytes)
}

/// Reads a text file of at most `max` bytes.
///
/// # Errors
/// As [`read`], and when it is not UTF-8.
pub fn read_text(flag: &'static str, path: &Path, max: usize) -> Result<String, Failure> {
    String::from_utf8(read(flag, path, max)?).map_err(|error| {
        Failure::usage(flag, "must be UTF-8 text").context(format!("{}: {error}", path.display()))
    })
}

/// Reads a file that somebody else may have put there: a regular one, reached through no link, and no
/// more of it than one byte over `max`. `None` when there is none.
///
/// # Errors
/// What the system says; a link and anything but a regular file are errors.
pub fn read_plain(path: &Path, max: usize) -> io::Result<Option<Vec<u8>>> {
    // A pipe must not keep the reader waiting.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => std::fs::File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
    }
    let most = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Writes a file (0600) in place of one that may be there: the whole old one or the whole new one is
/// found, whenever the power goes.
///
/// # Errors
/// What the system says.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("new");
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&draft, path)
}

/// Creates a file that does not exist yet, with exactly `mode`, and makes it durable.
///
/// # Errors
/// `state_conflict` when it exists, else `storage_unavailable`.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(|error| cannot("create", path, &error))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(|error| cannot("write", path, &error))
}

/// Creates the file (0600) that a flag named for output. One that exists is never replaced.
///
/// # Errors
/// A usage failure naming the flag when it exists, else `storage_unavailable`.
pub fn create_named(flag: &'static str, path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    create(path, bytes, 0o600).map_err(|failure| {
        if failure.code() != ErrorCode::StateConflict {
            return failure;
        }
        exists(flag, path)
    })
}

/// The failure of a flag for output that names what is there already.
pub fn exists(flag: &'static str, path: &Path) -> Failure {
    Failure::usage(flag, "must name a file that does not exist yet")
        .context(format!("{} exists", path.display()))
        .next("Name another file, or remove this one.")
}

/// Creates a directory (0700) with its parents, or accepts one that is empty.
///
/// # Errors
/// `state_conflict` when it holds files, else `storage_unavailable`.
pub fn create_empty_dir(path: &Path) -> Result<(), Failure> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| cannot("create", path, &error))?;
    let mut entries = std::fs::read_dir(path).map_err(|error| cannot("read", path, &error))?;
    if entries.next().is_some() {
        return Err(Failure::new(ErrorCode::StateConflict)
            .context(format!("{} is not empty", path.display()))
            .next("Name a new or empty directory."));
    }
    Ok(())
}

/// The failure of an operation on a file: `verb` is what could not be done with it.
pub fn cannot(verb: &str, path: &Path, error: &io::Error) -> Failure {
    let code = if error.kind() == ErrorKind::AlreadyExists {
        ErrorCode::StateConflict
    } else {
        ErrorCode::StorageUnavailable
    };
    Failure::new(code).context(format!("cannot {verb} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::ExitClass;

    #[test]
    fn created_files_have_their_mode_and_are_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("anchor.pem");
        create(&path, b"x", 0o600).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(create(&path, b"y", 0o600).unwrap_err().code(), ErrorCode::StateConflict);
        assert_eq!(read("--anchor", &path, 1).unwrap(), b"x");
        assert_eq!(
            create(&dir.path().join("no/file"), b"", 0o600).unwrap_err().code(),
            ErrorCode::StorageUnavailable
        );
    }

    #[test]
    fn an_output_that_exists_is_a_usage_failure_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("screen.png");
        create_named("--png", &path, b"x").unwrap();
        let failure = create_named("--png", &path, b"y").unwrap_err();
        assert_eq!(failure.class(), ExitClass::Usage);
        assert!(failure.to_text().contains("--png must name a file that does not exist yet"));
        assert_eq!(read("--anchor", &path, 1).unwrap(), b"x");
        let nowhere = create_named("--png", &dir.path().join("no/file"), b"").unwrap_err();
        assert_eq!(nowhere.code(), ErrorCode::StorageUnavailable);
    }

    #[test]
    fn long_absent_and_binary_files_are_usage_failures_that_name_the_flag() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let named = |failure: Failure| {
            assert_eq!(failure.class(), ExitClass::Usage);
            failure.report().detail.unwrap().field().to_owned()
        };
        assert_eq!(named(read("--ca", &path, 8).unwrap_err()), "--ca");
        std::fs::write(&path, [0xff; 9]).unwrap();
        assert_eq!(named(read("--ca", &path, 8).unwrap_err()), "--ca");
        assert_eq!(named(read_text("--ca", &path, 9).unwrap_err()), "--ca");
    }

    #[test]
    fn only_an_empty_directory_is_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        create_empty_dir(&path).unwrap();
        create_empty_dir(&path).unwrap();
        std::fs::write(path.join("c"), b"").unwrap();
        assert_eq!(create_empty_dir(&path).unwrap_err().code(), ErrorCode::StateConflict);
        assert_eq!(
            create_empty_dir(&path.join("c/d")).unwrap_err().code(),
            ErrorCode::StorageUnavailable
        );
    }

    #[test]
    fn a_plain_file_is_no_link_and_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hello.json");
        assert!(read_plain(&path, 3).unwrap().is_none());
        replace(&path, b"one").unwrap();
        replace(&path, b"three").unwrap();
        assert_eq!(read_plain(&path, 8).unwrap().unwrap(), b"three");
        assert_eq!(read_plain(&path, 2).unwrap().unwrap(), b"thr", "one byte more tells");
        std::os::unix::fs::symlink("hello.json", dir.path().join("link")).unwrap();
        assert!(read_plain(&dir.path().join("link"), 8).is_err());
        assert!(read_plain(dir.path(), 8).is_err());
    }
}
