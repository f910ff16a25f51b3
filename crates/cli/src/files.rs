//! Files a command reads whole or creates.

use std::{
    fs::{DirBuilder, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};
use zeroize::Zeroizing;
use zmon_domain::error::ErrorCode;

use crate::Failure;

/// Reads a file of at most `max` bytes; `-` is standard input.
///
/// # Errors
/// A usage failure when it is absent, unreadable or longer.
pub fn read(path: &Path, max: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(max.saturating_add(1)).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(max.saturating_add(1)).read_to_end(&mut bytes))
    };
    read.map_err(|error| {
        Failure::usage("file", "must be a readable file")
            .context(format!("{}: {error}", path.display()))
    })?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > max {
        return Err(Failure::usage("file", "must not be longer than this program reads")
            .context(format!("{}: over {max} bytes", path.display())));
    }
    Ok(bytes)
}

/// Reads a text file of at most `max` bytes.
///
/// # Errors
/// As [`read`], and when it is not UTF-8.
pub fn read_text(path: &Path, max: u64) -> Result<String, Failure> {
    String::from_utf8(read(path, max)?).map_err(|error| {
        Failure::usage("file", "must be UTF-8 text").context(format!("{}: {error}", path.display()))
    })
}

/// Reads a key file or certificate of at most `max` bytes: a regular file that only its owner can
/// read, reached through no link. The bytes are wiped on drop.
///
/// # Errors
/// `key_file_is_symlink`, `key_file_mode_too_wide`, `key_store_unavailable`, with the path.
pub fn read_private(path: &Path, max: u64) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let refused = |code: ErrorCode, cause: &str| {
        Failure::new(code).context(format!("{}: {cause}", path.display()))
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => std::fs::File::from(file),
        Err(Errno::LOOP) => return Err(refused(ErrorCode::KeyFileIsSymlink, "a symbolic link")),
        Err(errno) => return Err(refused(ErrorCode::KeyStoreUnavailable, &errno.to_string())),
    };
    let unreadable = |error: io::Error| refused(ErrorCode::KeyStoreUnavailable, &error.to_string());
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(refused(ErrorCode::KeyFileIsSymlink, "not a regular file"));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let cause = format!("mode {mode:04o}, must be 0600");
        return Err(refused(ErrorCode::KeyFileModeTooWide, &cause));
    }
    if metadata.len() > max {
        return Err(refused(ErrorCode::KeyStoreUnavailable, &format!("over {max} bytes")));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(max).unwrap_or(0)));
    file.take(max).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
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
        Failure::usage(flag, "must name a file that does not exist yet")
            .context(format!("{} exists", path.display()))
            .next("Name another file, or remove this one.")
    })
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

fn cannot(verb: &str, path: &Path, error: &io::Error) -> Failure {
    let code = if error.kind() == ErrorKind::AlreadyExists {
        ErrorCode::StateConflict
    } else {
        ErrorCode::StorageUnavailable
    };
    Failure::new(code).context(format!("cannot {verb} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ExitClass;

    #[test]
    fn created_files_have_their_mode_and_are_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("anchor.pem");
        create(&path, b"x", 0o600).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(create(&path, b"y", 0o600).unwrap_err().code(), ErrorCode::StateConflict);
        assert_eq!(read(&path, 1).unwrap(), b"x");
        assert_eq!(
            create(&dir.path().join("no/file"), b"", 0o600).unwrap_err().code(),
            ErrorCode::StorageUnavailable
        );
    }

    #[test]
    fn an_output_that_exists_is_a_usage_failure_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("screen.png");
        create_named("png", &path, b"x").unwrap();
        let failure = create_named("png", &path, b"y").unwrap_err();
        assert_eq!(failure.class(), ExitClass::Usage);
        assert!(failure.to_text().contains("png must name a file that does not exist yet"));
        assert_eq!(read(&path, 1).unwrap(), b"x");
        let nowhere = create_named("png", &dir.path().join("no/file"), b"").unwrap_err();
        assert_eq!(nowhere.code(), ErrorCode::StorageUnavailable);
    }

    #[test]
    fn private_files_are_regular_narrow_and_short() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        create(&path, b"secret", 0o600).unwrap();
        assert_eq!(**read_private(&path, 6).unwrap(), *b"secret");
        let code = |path: &Path| read_private(path, 5).unwrap_err().code();
        assert_eq!(code(&path), ErrorCode::KeyStoreUnavailable);
        assert_eq!(code(&dir.path().join("none")), ErrorCode::KeyStoreUnavailable);
        assert_eq!(code(dir.path()), ErrorCode::KeyFileIsSymlink);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(code(&link), ErrorCode::KeyFileIsSymlink);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(code(&path), ErrorCode::KeyFileModeTooWide);
    }

    #[test]
    fn long_absent_and_binary_files_are_usage_failures() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        assert_eq!(read(&path, 8).unwrap_err().class(), ExitClass::Usage);
        std::fs::write(&path, [0xff; 9]).unwrap();
        assert_eq!(read(&path, 8).unwrap_err().class(), ExitClass::Usage);
        assert_eq!(read_text(&path, 9).unwrap_err().class(), ExitClass::Usage);
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
}
