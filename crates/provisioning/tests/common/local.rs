//! Clinical data, operators and a manual configuration in memory.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_provisioning::ports::{
    ClinicalData, LocalData, LocalOperators, ManualConfiguration, ManualSettings,
};

/// What lies on the device, and what happens to it.
pub(crate) struct MemoryLocal {
    pub(crate) clinical: Mutex<bool>,
    pub(crate) operators: Mutex<bool>,
    pub(crate) manual: Mutex<Result<Option<ManualSettings>, ErrorReport>>,
    /// Next erasures that fail.
    pub(crate) failures: Mutex<usize>,
}

impl Default for MemoryLocal {
    fn default() -> Self {
        Self {
            clinical: Mutex::new(true),
            operators: Mutex::new(true),
            manual: Mutex::new(Ok(None)),
            failures: Mutex::default(),
        }
    }
}

impl MemoryLocal {
    pub(crate) fn parts(self: &Arc<Self>) -> LocalData {
        LocalData { clinical: self.clone(), operators: self.clone(), manual: self.clone() }
    }

    /// Clinical data, operators, manual configuration: what is there.
    pub(crate) fn there(&self) -> (bool, bool, bool) {
        let manual = matches!(*self.manual.lock().unwrap(), Ok(Some(_)) | Err(_));
        (*self.clinical.lock().unwrap(), *self.operators.lock().unwrap(), manual)
    }

    fn luck(&self) -> Result<(), ErrorReport> {
        let mut failures = self.failures.lock().unwrap();
        match failures.checked_sub(1) {
            Some(left) => {
                *failures = left;
                Err(ErrorCode::StorageUnavailable.into())
            }
            None => Ok(()),
        }
    }
}

#[async_trait]
impl ClinicalData for MemoryLocal {
    async fn erase(&self) -> Result<(), ErrorReport> {
        self.luck()?;
        *self.clinical.lock().unwrap() = false;
        Ok(())
    }
}

#[async_trait]
impl LocalOperators for MemoryLocal {
    async fn forget_all(&self) -> Result<(), ErrorReport> {
        self.luck()?;
        *self.operators.lock().unwrap() = false;
        Ok(())
    }
}

#[async_trait]
impl ManualConfiguration for MemoryLocal {
    async fn find(&self) -> Result<Option<ManualSettings>, ErrorReport> {
        self.manual.lock().unwrap().clone()
    }

    async fn remove(&self) -> Result<(), ErrorReport> {
        self.luck()?;
        *self.manual.lock().unwrap() = Ok(None);
        Ok(())
    }
}
