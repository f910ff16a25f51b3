//! The files of a station's directory as entries of a tar archive.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use tar::{Archive, Builder, EntryType, Header};
use zeroize::Zeroizing;
use zmon_cli::{Failure, files::cannot};
use zmon_domain::error::ErrorCode;
use zmon_persistence::{Protection, STATION_DATABASE, read_file};

use super::{
    manifest::{BYTES_MAX, Entry, FILE_MAX, Manifest, NAME, is_name},
    stored,
};

/// A file of the directory that goes into a backup, read whole: keys, certificates, settings.
pub(super) struct Kept {
    pub(super) entry: Entry,
    bytes: Zeroizing<Vec<u8>>,
}

/// Reads every file of a station's directory and of the folders in it, but the database, its companions and
/// what the next start makes anew.
///
/// # Errors
/// `storage_unavailable` for what cannot be read, or is no regular file: a backup without it would not be whole.
pub(super) fn collect(dir: &Path) -> Result<Vec<Kept>, Failure> {
    let mut kept = Vec::new();
    for name in names(dir)? {
        let path = dir.join(&name);
        if is_of_database(&name) {
            continue;
        }
        let metadata = path.symlink_metadata().map_err(|error| cannot("read", &path, &error))?;
        if metadata.is_dir() {
            for below in names(&path)? {
                kept.push(read(dir, format!("{name}/{below}"))?);
            }
        } else {
            kept.push(read(dir, name)?);
        }
    }
    Ok(kept)
}

/// Writes a backup: the manifest, the files, the database.
///
/// # Errors
/// What reading the database or writing the archive says.
pub(super) fn write(
    to: &mut impl Write,
    manifest: &Manifest,
    kept: &[Kept],
    database: &mut impl Read,
) -> io::Result<()> {
    let mut archive = Builder::new(to);
    let document = serde_json::to_vec(manifest)?;
    append(&mut archive, NAME, 0o600, length(&document), &mut document.as_slice())?;
    for Kept { entry, bytes } in kept {
        append(&mut archive, &entry.name, entry.mode, entry.bytes, &mut bytes.as_slice())?;
    }
    if let Some(Entry { name, mode, bytes }) = manifest.files.last() {
        append(&mut archive, name, *mode, *bytes, database)?;
    }
    archive.finish()
}

/// Writes the files of a backup into an empty directory, and makes each durable.
///
/// # Errors
/// `storage_corrupt` for an archive that is not what its manifest says, or is torn; what the disk says.
pub(super) fn unpack(from: &mut impl Read, dir: &Path) -> Result<Manifest, Failure> {
    let mut archive = Archive::new(&mut *from);
    let mut entries = archive.entries().map_err(|error| unreadable(&error))?;
    let mut next = |wanted: &str, most: u64| {
        let entry = entries.next().ok_or_else(|| damaged(format!("{wanted} is missing")))?;
        let entry = entry.map_err(|error| unreadable(&error))?;
        let path = entry.path().map_err(|error| unreadable(&error))?;
        let is_file = entry.header().entry_type() == EntryType::Regular;
        if path.as_ref() != Path::new(wanted) || !is_file || entry.size() > most {
            return Err(damaged(format!("{} in place of {wanted}", path.display())));
        }
        Ok(entry)
    };
    let mut document = Vec::new();
    let mut entry = next(NAME, BYTES_MAX)?;
    entry.read_to_end(&mut document).map_err(|error| unreadable(&error))?;
    drop(entry);
    let manifest = Manifest::parse(&document)?;
    for Entry { name, mode, bytes } in &manifest.files {
        let path = dir.join(name);
        if let Some(folder) = path.parent().filter(|folder| *folder != dir && !folder.exists()) {
            zmon_cli::files::create_empty_dir(folder)?;
        }
        let mut entry = next(name, *bytes)?;
        if entry.size() != *bytes {
            return Err(damaged(format!("{name} has another length")));
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(*mode)
            .open(&path)
            .map_err(|error| cannot("create", &path, &error))?;
        copy(&mut entry, &mut file, &path)?;
    }
    if entries.next().is_some() {
        return Err(damaged("it has a file more than it says".to_owned()));
    }
    // The last chunk of the seal says that nothing was cut off.
    io::copy(from, &mut io::sink()).map_err(|error| unreadable(&error))?;
    for folder in folders(dir)? {
        File::open(&folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| cannot("write", &folder, &error))?;
    }
    Ok(manifest)
}

/// Errors of reading are the backup's, of writing the disk's.
fn copy(from: &mut impl Read, to: &mut File, path: &Path) -> Result<(), Failure> {
    let mut chunk = Zeroizing::new(vec![0; 65_536]);
    loop {
        let count = from.read(&mut chunk).map_err(|error| unreadable(&error))?;
        if count == 0 {
            return to.sync_all().map_err(|error| cannot("write", path, &error));
        }
        let read = chunk.get(..count).unwrap_or_default();
        to.write_all(read).map_err(|error| cannot("write", path, &error))?;
    }
}

fn append(
    archive: &mut Builder<impl Write>,
    name: &str,
    mode: u32,
    bytes: u64,
    from: &mut impl Read,
) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(mode);
    header.set_size(bytes);
    header.set_mtime(0);
    archive.append_data(&mut header, name, from.take(bytes))
}

fn read(dir: &Path, name: String) -> Result<Kept, Failure> {
    let path = dir.join(&name);
    let unfit = |rule: &str| {
        Failure::new(ErrorCode::StorageUnavailable)
            .context(format!("{} cannot be in a backup: it {rule}", path.display()))
            .next("Move it out of the station's directory, then retry.")
    };
    let metadata = path.symlink_metadata().map_err(|error| cannot("read", &path, &error))?;
    if !metadata.is_file() {
        return Err(unfit("is no regular file"));
    }
    if !is_name(&name) {
        return Err(unfit("has a name that no station gives"));
    }
    let most = usize::try_from(FILE_MAX).unwrap_or(usize::MAX);
    let bytes = read_file(&path, most, Protection::Public).map_err(stored)?;
    let mode = if metadata.mode() & 0o077 == 0 { 0o600 } else { 0o644 };
    let entry = Entry { name, mode, bytes: length(&bytes) };
    Ok(Kept { entry, bytes })
}

/// The database goes in as a copy of one moment; lock, drafts and high-water mark are made anew.
fn is_of_database(name: &str) -> bool {
    name.starts_with(STATION_DATABASE) || name.starts_with('.') || name == "station.high-water"
}

fn names(dir: &Path) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| cannot("read", dir, &error))? {
        let entry = entry.map_err(|error| cannot("read", dir, &error))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn folders(dir: &Path) -> Result<Vec<std::path::PathBuf>, Failure> {
    let below = names(dir)?.into_iter().map(|name| dir.join(name)).filter(|path| path.is_dir());
    Ok(below.chain([dir.to_owned()]).collect())
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn damaged(rule: String) -> Failure {
    Failure::new(ErrorCode::StorageCorrupt)
        .context(format!("the backup is not whole: {rule}"))
        .next("Take another copy of the backup, or an older one.")
}

fn unreadable(error: &io::Error) -> Failure {
    damaged(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::{super::manifest::VERSION, *};

    const DATABASE: &[u8] = b"the database as it was at one moment";

    /// A directory with a key, a certificate, settings, and what is made anew.
    fn station() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("keys")).unwrap();
        for (name, mode) in [
            ("keys/root.key", 0o600),
            ("anchor.pem", 0o644),
            ("station.toml", 0o600),
            ("station.db", 0o600),
            ("station.db-wal", 0o600),
            ("station.high-water", 0o600),
            (".lock", 0o600),
        ] {
            fs::write(home.path().join(name), name).unwrap();
            fs::set_permissions(home.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        home
    }

    fn manifest(kept: &[Kept]) -> Manifest {
        let mut files: Vec<_> = kept.iter().map(|kept| kept.entry.clone()).collect();
        let bytes = length(DATABASE);
        files.push(Entry { name: STATION_DATABASE.to_owned(), mode: 0o600, bytes });
        let (station_id, program) = ("st-1".to_owned(), "0.1.0".to_owned());
        Manifest { v: VERSION, station_id, program, made_at: None, ends: Vec::new(), files }
    }

    fn packed(manifest: &Manifest, kept: &[Kept]) -> Vec<u8> {
        let mut archive = Vec::new();
        write(&mut archive, manifest, kept, &mut &*DATABASE).unwrap();
        archive
    }

    fn refused(archive: &[u8]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let failure = unpack(&mut &*archive, dir.path()).unwrap_err();
        assert_eq!(failure.code(), ErrorCode::StorageCorrupt);
        failure.cause().unwrap().to_owned()
    }

    #[test]
    fn what_is_collected_is_unpacked_with_its_modes_and_the_rest_is_not_in_it() {
        let home = station();
        let kept = collect(home.path()).unwrap();
        let names: Vec<_> = kept.iter().map(|kept| kept.entry.name.as_str()).collect();
        assert_eq!(names, ["anchor.pem", "keys/root.key", "station.toml"]);
        let archive = packed(&manifest(&kept), &kept);
        let dir = tempfile::tempdir().unwrap();
        let read = unpack(&mut archive.as_slice(), dir.path()).unwrap();
        assert_eq!(read.files.len(), 4);
        for Entry { name, mode, .. } in &read.files {
            let path = dir.path().join(name);
            let expected = if name == STATION_DATABASE { DATABASE } else { name.as_bytes() };
            assert_eq!(fs::read(&path).unwrap(), expected);
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, *mode, "{name}");
        }
        let folder = fs::metadata(dir.path().join("keys")).unwrap();
        assert_eq!(folder.mode() & 0o777, 0o700);
    }

    #[test]
    fn what_cannot_be_in_a_backup_stops_it() {
        let home = station();
        let planted = home.path().join("keys/link.key");
        symlink("/etc/hostname", &planted).unwrap();
        let failure = collect(home.path()).err().unwrap();
        assert_eq!(failure.code(), ErrorCode::StorageUnavailable);
        assert!(failure.cause().unwrap().contains("link.key"), "{failure:?}");
        fs::remove_file(&planted).unwrap();
        fs::write(home.path().join("a b"), "x").unwrap();
        assert!(collect(home.path()).is_err(), "a name that no station gives");
        fs::remove_file(home.path().join("a b")).unwrap();
        fs::create_dir_all(home.path().join("more/below")).unwrap();
        assert!(collect(home.path()).is_err(), "a folder in a folder");
        fs::remove_dir_all(home.path().join("more")).unwrap();
        assert!(collect(home.path()).is_ok(), "positive control");
    }

    #[test]
    fn an_archive_that_is_not_what_its_manifest_says_is_refused() {
        let home = station();
        let kept = collect(home.path()).unwrap();
        let mut less = manifest(&kept);
        less.files.remove(0);
        assert!(refused(&packed(&less, &kept)).contains("in place of"), "one too many");
        let mut more = manifest(&kept);
        let (name, mode, bytes) = ("keys/second.key".to_owned(), 0o600, 1);
        more.files.insert(0, Entry { name, mode, bytes });
        assert!(refused(&packed(&more, &kept)).contains("in place of keys/second.key"));
        let mut longer = manifest(&kept);
        longer.files[0].bytes += 1;
        assert!(refused(&packed(&longer, &kept)).contains("another length"));
        let whole = packed(&manifest(&kept), &kept);
        let torn = refused(whole.get(..1024).unwrap());
        assert!(torn.contains("not whole"), "{torn}");
        assert!(refused(b"").contains("manifest.json is missing"));

        // A name that leads out of the directory, as only another program would write it.
        let mut archive = Builder::new(Vec::new());
        let document = serde_json::to_vec(&manifest(&[])).unwrap();
        append(&mut archive, NAME, 0o600, length(&document), &mut document.as_slice()).unwrap();
        let mut link = Header::new_gnu();
        link.set_entry_type(EntryType::Symlink);
        link.set_size(0);
        archive.append_link(&mut link, STATION_DATABASE, "/etc/hostname").unwrap();
        assert!(refused(&archive.into_inner().unwrap()).contains("in place of station.db"));
    }
}
