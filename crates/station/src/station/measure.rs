//! Figures for whoever watches the station.

use prometheus_client::registry::Registry;
use zmon_crypto::x509;
use zmon_domain::role::{Action, OperatorProof};
use zmon_domain::time::UnixTime;

use super::Station;
use crate::error::StationError;
use crate::metrics::Standing;
use crate::ports::CertificateState;

/// States whose certificates are counted; with every renewal the others only grow.
const COUNTED: [CertificateState; 2] = [CertificateState::Pending, CertificateState::Current];

impl Station {
    /// Whether an operator may read figures.
    ///
    /// # Errors
    /// `not_permitted`, storage errors.
    pub async fn may_measure(&self, proof: &OperatorProof) -> Result<(), StationError> {
        self.authorise(proof, Action::ReadRegistry, &self.now()).await.map(drop)
    }

    /// Puts the station's figures into `registry`: counts of this run, and how it stands now. They
    /// name no device and no operator.
    ///
    /// # Errors
    /// Storage errors.
    pub async fn measure(&self, registry: &mut Registry) -> Result<(), StationError> {
        let now = self.now();
        let store = &self.parts.store;
        let interval = self.parts.policy.defaults.sync_interval;
        let open = store.open_sessions().await?;
        let mut certificates = Vec::new();
        for state in COUNTED {
            certificates.push((state.as_str(), store.count_certificates(state).await?));
        }
        let standing = Standing {
            open_sessions: open.iter().filter(|row| !row.phase.is_final()).count() as u64,
            links_alive: self.links().alive(interval.as_duration(), now.mono),
            certificates,
            ends: self.own_certificates(),
            crl: self.crl.borrow().as_deref().map(Standing::crl),
            junk_refused: self.junk().total(),
        };
        self.metrics.register(registry);
        standing.register(registry);
        Ok(())
    }

    /// The certificates that a station must renew in time, and their ends.
    fn own_certificates(&self) -> Vec<(&'static str, UnixTime)> {
        let signing = self.parts.signer.chain.first().cloned();
        let authority = self.parts.issuer.authorities().into_iter().next();
        [("configuration_signing", signing), ("client_ca", authority)]
            .into_iter()
            .filter_map(|(name, der)| Some((name, x509::validity_of(&der?).ok()?.not_after())))
            .collect()
    }
}
