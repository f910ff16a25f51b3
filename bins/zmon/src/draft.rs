//! Files that commands write over a while.

use std::{
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;
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
        let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let file = NamedTempFile::new_in(beside.unwrap_or(Path::new(".")))
            .map_err(|error| cannot("create", path, &error))?;
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
            Ok(_file) => Ok(()),
            Err(refused) if refused.error.kind() == ErrorKind::AlreadyExists => {
                Err(exists(flag, &path))
            }
            Err(refused) => Err(cannot("create", &path, &refused.error)),
        }
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
