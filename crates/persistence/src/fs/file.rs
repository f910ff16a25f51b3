//! Private files: opened without following links, checked by descriptor, written by rename.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, fstat, fsync, openat, renameat,
    renameat_with, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;
use zeroize::Zeroizing;
use zmon_domain::error::ErrorCode;

use crate::error::{PersistenceError, Result};

/// Whether a write may replace what is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    New,
    Replace,
}

/// What a file must be like before a byte of it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// A regular file; links to it are followed.
    Regular,
    /// A regular file and no link, of this user or root, that nobody else can write.
    Public,
    /// A regular file and no link, of this user, without a second name, that nobody else can read.
    Private,
}

const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Opens for reading and checks what was opened: a regular file, ours, 0600 or narrower, one link.
pub(super) fn open(dir: &OwnedFd, path: &Path, name: &str) -> Result<File> {
    open_as(dir, path, name, Protection::Private)
}

/// Reads a private file of at most `max` bytes.
pub(super) fn read(
    dir: &OwnedFd,
    path: &Path,
    name: &str,
    max: usize,
) -> Result<Zeroizing<Vec<u8>>> {
    read_open(open(dir, path, name)?, path, name, max)
}

/// Reads a file of at most `max` bytes that is named by its path. The bytes are wiped on drop.
///
/// # Errors
/// `not_initialised` for one that is absent, `key_file_is_symlink`, `key_file_mode_too_wide`,
/// `key_store_unavailable` for what is no regular file, not ours or unreadable, `storage_corrupt` for
/// one that is longer; each with the path.
pub fn read_file(path: &Path, max: usize, protection: Protection) -> Result<Zeroizing<Vec<u8>>> {
    let here = Path::new("");
    read_open(open_as(CWD, here, path, protection)?, here, path, max)
}

/// `NONBLOCK` keeps a planted FIFO from blocking the open; the checks run on the descriptor, so
/// there is nothing to win between check and use (T29).
fn open_as(
    dir: impl AsFd,
    path: &Path,
    name: impl AsRef<Path>,
    protection: Protection,
) -> Result<File> {
    let name = name.as_ref();
    let follow = match protection {
        Protection::Regular => OFlags::empty(),
        Protection::Public | Protection::Private => OFlags::NOFOLLOW,
    };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | follow;
    let fd = openat(dir, name, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::LOOP => PersistenceError::symlink(path.join(name).display().to_string()),
        Errno::NOENT => rule(ErrorCode::NotInitialised, path, name, "is missing"),
        _ => failed(path, name, "cannot be opened", errno),
    })?;
    check(&fd, path, name, protection)?;
    Ok(File::from(fd))
}

fn read_open(
    mut file: File,
    path: &Path,
    name: impl AsRef<Path>,
    max: usize,
) -> Result<Zeroizing<Vec<u8>>> {
    let name = name.as_ref();
    // Reserved up front: a growing vector would leave copies of a secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(max.saturating_add(1)));
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    Read::by_ref(&mut file)
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(path, name, "cannot be read", error))?;
    if bytes.len() > max {
        return Err(rule(ErrorCode::StorageCorrupt, path, name, "is longer than it can be"));
    }
    Ok(bytes)
}

/// Writes durably: temporary file created exclusively at 0600, synced, renamed, directory synced.
///
/// After a crash the name holds the old content or the new one, never a part.
pub(super) fn write(
    dir: &OwnedFd,
    path: &Path,
    name: &str,
    bytes: &[u8],
    target: Target,
) -> Result<()> {
    let temporary = format!(".{name}.tmp");
    // A left-over of a crashed write; `unlinkat` removes a planted link, not what it points to.
    match unlinkat(dir, &temporary, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(failed(path, &temporary, "cannot be removed", errno)),
    }
    let written = create_exclusive(dir, path, &temporary, bytes)
        .and_then(|()| publish(dir, path, &temporary, name, target));
    if written.is_err() {
        // The error that matters is the first one; a left-over is removed by the next write.
        let _ = unlinkat(dir, &temporary, AtFlags::empty());
    }
    written
}

/// Makes an empty file if the name is free (SQLite opens it later with its mode).
pub(super) fn ensure(dir: &OwnedFd, path: &Path, name: &str) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(dir, name, flags, PRIVATE) {
        Ok(fd) => {
            fsync(&fd).map_err(|errno| failed(path, name, "cannot be synced", errno))?;
            sync_directory(dir, path)
        }
        Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(failed(path, name, "cannot be created", errno)),
    }
}

/// Overwrites the content with zeros, syncs, unlinks, syncs the directory. Absent is success.
///
/// Flash and journalling file systems may keep the old block: that is why what lies in these files
/// is itself sealed, and why [`crate::FileKeyStore`] reports file protection, not more (D19).
pub(super) fn destroy(dir: &OwnedFd, path: &Path, name: &str) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match openat(dir, name, flags, Mode::empty()) {
        Ok(fd) => overwrite(fd, path, name)?,
        Err(Errno::NOENT) => return Ok(()),
        // A planted link or FIFO: not ours to write through, only to remove.
        Err(Errno::LOOP | Errno::NXIO) => {}
        Err(errno) => return Err(failed(path, name, "cannot be opened for wiping", errno)),
    }
    match unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => sync_directory(dir, path),
        Err(errno) => Err(failed(path, name, "cannot be removed", errno)),
    }
}

/// Destroys everything below a directory, whatever it is and whatever its modes are. Idempotent: a run
/// that was cut short is taken up by the next.
pub(super) fn destroy_all(dir: &OwnedFd, path: &Path) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for name in names(dir, path)? {
        match openat(dir, name.as_str(), flags, Mode::empty()) {
            Ok(below) => {
                destroy_all(&below, &path.join(&name))?;
                unlinkat(dir, name.as_str(), AtFlags::REMOVEDIR)
                    .map_err(|errno| failed(path, &name, "cannot be removed", errno))?;
            }
            Err(Errno::NOTDIR | Errno::LOOP) => destroy(dir, path, &name)?,
            Err(errno) => return Err(failed(path, &name, "cannot be opened for wiping", errno)),
        }
    }
    sync_directory(dir, path)?;
    // A name that is no text cannot be asked for by text: what is left is no success.
    match names(dir, path)?.first() {
        None => Ok(()),
        Some(left) => Err(rule(ErrorCode::StorageUnavailable, path, left, "cannot be removed")),
    }
}

/// The names in a directory except `.` and `..`, sorted.
pub(super) fn names(dir: &OwnedFd, path: &Path) -> Result<Vec<String>> {
    let listing =
        Dir::read_from(dir).map_err(|errno| failed(path, "", "cannot be listed", errno))?;
    let mut names = Vec::new();
    for entry in listing {
        let entry = entry.map_err(|errno| failed(path, "", "cannot be listed", errno))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn check(fd: &OwnedFd, path: &Path, name: &Path, protection: Protection) -> Result<()> {
    let stat = fstat(fd).map_err(|errno| failed(path, name, "cannot be examined", errno))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(rule(ErrorCode::KeyStoreUnavailable, path, name, "must be a regular file"));
    }
    let (forbidden, required, root_may_own) = match protection {
        Protection::Regular => return Ok(()),
        Protection::Public => (Mode::WGRP | Mode::WOTH, 0o644, true),
        Protection::Private => (Mode::RWXG | Mode::RWXO, 0o600, false),
    };
    let mode = Mode::from_raw_mode(stat.st_mode);
    if mode.intersects(forbidden) {
        let path = path.join(name).display().to_string();
        return Err(PersistenceError::mode_too_wide(path, mode.bits(), required));
    }
    let is_of_root = root_may_own && stat.st_uid == 0;
    if stat.st_uid != geteuid().as_raw() && !is_of_root {
        let what = "must belong to the user of this process";
        return Err(rule(ErrorCode::KeyStoreUnavailable, path, name, what));
    }
    // No link at all: removed since it was opened, as SQLite does with its companions. No danger.
    if protection == Protection::Private && stat.st_nlink > 1 {
        let what = "must have no second hard link";
        return Err(rule(ErrorCode::KeyStoreUnavailable, path, name, what));
    }
    Ok(())
}

fn create_exclusive(dir: &OwnedFd, path: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(dir, name, flags, PRIVATE)
        .map_err(|errno| failed(path, name, "cannot be created", errno))?;
    let mut file = File::from(fd);
    file.write_all(bytes).map_err(|error| failed(path, name, "cannot be written", error))?;
    file.sync_all().map_err(|error| failed(path, name, "cannot be synced", error))
}

fn publish(dir: &OwnedFd, path: &Path, from: &str, to: &str, target: Target) -> Result<()> {
    let renamed = match target {
        Target::Replace => renameat(dir, from, dir, to),
        Target::New => match renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE) {
            // Not every file system knows the flag; the directory's lock stands in for it.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                match statat(dir, to, AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => renameat(dir, from, dir, to),
                    Ok(_) => Err(Errno::EXIST),
                    Err(errno) => Err(errno),
                }
            }
            other => other,
        },
    };
    renamed.map_err(|errno| match errno {
        Errno::EXIST => rule(ErrorCode::StateConflict, path, to, "exists already"),
        _ => failed(path, to, "cannot be put in place", errno),
    })?;
    sync_directory(dir, path)
}

fn overwrite(fd: OwnedFd, path: &Path, name: &str) -> Result<()> {
    let stat = fstat(&fd).map_err(|errno| failed(path, name, "cannot be examined", errno))?;
    let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    // A second link means the content is shared with a file that is not ours to wipe.
    if !regular || stat.st_nlink != 1 {
        return Ok(());
    }
    let mut file = File::from(fd);
    let length = u64::try_from(stat.st_size).unwrap_or(0);
    std::io::copy(&mut std::io::repeat(0).take(length), &mut file)
        .and_then(|_| file.sync_all())
        .map_err(|error| failed(path, name, "cannot be overwritten", error))
}

fn sync_directory(dir: impl AsFd, path: &Path) -> Result<()> {
    fsync(dir).map_err(|errno| failed(path, "", "cannot be synced", errno))
}

fn rule(code: ErrorCode, path: &Path, name: impl AsRef<Path>, rule: &str) -> PersistenceError {
    PersistenceError::new(code, format!("{}: {rule}", path.join(name).display()))
}

fn failed(
    path: &Path,
    name: impl AsRef<Path>,
    what: &str,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> PersistenceError {
    let context = format!("{}: {what}", path.join(name).display());
    PersistenceError::caused_by(ErrorCode::KeyStoreUnavailable, context, error)
}
