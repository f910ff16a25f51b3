//! Files a command reads whole or creates.

use std::{
    fs::{DirBuilder, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

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
        assert_eq!(read(&path, 1).unwrap(), b"x");
        assert_eq!(
            create(&dir.path().join("no/file"), b"", 0o600).unwrap_err().code(),
            ErrorCode::StorageUnavailable
        );
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
