//! The private directory: 0700, owned by this user, held open by descriptor and locked.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, fstat, mkdirat, openat};
use rustix::io::Errno;
use rustix::process::geteuid;
use zmon_domain::error::ErrorCode;

use super::file;
use crate::error::{PersistenceError, Result};

/// Name of the empty file whose lock says "a process works in this directory".
const LOCK_FILE: &str = ".lock";

/// A directory only its owner can enter (0700), open by descriptor.
///
/// All files are reached relative to the descriptor, so that a path swapped after the check changes
/// nothing. Everything that writes here holds the directory's lock through this value.
#[derive(Debug)]
pub struct PrivateDir {
    fd: OwnedFd,
    path: PathBuf,
    /// Held for the life of the value; the kernel releases it when the process dies.
    _lock: Option<Lock>,
}

/// The lock of a directory.
#[derive(Debug)]
struct Lock(OwnedFd);

impl Drop for Lock {
    /// A child that is being started has a copy of the descriptor until it runs its own program, and a
    /// lock lives as long as any copy: it is given back, not only closed.
    fn drop(&mut self) {
        let _nothing_to_do_about_it = flock(&self.0, FlockOperation::Unlock);
    }
}

impl PrivateDir {
    /// Opens the directory for this process alone, creating it (0700) if it is absent.
    ///
    /// # Errors
    /// `KeyFileIsSymlink` and `KeyFileModeTooWide` for a directory that is a link or that others
    /// may enter; `StateConflict` when another process holds it; `StorageUnavailable` otherwise.
    pub fn create(path: &Path) -> Result<Self> {
        match mkdirat(CWD, path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => Self::open(path),
            Err(errno) => Err(PersistenceError::caused_by(
                ErrorCode::StorageUnavailable,
                format!("{}: the directory cannot be created", path.display()),
                errno,
            )),
        }
    }

    /// Opens an existing directory for this process alone.
    ///
    /// # Errors
    /// As [`PrivateDir::create`]; an absent directory is `NotInitialised`.
    pub fn open(path: &Path) -> Result<Self> {
        let fd = open_checked(path)?;
        let lock = lock(&fd, path)?;
        Ok(Self { fd, path: path.to_owned(), _lock: Some(lock) })
    }

    /// Opens an existing directory without the lock, to read beside the process that works in it.
    ///
    /// # Errors
    /// As [`PrivateDir::open`], except that a held lock does not matter.
    pub fn open_shared(path: &Path) -> Result<Self> {
        Ok(Self { fd: open_checked(path)?, path: path.to_owned(), _lock: None })
    }

    /// The path it was opened under.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a private subdirectory if it is absent and opens it; the parent's lock covers it.
    ///
    /// # Errors
    /// As [`PrivateDir::open`].
    pub fn subdirectory(&self, name: &str) -> Result<Self> {
        match mkdirat(&self.fd, name, Mode::RWXU) {
            Ok(()) => self.sync()?,
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(self.error(name, "cannot be created", errno)),
        }
        self.existing_subdirectory(name)
    }

    /// Opens a private subdirectory; the parent's lock covers it.
    ///
    /// # Errors
    /// As [`PrivateDir::open`].
    pub fn existing_subdirectory(&self, name: &str) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&self.fd, name, flags, Mode::empty())
            .map_err(|errno| not_a_directory(&self.path.join(name), errno))?;
        check(&fd, &self.path.join(name))?;
        Ok(Self { fd, path: self.path.join(name), _lock: None })
    }

    /// Whether the name exists, whatever it is.
    pub(crate) fn contains(&self, name: &str) -> Result<bool> {
        match rustix::fs::statat(&self.fd, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.error(name, "cannot be examined", errno)),
        }
    }

    /// Reads a private file of at most `max` bytes whole. The bytes are wiped on drop.
    ///
    /// # Errors
    /// As [`crate::read_file`]; a name with a path in it is `key_store_unavailable`.
    pub fn read_file(&self, name: &str, max: usize) -> Result<zeroize::Zeroizing<Vec<u8>>> {
        if name.contains('/') {
            let context = format!("{}: not a name in it: {name}", self.path.display());
            return Err(PersistenceError::new(ErrorCode::KeyStoreUnavailable, context));
        }
        self.read(name, max)
    }

    /// Reads a private file whole; see [`file::read`].
    pub(crate) fn read(&self, name: &str, max: usize) -> Result<zeroize::Zeroizing<Vec<u8>>> {
        file::read(&self.fd, &self.path, name, max)
    }

    /// Writes a new private file (0600) durably.
    ///
    /// # Errors
    /// `state_conflict` for a name that exists, else `key_store_unavailable`.
    pub fn create_file(&self, name: &str, bytes: &[u8]) -> Result<()> {
        file::write(&self.fd, &self.path, name, bytes, file::Target::New)
    }

    /// Replaces a private file durably: readers see the old bytes or the new ones.
    ///
    /// # Errors
    /// `key_store_unavailable`.
    pub fn replace_file(&self, name: &str, bytes: &[u8]) -> Result<()> {
        file::write(&self.fd, &self.path, name, bytes, file::Target::Replace)
    }

    /// Overwrites a file, then removes it durably; an absent one is success.
    pub(crate) fn destroy_file(&self, name: &str) -> Result<()> {
        file::destroy(&self.fd, &self.path, name)
    }

    /// Destroys everything in this directory; see [`file::destroy_all`].
    pub(crate) fn destroy_all(&self) -> Result<()> {
        file::destroy_all(&self.fd, &self.path)
    }

    /// The names in this directory, sorted.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        file::names(&self.fd, &self.path)
    }

    /// Opens a file after all checks; the caller reads a prefix of it.
    pub(crate) fn open_file(&self, name: &str) -> Result<std::fs::File> {
        file::open(&self.fd, &self.path, name)
    }

    /// Makes an empty private file if the name is free.
    pub(crate) fn ensure_file(&self, name: &str) -> Result<()> {
        file::ensure(&self.fd, &self.path, name)
    }

    fn sync(&self) -> Result<()> {
        rustix::fs::fsync(&self.fd).map_err(|errno| self.error("", "cannot be synced", errno))
    }

    fn error(&self, name: &str, what: &str, errno: Errno) -> PersistenceError {
        PersistenceError::caused_by(
            ErrorCode::StorageUnavailable,
            format!("{}: {what}", self.path.join(name).display()),
            errno,
        )
    }
}

fn open_checked(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd =
        openat(CWD, path, flags, Mode::empty()).map_err(|errno| not_a_directory(path, errno))?;
    check(&fd, path)?;
    Ok(fd)
}

fn not_a_directory(path: &Path, errno: Errno) -> PersistenceError {
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_symlink());
    let (code, rule) = match errno {
        Errno::NOENT => (ErrorCode::NotInitialised, "the directory does not exist"),
        _ if is_link => return PersistenceError::symlink(path.display().to_string()),
        Errno::NOTDIR => (ErrorCode::StorageUnavailable, "must be a directory"),
        _ => (ErrorCode::StorageUnavailable, "the directory cannot be opened"),
    };
    PersistenceError::caused_by(code, format!("{}: {rule}", path.display()), errno)
}

fn check(fd: &OwnedFd, path: &Path) -> Result<()> {
    let stat = fstat(fd).map_err(|errno| {
        PersistenceError::caused_by(
            ErrorCode::StorageUnavailable,
            format!("{}: the directory cannot be examined", path.display()),
            errno,
        )
    })?;
    let mode = Mode::from_raw_mode(stat.st_mode);
    if mode.intersects(Mode::RWXG | Mode::RWXO) {
        let path = path.display().to_string();
        return Err(PersistenceError::mode_too_wide(path, mode.bits(), 0o700));
    }
    if stat.st_uid != geteuid().as_raw() {
        return Err(PersistenceError::new(
            ErrorCode::KeyStoreUnavailable,
            format!("{}: the directory must belong to the user of this process", path.display()),
        ));
    }
    Ok(())
}

fn lock(dir: &OwnedFd, path: &Path) -> Result<Lock> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fail = |errno: Errno| {
        PersistenceError::caused_by(
            ErrorCode::StorageUnavailable,
            format!("{}: the lock file cannot be opened", path.display()),
            errno,
        )
    };
    let fd = openat(dir, LOCK_FILE, flags, Mode::RUSR | Mode::WUSR).map_err(fail)?;
    match flock(&fd, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock(fd)),
        Err(Errno::WOULDBLOCK) => Err(PersistenceError::new(
            ErrorCode::StateConflict,
            format!("{}: another process works in this directory", path.display()),
        )),
        Err(errno) => Err(fail(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a child has one between its start and its own program.
    #[test]
    fn a_directory_is_free_whoever_has_a_copy_of_the_descriptor() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("private");
        let dir = PrivateDir::create(&path).unwrap();
        let copy = dir._lock.as_ref().unwrap().0.try_clone().unwrap();
        assert_eq!(PrivateDir::open(&path).unwrap_err().code(), ErrorCode::StateConflict);
        drop(dir);
        PrivateDir::open(&path).unwrap();
        drop(copy);
    }
}
