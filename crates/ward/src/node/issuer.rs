//! The station's issuer, with a ledger of what it has signed.

use async_trait::async_trait;
use zmon_domain::ids::Serial;
use zmon_station::ca::EmbeddedCa;
use zmon_station::ports::{
    CertificateIssuer, ClientCertificateOrder, CrlOrder, IssueError, IssuedCertificate,
};

use crate::life::Life;
use crate::watch::Watch;

/// The embedded authority, watched.
pub(super) struct Issuer {
    pub(super) ca: EmbeddedCa,
    pub(super) life: Life,
    /// None for a station that nobody watches.
    pub(super) watch: Option<Watch>,
    /// The planted bug.
    pub(super) twice: bool,
}

/// Another serial number.
fn another(serial: &Serial) -> Serial {
    let mut bytes = serial.as_bytes().to_vec();
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    Serial::from_bytes(&bytes).unwrap_or(*serial)
}

#[async_trait]
impl CertificateIssuer for Issuer {
    async fn issue(&self, order: &ClientCertificateOrder) -> Result<IssuedCertificate, IssueError> {
        self.life.go_on().await;
        if let Some(watch) = &self.watch {
            watch.issued(&order.spki, order.serial);
            if self.twice {
                watch.issued(&order.spki, another(&order.serial));
            }
        }
        self.ca.issue(order).await
    }

    async fn revocation_list(&self, order: &CrlOrder) -> Result<Vec<u8>, IssueError> {
        self.life.go_on().await;
        self.ca.revocation_list(order).await
    }

    fn authorities(&self) -> Vec<Vec<u8>> {
        self.ca.authorities()
    }
}
