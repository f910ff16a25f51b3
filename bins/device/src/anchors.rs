//! Anchor store of a device (D8): `anchors/*.pem`, and `anchors.json` with the site of each.

use std::{
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use zmon_cli::{Failure, files};
use zmon_crypto::{Anchor, AnchorSet, CertificateChain};
use zmon_domain::{error::ErrorCode, ids::SiteId};
use zmon_wire::{strict, text};

const LIST: &str = "anchors.json";
const FOLDER: &str = "anchors";
/// Longest anchor file, in bytes.
const PEM_MAX: u64 = 65_536;
/// Longest list of anchors, in bytes.
const LIST_MAX: u64 = 65_536;

/// One anchor of the list.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    file: String,
    #[serde(with = "text")]
    site: SiteId,
}

/// Lays down the anchors of a new device and returns their fingerprints.
///
/// # Errors
/// A usage failure for a file that is no CA certificate; else what the disk says.
pub(crate) fn create(
    dir: &Path,
    sources: &[PathBuf],
    site: &SiteId,
) -> Result<Vec<String>, Failure> {
    let mut set = AnchorSet::new();
    let mut found = Vec::new();
    for source in sources {
        let pem = files::read(source, PEM_MAX)?;
        let anchor = parse(&pem, site, source)?;
        let fingerprint = anchor.fingerprint().to_string();
        set.insert(anchor).map_err(|error| refused(source, &error.to_string()))?;
        found.push((pem, fingerprint));
    }
    let folder = dir.join(FOLDER);
    DirBuilder::new()
        .mode(0o700)
        .create(&folder)
        .map_err(|error| Failure::new(ErrorCode::StorageUnavailable).context(error.to_string()))?;
    let mut entries = Vec::new();
    let mut fingerprints = Vec::new();
    for (number, (pem, fingerprint)) in (1..).zip(found) {
        let file = format!("{number}.pem");
        files::create(&folder.join(&file), &pem, 0o600)?;
        entries.push(Entry { file, site: site.clone() });
        fingerprints.push(fingerprint);
    }
    files::create(&dir.join(LIST), &strict::to_vec(&entries)?, 0o600)?;
    Ok(fingerprints)
}

/// The anchors of a device.
///
/// # Errors
/// `storage_corrupt` when list and files do not belong together or cannot be read.
pub(crate) fn load(dir: &Path) -> Result<AnchorSet, Failure> {
    let list = dir.join(LIST);
    let damaged = |cause: String| {
        Failure::new(ErrorCode::StorageCorrupt).context(format!("anchors: {cause}"))
    };
    let bytes = files::read(&list, LIST_MAX).map_err(|error| damaged(error.to_text()))?;
    let entries: Vec<Entry> =
        strict::parse(&bytes, bytes.len()).map_err(|error| damaged(error.to_string()))?;
    let mut set = AnchorSet::new();
    for entry in entries {
        if entry.file.contains(['/', '\\']) || entry.file.starts_with('.') {
            return Err(damaged("a file name with a path".to_owned()));
        }
        let path = dir.join(FOLDER).join(&entry.file);
        let pem = files::read(&path, PEM_MAX).map_err(|error| damaged(error.to_text()))?;
        let anchor = parse(&pem, &entry.site, &path).map_err(|error| damaged(error.to_text()))?;
        set.insert(anchor).map_err(|error| damaged(error.to_string()))?;
    }
    Ok(set)
}

fn parse(pem: &[u8], site: &SiteId, source: &Path) -> Result<Anchor, Failure> {
    let chain =
        CertificateChain::from_pem(pem).map_err(|error| refused(source, &error.to_string()))?;
    Anchor::parse(chain.leaf(), site.clone()).map_err(|error| refused(source, &error.to_string()))
}

fn refused(source: &Path, cause: &str) -> Failure {
    Failure::usage("anchor", "must be one CA certificate in PEM form")
        .context(format!("{}: {cause}", source.display()))
        .next("Name the anchor.pem that the station's init has written.")
}
