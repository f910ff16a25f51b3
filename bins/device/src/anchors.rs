//! Anchor store of a device (D8): `anchors/*.pem`, and `anchors.json` with the site of each. They are
//! its only roots of trust, so they are kept as key files are: private, no links. An administrator may
//! import one more while the device runs.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use zmon_cli::{Failure, files};
use zmon_crypto::{Anchor, AnchorSet, CertificateChain};
use zmon_domain::{
    error::{ErrorCode, ErrorReport},
    ids::{SiteId, Thumbprint},
    role::OperatorProof,
};
use zmon_persistence::{PersistenceError, PrivateDir};
use zmon_provisioning::{AnchorImport, CentralStationProvisioningService, ports::AnchorStore};
use zmon_transport::{control::AnchorDesk, device_listener::LiveAnchors};
use zmon_wire::{control::AnchorView, strict, text};

use crate::stored;

const LIST: &str = "anchors.json";
const FOLDER: &str = "anchors";
/// Longest anchor file, in bytes.
const PEM_MAX: usize = 65_536;
/// Longest list of anchors, in bytes.
const LIST_MAX: usize = 65_536;

/// One anchor of the list.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    file: String,
    #[serde(with = "text")]
    site: SiteId,
    /// An administrator has imported it at the device; the others were laid down at imaging.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    imported: bool,
}

/// Reads the anchors of a new device from the files that the command line names.
///
/// # Errors
/// A usage failure for a file that is not one CA certificate.
pub(crate) fn read(sources: &[PathBuf], site: &SiteId) -> Result<Found, Failure> {
    let mut set = AnchorSet::new();
    let mut found = Vec::new();
    for source in sources {
        let refused = |cause: &str| refused(source, cause);
        let pem = files::read("--anchor", source, PEM_MAX)?;
        let anchor = parse(&pem, site).map_err(|cause| refused(&cause))?;
        let fingerprint = anchor.fingerprint().to_string();
        set.insert(anchor).map_err(|error| refused(&error.to_string()))?;
        found.push((pem, fingerprint));
    }
    Ok(Found(found))
}

/// Anchors that were read and not laid down yet: PEM text and fingerprint of each.
pub(crate) struct Found(Vec<(Vec<u8>, String)>);

/// Lays down the anchors of a new device and returns their fingerprints.
///
/// # Errors
/// What the disk says.
pub(crate) fn create(
    dir: &PrivateDir,
    found: Found,
    site: &SiteId,
) -> Result<Vec<String>, Failure> {
    let folder = dir.subdirectory(FOLDER).map_err(stored)?;
    let mut entries = Vec::new();
    let mut fingerprints = Vec::new();
    for (number, (pem, fingerprint)) in (1..).zip(found.0) {
        let file = format!("{number}.pem");
        folder.create_file(&file, &pem).map_err(stored)?;
        entries.push(Entry { file, site: site.clone(), imported: false });
        fingerprints.push(fingerprint);
    }
    dir.create_file(LIST, &strict::to_vec(&entries)?).map_err(stored)?;
    Ok(fingerprints)
}

/// The anchors of a device.
#[derive(Debug)]
pub(crate) struct Anchors {
    pub(crate) set: AnchorSet,
    /// Whether an administrator has imported one at the device.
    pub(crate) imported: bool,
}

/// The anchors of a device.
///
/// # Errors
/// `key_file_mode_too_wide`, `key_file_is_symlink` or `key_store_unavailable` for a file or folder that
/// others can reach or that is not what it must be, `storage_corrupt` when list and files do not belong
/// together or make no sense; each with the path.
pub(crate) fn load(dir: &Path) -> Result<Anchors, Failure> {
    let dir = PrivateDir::open_shared(dir).map_err(stored)?;
    let list = dir.path().join(LIST);
    let entries = entries(&dir)?;
    let folder = dir.existing_subdirectory(FOLDER).map_err(lost)?;
    let imported = entries.iter().any(|entry| entry.imported);
    let mut set = AnchorSet::new();
    for Entry { file, site, .. } in entries {
        if file.contains(['/', '\\']) || file.starts_with('.') {
            return Err(damaged(&list, "a file name with a path"));
        }
        let path = folder.path().join(&file);
        let pem = folder.read_file(&file, PEM_MAX).map_err(lost)?;
        let anchor = parse(&pem, &site).map_err(|cause| damaged(&path, &cause))?;
        set.insert(anchor).map_err(|error| damaged(&path, &error.to_string()))?;
    }
    Ok(Anchors { set, imported })
}

fn entries(dir: &PrivateDir) -> Result<Vec<Entry>, Failure> {
    let bytes = dir.read_file(LIST, LIST_MAX).map_err(lost)?;
    strict::parse(&bytes, LIST_MAX)
        .map_err(|error| damaged(&dir.path().join(LIST), &error.to_string()))
}

/// The anchors of a running device.
pub(crate) struct Files {
    pub(crate) dir: Arc<PrivateDir>,
    /// Those that polls go by.
    pub(crate) live: LiveAnchors,
}

#[async_trait]
impl AnchorStore for Files {
    /// The list decides: a file that it does not name is nothing, and its name is passed over.
    async fn add(&self, anchor: &Anchor) -> Result<(), ErrorReport> {
        let mut entries = entries(&self.dir).map_err(|failure| failure.report())?;
        let folder = self.dir.subdirectory(FOLDER).map_err(report)?;
        let pem = CertificateChain::from_der([anchor.ca_der().to_vec()])
            .map_err(|_| ErrorCode::Internal)?
            .to_pem();
        let mut number = entries.len();
        let file = loop {
            number += 1;
            let file = format!("{number}.pem");
            match folder.create_file(&file, pem.as_bytes()) {
                Ok(()) => break file,
                Err(error) if error.code() == ErrorCode::StateConflict => {}
                Err(error) => return Err(report(error)),
            }
        };
        entries.push(Entry { file, site: anchor.site_id().clone(), imported: true });
        let list = strict::to_vec(&entries).map_err(|_| ErrorCode::Internal)?;
        self.dir.replace_file(LIST, &list).map_err(report)?;
        self.live.add(anchor.ca_der().to_vec());
        Ok(())
    }
}

/// Anchors at the control socket.
pub(crate) struct Desk {
    pub(crate) files: Arc<Files>,
    pub(crate) service: Arc<CentralStationProvisioningService>,
}

#[async_trait]
impl AnchorDesk for Desk {
    async fn list(&self) -> Result<Vec<AnchorView>, ErrorReport> {
        let anchors = load(self.files.dir.path()).map_err(|failure| failure.report())?;
        let view = |anchor: &Anchor| AnchorView {
            fingerprint: anchor.fingerprint(),
            site: anchor.site_id().clone(),
            not_after: anchor.validity().not_after(),
        };
        Ok(anchors.set.iter().map(view).collect())
    }

    async fn import(
        &self,
        proof: OperatorProof,
        certificate: &[u8],
        site: SiteId,
        fingerprint: Thumbprint,
    ) -> Result<(), ErrorReport> {
        let import = AnchorImport { certificate: certificate.to_vec(), site, fingerprint };
        let store = Arc::clone(&self.files) as Arc<dyn AnchorStore>;
        self.service.import_anchor(proof, import, store).await
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used as `map_err(report)`")]
fn report(error: PersistenceError) -> ErrorReport {
    tracing::warn!(error = %error.describe(), "the anchor is not kept");
    error.code().into()
}

/// The one certificate of a file. Further ones would be trusted by whoever laid them down, and by no
/// device: they refuse the whole.
fn parse(pem: &[u8], site: &SiteId) -> Result<Anchor, String> {
    let chain = CertificateChain::from_pem(pem).map_err(|error| error.to_string())?;
    if !chain.issuers().is_empty() {
        return Err("more than one certificate".to_owned());
    }
    Anchor::parse(chain.leaf(), site.clone()).map_err(|error| error.to_string())
}

/// A device without its anchors has been initialised, and is damaged.
fn lost(error: PersistenceError) -> Failure {
    if error.code() == ErrorCode::NotInitialised {
        return Failure::new(ErrorCode::StorageCorrupt).context(error.describe());
    }
    stored(error)
}

fn damaged(path: &Path, cause: &str) -> Failure {
    Failure::new(ErrorCode::StorageCorrupt).context(format!("{}: {cause}", path.display()))
}

fn refused(source: &Path, cause: &str) -> Failure {
    Failure::usage("--anchor", "must be one CA certificate in PEM form")
        .context(format!("{}: {cause}", source.display()))
        .next("Name the anchor.pem that the station's init has written.")
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    const PEM: &[u8] = include_bytes!("../tests/anchor.pem");

    fn site() -> SiteId {
        SiteId::parse("st-mary").unwrap()
    }

    struct Home(tempfile::TempDir);

    impl Home {
        /// The directory of a device that holds one anchor, and nothing else.
        fn new() -> Self {
            let home = Self(tempfile::tempdir().unwrap());
            let source = home.0.path().join("source.pem");
            fs::write(&source, PEM).unwrap();
            let found = read(&[source], &site()).unwrap();
            let dir = PrivateDir::create(&home.dir()).unwrap();
            assert_eq!(create(&dir, found, &site()).unwrap().len(), 1);
            home
        }

        fn dir(&self) -> PathBuf {
            self.0.path().join("bed-7")
        }

        fn file(&self, name: &str) -> PathBuf {
            self.dir().join(name)
        }

        fn code(&self) -> ErrorCode {
            let failure = load(&self.dir()).unwrap_err();
            assert!(failure.to_text().contains("cause:"), "it names the file");
            failure.code()
        }

        fn code_with_list(&self, list: &[u8]) -> ErrorCode {
            fs::write(self.file(LIST), list).unwrap();
            self.code()
        }
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_was_laid_down_is_trusted_again() {
        let home = Home::new();
        let anchors = load(&home.dir()).unwrap();
        assert_eq!((anchors.set.len(), anchors.imported), (1, false));
        set_mode(&home.file(LIST), 0o400);
        assert!(load(&home.dir()).is_ok());
    }

    #[test]
    fn a_store_that_others_can_reach_is_not_trusted() {
        let cases =
            [(LIST, 0o640), (LIST, 0o602), ("anchors/1.pem", 0o644), ("anchors/1.pem", 0o620)];
        for (name, mode) in cases {
            let home = Home::new();
            set_mode(&home.file(name), mode);
            assert_eq!(home.code(), ErrorCode::KeyFileModeTooWide, "{name} {mode:o}");
        }
        for mode in [0o755, 0o710, 0o722] {
            let home = Home::new();
            set_mode(&home.file(FOLDER), mode);
            assert_eq!(home.code(), ErrorCode::KeyFileModeTooWide, "folder {mode:o}");
        }
    }

    #[test]
    fn links_and_what_is_no_file_are_not_followed() {
        for name in [LIST, "anchors/1.pem", FOLDER] {
            let home = Home::new();
            let (path, elsewhere) = (home.file(name), home.0.path().join("elsewhere"));
            fs::rename(&path, &elsewhere).unwrap();
            assert_eq!(home.code(), ErrorCode::StorageCorrupt, "{name}: absent");
            std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
            assert_eq!(home.code(), ErrorCode::KeyFileIsSymlink, "{name}");
            if name != FOLDER {
                fs::remove_file(&path).unwrap();
                fs::hard_link(&elsewhere, &path).unwrap();
                assert_eq!(home.code(), ErrorCode::KeyStoreUnavailable, "{name}: a second name");
                fs::remove_file(&path).unwrap();
                fs::create_dir(&path).unwrap();
                assert_eq!(home.code(), ErrorCode::KeyStoreUnavailable, "{name}: a folder");
            }
        }
    }

    #[test]
    fn a_list_that_makes_no_sense_is_damage() {
        let home = Home::new();
        let whole = fs::read(home.file(LIST)).unwrap();
        for length in 0..whole.len() {
            assert_eq!(
                home.code_with_list(&whole[..length]),
                ErrorCode::StorageCorrupt,
                "{length}"
            );
        }
        let lists: [&[u8]; 12] = [
            br#"[{"file":"1.pem","file":"1.pem","site":"st-mary"}]"#,
            br#"[{"file":"1.pem","site":"st-mary","more":1}]"#,
            br#"[{"file":"1.pem"}]"#,
            br#"[{"file":1,"site":"st-mary"}]"#,
            br#"[{"file":"1.pem","site":""}]"#,
            br#"{"file":"1.pem","site":"st-mary"}"#,
            b"[{\"file\":\"1.pem\",\"site\":\"\xff\"}]",
            br#"[{"file":"../1.pem","site":"st-mary"}]"#,
            br#"[{"file":"/etc/passwd","site":"st-mary"}]"#,
            br#"[{"file":"..","site":"st-mary"}]"#,
            br#"[{"file":"1.pem","site":"st-mary"},{"file":"1.pem","site":"st-mary"}]"#,
            br#"[{"file":"2.pem","site":"st-mary"}]"#,
        ];
        for list in lists {
            let shown = String::from_utf8_lossy(list);
            assert_eq!(home.code_with_list(list), ErrorCode::StorageCorrupt, "{shown}");
        }
        assert_eq!(home.code_with_list(&vec![b' '; LIST_MAX + 1]), ErrorCode::StorageCorrupt);
        fs::write(home.file(LIST), whole).unwrap();
        assert!(load(&home.dir()).is_ok());
    }

    #[test]
    fn a_certificate_that_is_cut_off_or_not_alone_is_damage() {
        let home = Home::new();
        let path = home.file("anchors/1.pem");
        let end = PEM.len() - b"-----END CERTIFICATE-----\n".len();
        let cut = [&PEM[..0], &PEM[..40], &PEM[..end], b"\xff\xfe", b"no certificate"];
        for pem in cut.into_iter().chain([&[PEM, PEM].concat()[..], &[b'a'; PEM_MAX + 1]]) {
            fs::write(&path, pem).unwrap();
            assert_eq!(home.code(), ErrorCode::StorageCorrupt, "{} bytes", pem.len());
        }
    }

    /// A device made without an anchor, with one imported; a file of a crashed import lies in the way.
    #[tokio::test]
    async fn an_imported_anchor_is_there_after_a_start_and_a_crashed_import_is_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("bed-7");
        let dir = Arc::new(PrivateDir::create(&path).unwrap());
        create(&dir, Found(Vec::new()), &site()).unwrap();
        dir.subdirectory(FOLDER).unwrap().create_file("1.pem", b"half a file").unwrap();
        assert!(load(&path).unwrap().set.is_empty());
        let files = Files { dir, live: LiveAnchors::default() };
        let anchor = parse(PEM, &site()).unwrap();
        files.add(&anchor).await.unwrap();
        let anchors = load(&path).unwrap();
        assert!(anchors.imported);
        let kept = anchors.set.iter().next().unwrap();
        assert_eq!((kept.ca_der(), kept.site_id()), (anchor.ca_der(), &site()));
    }

    #[test]
    fn init_takes_one_certificate_a_file() {
        let home = tempfile::tempdir().unwrap();
        let source = home.path().join("chain.pem");
        for text in [&[PEM, PEM].concat()[..], b"", b"no certificate", &PEM[..100]] {
            fs::write(&source, text).unwrap();
            let Err(refused) = read(core::slice::from_ref(&source), &site()) else {
                panic!("taken")
            };
            assert_eq!(refused.report().detail.unwrap().field(), "--anchor");
        }
    }
}
