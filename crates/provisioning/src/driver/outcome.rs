//! How a session ends, for whoever waits for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{oneshot, watch};
use zmon_domain::ids::SessionId;
use zmon_domain::time::UnixTime;
use zmon_protocol::device::LinkCredentials;

use crate::link::not_after;
use crate::service::{CertificateView, ProvisioningResult, ServiceView, VerifiedConfiguration};

/// The session under way, and who waits for its end. Dropping it tells them that it was cancelled.
#[derive(Default)]
pub(super) struct Waiting {
    session: Option<SessionId>,
    configuration_hash: Option<[u8; 32]>,
    result: watch::Sender<Option<ProvisioningResult>>,
    deliveries: Vec<oneshot::Sender<String>>,
}

impl Waiting {
    /// Evidence of the configuration that this session accepted.
    pub(super) fn accepted(&self) -> Option<VerifiedConfiguration> {
        let (session, hash) = self.session.zip(self.configuration_hash)?;
        Some(VerifiedConfiguration::new(session, hash, self.result.subscribe()))
    }

    /// Registers one more delivery of the session under way.
    pub(super) fn deliver(&mut self) -> oneshot::Receiver<String> {
        let (sender, receiver) = oneshot::channel();
        self.deliveries.push(sender);
        receiver
    }

    /// Completes the deliveries of `session` with its signed status.
    pub(super) fn answer(&mut self, session: SessionId, status: &str) {
        if self.session == Some(session) {
            for delivery in self.deliveries.drain(..) {
                // A station that hung up asks for the outcome later.
                drop(delivery.send(String::from(status)));
            }
        }
    }

    /// A configuration was found genuine.
    pub(super) fn received(&mut self, configuration_hash: [u8; 32]) {
        self.configuration_hash = Some(configuration_hash);
    }

    /// The session under way ended with `result`.
    pub(super) fn ended(&mut self, result: &ProvisioningResult) {
        self.result.send_replace(Some(result.clone()));
    }

    /// Follows the machine to its next session; nobody waits for the old one any longer.
    pub(super) fn follow(&mut self, session: Option<SessionId>) {
        if self.session != session {
            *self = Self { session, ..Self::default() };
        }
    }
}

/// Credentials worth testing, shared with the service.
#[derive(Clone, Default)]
pub(crate) struct Candidates(Arc<Mutex<Credentials>>);

#[derive(Default)]
struct Credentials {
    active: Option<LinkCredentials>,
    staged: Option<LinkCredentials>,
}

impl Candidates {
    /// Those of the newest configuration: one being tested, else the active one.
    pub(crate) fn newest(&self) -> Option<LinkCredentials> {
        let credentials = self.lock();
        credentials.staged.clone().or_else(|| credentials.active.clone())
    }

    pub(super) fn stage(&self, staged: Option<LinkCredentials>) {
        self.lock().staged = staged;
    }

    /// The active client certificate.
    pub(super) fn certificate(&self) -> Option<CertificateView> {
        self.lock().active.as_ref().map(|active| CertificateView::new(not_after(active)))
    }

    pub(super) fn activate(&self, active: Option<LinkCredentials>) {
        *self.lock() = Credentials { active, staged: None };
    }

    fn lock(&self) -> MutexGuard<'_, Credentials> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When the code on the screen dies.
pub(super) fn expiry(view: &ServiceView) -> Option<UnixTime> {
    Some(view.pairing.as_ref()?.qr.as_ref()?.expires_at)
}
