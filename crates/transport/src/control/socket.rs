//! Creating the control socket so that only its owner can ever reach it.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// Why the control socket could not be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// Another process answers on this path.
    #[error("another process serves {}", .0.display())]
    InUse(PathBuf),
    /// The path holds something that is no socket; it is not touched.
    #[error("{} exists and is no socket", .0.display())]
    NotASocket(PathBuf),
    /// The operating system refused.
    #[error("cannot create the control socket: {0}")]
    Io(#[from] io::Error),
}

/// The socket's file; removed when dropped, unless another one has taken its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
    owner: u32,
}

impl SocketFile {
    /// The user who may talk to the socket (and root, whom modes do not bind).
    pub(super) fn admits(&self, user: u32) -> bool {
        user == self.owner || user == 0
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|now| identity(&now) == self.inode);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, "control socket not removed");
        }
    }
}

/// Creates the socket with mode 0600.
///
/// It is made inside a new directory of mode 0700, narrowed there and then renamed into place: the
/// path never names a socket that others can open, whatever the umask. A dead socket at the path is
/// replaced, a live one and anything else refuse.
pub(super) fn create(path: &Path) -> Result<(UnixListener, SocketFile), SocketError> {
    refuse_occupied(path)?;
    let nursery = Nursery::beside(path)?;
    let born = nursery.socket();
    let listener = UnixListener::bind(&born)?;
    fs::set_permissions(&born, Permissions::from_mode(0o600))?;
    fs::rename(&born, path)?;
    let made = fs::symlink_metadata(path)?;
    let file = SocketFile { path: path.to_owned(), inode: identity(&made), owner: made.uid() };
    Ok((listener, file))
}

fn refuse_occupied(path: &Path) -> Result<(), SocketError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if !found.file_type().is_socket() {
        return Err(SocketError::NotASocket(path.to_owned()));
    }
    match BlockingStream::connect(path) {
        Ok(_alive) => Err(SocketError::InUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// A private directory for the moment between `bind` and `rename`; removed when dropped. Its name
/// is shorter than the socket's own: socket paths may be 107 bytes long, no more.
struct Nursery(PathBuf);

impl Nursery {
    fn beside(path: &Path) -> io::Result<Self> {
        let nursery = Self(path.with_file_name(format!(".{}", std::process::id())));
        match nursery.make() {
            // A process of this number was killed in that moment.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                nursery.clear();
                nursery.make()?;
            }
            made => made?,
        }
        Ok(nursery)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("s")
    }

    fn make(&self) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(&self.0)
    }

    fn clear(&self) {
        for removed in [fs::remove_file(self.socket()), fs::remove_dir(&self.0)] {
            if let Err(error) = removed
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, "temporary directory of the control socket not removed");
            }
        }
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        self.clear();
    }
}
