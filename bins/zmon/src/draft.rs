//! Files that commands write over a while.

use std::{
    fs::{File, Permissions},
    io::{self, ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::{NamedTempFile, TempDir};
use zmon_cli::{
    Failure,
    files::{cannot, exists},
};

/// A file (0600) that a flag named for output, while it is being written: nobody finds it before
/// [`Draft::keep`], and without that nothing is left of it.
#[derive(Debug)]
pub(crate) struct Draft {
    file: NamedTempFile,
    flag: &'static str,
    path: PathBuf,
}

impl Draft {
    /// Begins a file beside where it will be.
    ///
    /// # Errors
    /// A usage failure naming the flag when `path` exists, else `storage_unavailable`.
    pub(crate) fn begin(flag: &'static str, path: &Path) -> Result<Self, Failure> {
        if path.symlink_metadata().is_ok() {
            return Err(exists(flag, path));
        }
        let file =
            NamedTempFile::new_in(folder(path)).map_err(|error| cannot("create", path, &error))?;
        Ok(Self { file, flag, path: path.to_owned() })
    }

    /// Makes the file durable under its name.
    ///
    /// # Errors
    /// As [`Draft::begin`], for a file that came meanwhile.
    pub(crate) fn keep(self) -> Result<(), Failure> {
        let Self { file, flag, path } = self;
        file.as_file().sync_all().map_err(|error| cannot("write", &path, &error))?;
        match file.persist_noclobber(&path) {
            // The name is as durable as the folder that holds it.
            Ok(_file) => File::open(folder(&path))
                .and_then(|folder| folder.sync_all())
                .map_err(|error| cannot("write", &path, &error)),
            Err(refused) if refused.error.kind() == ErrorKind::AlreadyExists => {
                Err(exists(flag, &path))
            }
            Err(refused) => Err(cannot("create", &path, &refused.error)),
        }
    }
}

/// A directory (0700) beside what it is for, whatever the umask is; removed unless it is kept.
///
/// # Errors
/// What the system says.
pub(crate) fn private_dir(prefix: &str, within: &Path) -> io::Result<TempDir> {
    let private = Permissions::from_mode(0o700);
    tempfile::Builder::new().prefix(prefix).permissions(private).tempdir_in(within)
}

/// The folder that a file or directory is in.
pub(crate) fn folder(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use zmon_cli::ExitClass;

    use super::*;

    fn left(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_file_appears_whole_and_its_owner_s_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit.csv");
        let mut draft = Draft::begin("--output", &path).unwrap();
        draft.write_all(b"whole").unwrap();
        assert!(!path.exists());
        draft.keep().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(left(home.path()), 1);
    }

    /// As is asked for where the umask takes less away than it should.
    #[test]
    fn a_directory_is_its_owner_s_alone_and_gone_with_its_value() {
        let home = tempfile::tempdir().unwrap();
        let dir = private_dir(".draft-", home.path()).unwrap();
        let mode = fs::metadata(dir.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        drop(dir);
        assert_eq!(left(home.path()), 0);
    }

    #[test]
    fn what_is_given_up_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let mut draft = Draft::begin("--output", &home.path().join("audit.csv")).unwrap();
        draft.write_all(b"half").unwrap();
        drop(draft);
        assert_eq!(left(home.path()), 0);
    }

    #[test]
    fn a_file_that_is_there_is_kept_whenever_it_came() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit.csv");
        let refused = |failure: Failure| {
            assert_eq!(failure.class(), ExitClass::Usage);
            assert_eq!(failure.report().detail.unwrap().field(), "--output");
        };
        let draft = Draft::begin("--output", &path).unwrap();
        fs::write(&path, b"theirs").unwrap();
        refused(draft.keep().unwrap_err());
        refused(Draft::begin("--output", &path).unwrap_err());
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
        assert_eq!(left(home.path()), 1);
        let nowhere = home.path().join("none/audit.csv");
        let error = Draft::begin("--output", &nowhere).unwrap_err();
        assert_eq!(error.code(), zmon_domain::error::ErrorCode::StorageUnavailable);
    }
}
