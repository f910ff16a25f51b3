//! What the driver writes and the service reads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use zmon_domain::settings::DeviceSettings;

use super::ledger::CodeLedger;
use super::outcome::Candidates;
use crate::service::{CertificateView, EventHub, ServiceView};

/// Cheap to clone; every clone sees the same device.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) hub: EventHub,
    pub(crate) view: watch::Sender<ServiceView>,
    pub(crate) settings: watch::Sender<Option<DeviceSettings>>,
    pub(crate) candidates: Candidates,
    ledger: Arc<Mutex<CodeLedger>>,
}

impl Shared {
    pub(crate) fn new(view: ServiceView, ledger: CodeLedger) -> Self {
        Self {
            hub: EventHub::new(view.status),
            settings: watch::Sender::new(view.settings.clone()),
            view: watch::Sender::new(view),
            candidates: Candidates::default(),
            ledger: Arc::new(Mutex::new(ledger)),
        }
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, CodeLedger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
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
