//! Patients' data as a folder of the device directory.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_provisioning::ports::ClinicalData;

use crate::error::{PersistenceError, Result};
use crate::fs::PrivateDir;

/// Where the monitor keeps patients' data. Nothing else of provisioning writes or reads there.
pub const CLINICAL_FOLDER: &str = "clinical";

/// The folder `clinical/`: made if it is absent, emptied by a factory reset alone ([W §8]).
pub struct ClinicalFolder {
    folder: Arc<PrivateDir>,
    /// Keeps the lock of the directory above for as long as the folder is in use.
    _parent: Arc<PrivateDir>,
}

impl ClinicalFolder {
    /// Opens the folder of a device.
    ///
    /// # Errors
    /// The file errors of [`PrivateDir::open`].
    pub fn open(parent: Arc<PrivateDir>) -> Result<Self> {
        Ok(Self { folder: Arc::new(parent.subdirectory(CLINICAL_FOLDER)?), _parent: parent })
    }
}

#[async_trait]
impl ClinicalData for ClinicalFolder {
    async fn erase(&self) -> Result<(), ErrorReport> {
        let folder = Arc::clone(&self.folder);
        let erased = tokio::task::spawn_blocking(move || folder.destroy_all()).await;
        let erased = erased.map_err(|error| {
            PersistenceError::caused_by(ErrorCode::Internal, "erasing did not end", error)
        })?;
        Ok(erased?)
    }
}

impl fmt::Debug for ClinicalFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClinicalFolder")
    }
}
