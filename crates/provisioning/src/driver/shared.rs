//! What the driver writes and the service reads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use zmon_domain::error::ErrorReport;
use zmon_domain::settings::DeviceSettings;

use super::ledger::CodeLedger;
use super::outcome::Candidates;
use crate::ports::ManualSettings;
use crate::service::{CertificateView, EventHub, ServiceView};

/// A manual configuration, none, or why there is one that cannot be used.
pub(crate) type Manual = Result<Option<ManualSettings>, ErrorReport>;

/// Cheap to clone; every clone sees the same device.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) hub: EventHub,
    pub(crate) view: watch::Sender<ServiceView>,
    pub(crate) settings: watch::Sender<Option<DeviceSettings>>,
    pub(crate) candidates: Candidates,
    manual: Arc<Mutex<Manual>>,
    ledger: Arc<Mutex<CodeLedger>>,
}

impl Shared {
    pub(crate) fn new(view: ServiceView, ledger: CodeLedger) -> Self {
        Self {
            hub: EventHub::new(view.status),
            settings: watch::Sender::new(view.settings.clone()),
            view: watch::Sender::new(view),
            candidates: Candidates::default(),
            manual: Arc::new(Mutex::new(Ok(None))),
            ledger: Arc::new(Mutex::new(ledger)),
        }
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, CodeLedger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was last found of a manual configuration.
    pub(crate) fn manual(&self) -> Manual {
        self.manual.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps what was found.
    pub(crate) fn found_manual(&self, found: Manual) {
        *self.manual.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    /// It is gone, if `gone`.
    pub(super) fn forget_manual(&self, gone: bool) {
        if gone {
            self.found_manual(Ok(None));
        }
    }

    /// Shows `view`; settings first, so that who sees "provisioned" finds them.
    pub(crate) fn show(&self, view: ServiceView) {
        self.settings.send_if_modified(|settings| {
            let changed = *settings != view.settings;
            settings.clone_from(&view.settings);
            changed
        });
        self.view.send_replace(view);
    }

    /// Shows the active certificate, once the link has it.
    pub(super) fn show_certificate(&self, certificate: Option<CertificateView>) {
        self.view.send_if_modified(|view| {
            let changed = view.certificate != certificate;
            view.certificate = certificate;
            changed
        });
    }
}
