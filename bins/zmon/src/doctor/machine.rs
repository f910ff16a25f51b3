//! The machine: its clock, the room on its disk, the modes of the files.

use std::{
    fs::{self, Metadata},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
};

use rustix::{fs::statvfs, process::geteuid};
use zmon_domain::time::UnixTime;

use super::finding::Finding;

const CLOCK: &str = "clock";
const DISK: &str = "disk";
const FILES: &str = "files";

/// Start of the day of this release, 2026-11-23, in seconds since the epoch: no clock that is right is before it.
const RELEASED: i64 = 1_795_392_000;
/// With less room than this nothing can be written for long.
const ROOM_LEAST: u64 = 100 << 20;
/// With less than this somebody should make room.
const ROOM: u64 = 1 << 30;
/// The same of files that can still be made.
const INODES: u64 = 1000;

/// The clock against this release and the newest row of the log.
pub(super) fn clock(now: Option<UnixTime>, newest: Option<i64>) -> Finding {
    let next = "Set the clock, and let a time service keep it (chrony, systemd-timesyncd).";
    let Some(now) = now else {
        return Finding::problem(CLOCK, "the system has no time", next);
    };
    if now.unix() < RELEASED {
        return Finding::problem(CLOCK, format!("{now} is before this program was made"), next);
    }
    let newest = newest.and_then(|millis| UnixTime::from_unix(millis / 1000));
    match newest {
        Some(row) if row > now => {
            let seen = format!("{now} is before the newest row of the log, {row}");
            Finding::problem(CLOCK, seen, next)
        }
        Some(_) | None => Finding::ok(CLOCK, now.to_string()),
    }
}

/// The file system that a directory is on.
pub(super) fn disk(dir: &Path) -> Finding {
    match statvfs(dir) {
        Ok(found) => {
            let inodes = (found.f_files > 0).then_some(found.f_favail);
            room(found.f_bavail.saturating_mul(found.f_frsize), inodes)
        }
        Err(errno) => Finding::problem(
            DISK,
            format!("{}: {errno}", dir.display()),
            "Check that the file system is mounted.",
        ),
    }
}

/// Bytes that are free, and files that can be made where the file system counts them.
fn room(bytes: u64, inodes: Option<u64>) -> Finding {
    let next = "Make room: when the log cannot be written, nothing is done.";
    let seen = format!("{} MiB free", bytes >> 20);
    if bytes < ROOM_LEAST {
        return Finding::problem(DISK, seen, next);
    }
    if let Some(left) = inodes.filter(|left| *left < INODES) {
        return Finding::warning(DISK, format!("{seen}, and room for {left} files"), next);
    }
    if bytes < ROOM { Finding::warning(DISK, seen, next) } else { Finding::ok(DISK, seen) }
}

/// Modes, owners and kinds of every file below a directory.
pub(super) fn files(dir: &Path) -> Vec<Finding> {
    let mut wrong = Vec::new();
    let mut count = 0;
    walk(dir, &mut count, &mut wrong);
    if wrong.is_empty() {
        wrong.push(Finding::ok(
            FILES,
            format!("{count} files, none that others can read or change"),
        ));
    }
    wrong
}

fn walk(path: &Path, count: &mut u64, wrong: &mut Vec<Finding>) {
    let unreadable = |error: std::io::Error| {
        Finding::problem(
            FILES,
            format!("{}: {error}", path.display()),
            "Run this as the user that the program runs as.",
        )
    };
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        // Removed meanwhile by the program that runs.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => return wrong.push(unreadable(error)),
    };
    wrong.extend(judge(path, &metadata));
    if !metadata.is_dir() {
        *count += 1;
        return;
    }
    match fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
        Ok(mut entries) => {
            entries.sort_by_key(fs::DirEntry::file_name);
            for entry in entries {
                walk(&entry.path(), count, wrong);
            }
        }
        Err(error) => wrong.push(unreadable(error)),
    }
}

/// What `zmon station backup` and `restore` work in begins like this, and is gone when they end.
const DRAFTS: [&str; 2] = [".backup-", ".restore-"];

fn judge(path: &Path, metadata: &Metadata) -> Option<Finding> {
    let shown = path.display();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if metadata.is_dir() && DRAFTS.iter().any(|draft| name.starts_with(draft)) {
        let seen = format!("{shown} is of a backup that runs, or was interrupted");
        return Some(Finding::warning(FILES, seen, format!("If none runs: rm -r {shown}")));
    }
    let mode = metadata.mode() & 0o777;
    if metadata.is_symlink() {
        let next = "Put the file itself in its place.";
        return Some(Finding::problem(FILES, format!("{shown} is a link"), next));
    }
    if metadata.uid() != geteuid().as_raw() {
        let seen = format!("{shown} belongs to user {}", metadata.uid());
        return Some(Finding::problem(
            FILES,
            seen,
            format!("Run: chown {} {shown}", geteuid().as_raw()),
        ));
    }
    // Certificates are public; nobody else may change them.
    let is_public = path.extension().is_some_and(|extension| extension == "pem");
    let (forbidden, right) = match (metadata.is_dir(), is_public) {
        (true, _) => (0o077, "700"),
        (false, true) => (0o022, "644"),
        (false, false) => (0o077, "600"),
    };
    if mode & forbidden == 0 {
        return None;
    }
    let kind = if metadata.file_type().is_socket() { "the socket " } else { "" };
    Some(Finding::problem(
        FILES,
        format!("{kind}{shown} has mode {mode:04o}: others can read or change it"),
        format!("Run: chmod {right} {shown}; if others may have read a key, make new ones."),
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::{super::finding::Level, *};

    #[test]
    fn a_clock_is_after_the_release_and_after_the_log() {
        let at = |seconds| UnixTime::from_unix(seconds);
        let level = |now, newest| clock(now, newest).level;
        assert_eq!(level(at(RELEASED + 5), Some(RELEASED * 1000)), Level::Ok);
        assert_eq!(level(at(RELEASED), None), Level::Ok);
        assert_eq!(level(None, None), Level::Problem);
        assert_eq!(level(at(RELEASED - 1), None), Level::Problem);
        assert_eq!(level(at(RELEASED), Some((RELEASED + 1) * 1000)), Level::Problem);
    }

    #[test]
    fn room_is_told_before_it_is_gone() {
        assert_eq!(room(ROOM, Some(INODES)).level, Level::Ok);
        assert_eq!(room(ROOM, None).level, Level::Ok);
        assert_eq!(room(ROOM - 1, None).level, Level::Warning);
        assert_eq!(room(ROOM, Some(INODES - 1)).level, Level::Warning);
        assert_eq!(room(ROOM_LEAST - 1, None).level, Level::Problem);
        assert_eq!(disk(Path::new("/nowhere")).level, Level::Problem);
        assert!(disk(Path::new("/")).seen.contains("MiB free"));
    }

    #[test]
    fn modes_links_and_folders_are_judged_by_what_they_hold() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("station");
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        fs::create_dir(&dir).unwrap();
        set(&dir, 0o700);
        for (name, mode) in [("root.key", 0o600), ("anchor.pem", 0o644)] {
            fs::write(dir.join(name), b"x").unwrap();
            set(&dir.join(name), mode);
        }
        let found = files(&dir);
        assert_eq!((found.len(), found[0].level), (1, Level::Ok), "{found:?}");
        assert!(found[0].seen.starts_with("2 files"));
        set(&dir.join("root.key"), 0o640);
        set(&dir.join("anchor.pem"), 0o664);
        set(&dir, 0o755);
        symlink("root.key", dir.join("link")).unwrap();
        let found = files(&dir);
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found.iter().all(|finding| finding.level == Level::Problem));
        let next: Vec<_> = found.iter().filter_map(|finding| finding.next.as_deref()).collect();
        assert!(next[0].contains("chmod 700") && next[1].contains("chmod 644"), "{next:?}");
        assert!(next[3].contains("chmod 600"), "{next:?}");
        fs::create_dir(dir.join(".backup-x")).unwrap();
        assert!(files(&dir).iter().any(|finding| finding.level == Level::Warning));
    }
}
