//! What lies on the device beside its configuration: patients' data, operators, a manual configuration.

use std::sync::Arc;

use async_trait::async_trait;
use zmon_domain::address::ServerUrl;
use zmon_domain::error::ErrorReport;
use zmon_domain::settings::DeviceSettings;

/// Patients' data: trends, alarms, whatever the monitor keeps of people ([W §8] "Preserve Data").
///
/// There is one method on purpose: provisioning never reads, moves or writes this data, and only a
/// factory reset ends it. **A false "erased"** leaves a patient's data on a device that goes to
/// another ward. It is called again after a power cut, so it must be idempotent.
#[async_trait]
pub trait ClinicalData: Send + Sync {
    /// Erases all of it; durable when this returns.
    async fn erase(&self) -> Result<(), ErrorReport>;
}

/// The operators of the device, as far as a factory reset goes (D21, D22).
#[async_trait]
pub trait LocalOperators: Send + Sync {
    /// Forgets every operator; durable when this returns. From then on the device offers only to
    /// make an administrator. Idempotent.
    async fn forget_all(&self) -> Result<(), ErrorReport>;
}

/// A configuration that was laid down by hand ([W §14], `docs/MIGRATION.md`).
///
/// **A false "removed"** leaves a client key in the open. **Removing early** cuts a monitor off: the
/// driver asks for it only after a heartbeat over the new certificate was answered.
#[async_trait]
pub trait ManualConfiguration: Send + Sync {
    /// What is there, whole and valid; `None` without one.
    ///
    /// Errors: `manual_configuration_invalid` naming the file and the rule, `key_file_mode_too_wide`,
    /// `key_file_is_symlink`.
    async fn find(&self) -> Result<Option<ManualSettings>, ErrorReport>;

    /// Removes it: every file overwritten and unlinked, the key first; durable when this returns.
    /// Idempotent.
    async fn remove(&self) -> Result<(), ErrorReport>;
}

/// What a manual configuration says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ManualSettings {
    /// Where the device connects.
    pub server_url: ServerUrl,
    /// Label, bed, unit, language, interval: in force until a signed configuration replaces them.
    pub settings: DeviceSettings,
}

impl ManualSettings {
    /// A configuration.
    #[must_use]
    pub const fn new(server_url: ServerUrl, settings: DeviceSettings) -> Self {
        Self { server_url, settings }
    }
}

/// The three together.
#[derive(Clone)]
pub struct LocalData {
    /// Patients' data.
    pub clinical: Arc<dyn ClinicalData>,
    /// Operators.
    pub operators: Arc<dyn LocalOperators>,
    /// A manual configuration.
    pub manual: Arc<dyn ManualConfiguration>,
}

impl LocalData {
    /// For a device that keeps none of them.
    #[must_use]
    pub fn none() -> Self {
        Self {
            clinical: Arc::new(Nothing),
            operators: Arc::new(Nothing),
            manual: Arc::new(Nothing),
        }
    }

    /// Everything a factory reset erases outside the database, in the order of what it costs to lose
    /// the power in between: keys, patients, operators.
    pub(crate) async fn erase(&self) -> Result<(), ErrorReport> {
        self.manual.remove().await?;
        self.clinical.erase().await?;
        self.operators.forget_all().await
    }
}

struct Nothing;

#[async_trait]
impl ClinicalData for Nothing {
    async fn erase(&self) -> Result<(), ErrorReport> {
        Ok(())
    }
}

#[async_trait]
impl LocalOperators for Nothing {
    async fn forget_all(&self) -> Result<(), ErrorReport> {
        Ok(())
    }
}

#[async_trait]
impl ManualConfiguration for Nothing {
    async fn find(&self) -> Result<Option<ManualSettings>, ErrorReport> {
        Ok(None)
    }

    async fn remove(&self) -> Result<(), ErrorReport> {
        Ok(())
    }
}
