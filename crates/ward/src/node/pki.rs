//! The hospital's certificates, and what a handshake with them proves.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zmon_crypto::x509::{
    self, Anchor, AnchorSet, CertificateChain, ClientExpectation, ValidityWindow,
};
use zmon_crypto::{Algorithms, IdentityKey, IdentityPublic, SoftIdentity, sha256};
use zmon_domain::address::ServerUrl;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{Serial, SiteId, StationId, StationName, Thumbprint};
use zmon_domain::time::UnixTime;
use zmon_protocol::device::{LinkCredentials, LinkError};
use zmon_station::ca::{CaMaterial, CaParams, CaParts, ServerName};
use zmon_station::{ServerParameters, StationProfile};

use crate::clock::START;
use crate::lock;

/// The authorities of the hospital and of somebody who would like to be it: made once, a set costs
/// five key pairs.
static HONEST: LazyLock<Option<CaParts>> = LazyLock::new(|| make(1));
static ROGUE: LazyLock<Option<CaParts>> = LazyLock::new(|| make(2));

fn make(seed: u64) -> Option<CaParts> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let at = UnixTime::from_unix(START)?;
    CaMaterial::generate(&params()?, &mut rng, at).ok()?.to_parts().ok()
}

fn params() -> Option<CaParams> {
    Some(CaParams::new(
        StationId::parse("cs-1").ok()?,
        StationName::parse("Ward 3 Central").ok()?,
        SiteId::parse("st-mary").ok()?,
        vec![ServerName::parse("monitoring.hospital.com").ok()?],
    ))
}

/// A station's keys, and what devices know of them.
pub(crate) struct Pki {
    /// The keys.
    pub(crate) ca: CaMaterial,
    anchors: AnchorSet,
    server: Thumbprint,
    server_validity: ValidityWindow,
    clients: CertificateChain,
    /// Chains that were validated, by their bytes: a certificate does not change.
    validated: Mutex<BTreeMap<[u8; 32], Client>>,
}

/// What a client's chain says.
#[derive(Debug, Clone)]
struct Client {
    serial: Serial,
    validity: ValidityWindow,
}

impl Pki {
    /// The hospital's station.
    #[must_use]
    pub(crate) fn honest() -> Option<Self> {
        Self::of(HONEST.as_ref()?)
    }

    /// A station of the same names whose certificates lead to another anchor.
    #[must_use]
    pub(crate) fn rogue() -> Option<Self> {
        Self::of(ROGUE.as_ref()?)
    }

    fn of(parts: &CaParts) -> Option<Self> {
        let ca = CaMaterial::from_parts(parts).ok()?;
        let anchor = Anchor::parse(ca.anchor_der(), params()?.site_id).ok()?;
        let server = ca.server_chain().first()?.clone();
        Some(Self {
            anchors: AnchorSet::from_anchors([anchor]).ok()?,
            server: x509::spki_thumbprint(&server).ok()?,
            server_validity: x509::validity_of(&server).ok()?,
            clients: CertificateChain::from_der([ca.client_ca_der().to_vec()]).ok()?,
            validated: Mutex::default(),
            ca,
        })
    }

    /// What devices are given at imaging.
    #[must_use]
    pub(crate) fn anchors(&self) -> AnchorSet {
        self.anchors.clone()
    }

    /// Who the station is.
    #[must_use]
    pub(crate) fn profile(&self) -> Option<StationProfile> {
        let CaParams { station_id, station_name, site_id, .. } = params()?;
        let server = ServerParameters {
            url: ServerUrl::parse("https://monitoring.hospital.com:8443").ok()?,
            ca_certificate: self.ca.anchor_pem().ok()?,
            server_certificate: Some(self.ca.server_certificate_pem().ok()?),
        };
        Some(StationProfile { station_id, station_name, site_id, server })
    }

    /// The device's side of a handshake: chain, pin and time of the server.
    ///
    /// # Errors
    /// As the link adapter says it.
    pub(crate) fn greet(
        &self,
        ca: &[Vec<u8>],
        pin: Option<Thumbprint>,
        at: Option<UnixTime>,
    ) -> Result<(), LinkError> {
        // Without any idea of the time there is no handshake.
        let at = at.ok_or(LinkError::Network(ErrorCode::NetworkError))?;
        if !ca.iter().any(|der| der == self.ca.anchor_der()) {
            return Err(LinkError::Certificate(ErrorCode::ServerUntrusted));
        }
        let expired = LinkError::Certificate(ErrorCode::ServerCertificateExpired);
        self.server_validity.check(at).map_err(|_| expired)?;
        match pin {
            Some(pin) if pin != self.server => {
                Err(LinkError::Certificate(ErrorCode::ServerPinMismatch))
            }
            _ => Ok(()),
        }
    }

    /// The station's side: the client's chain and key. The revocation list is left out on purpose:
    /// what a TLS layer may have missed, the look at each request must not.
    ///
    /// # Errors
    /// As the link adapter says it.
    pub(crate) fn admit(&self, credentials: &LinkCredentials) -> Result<Serial, LinkError> {
        let client = self.validated(credentials);
        let client = client.ok_or(LinkError::Certificate(ErrorCode::ClientCertificateInvalid))?;
        Ok(client.serial)
    }

    /// Whether a client's certificate is valid at this time: asked at a handshake only.
    ///
    /// # Errors
    /// As the link adapter says it.
    pub(crate) fn in_time(
        &self,
        credentials: &LinkCredentials,
        at: Option<UnixTime>,
    ) -> Result<(), LinkError> {
        let at = at.ok_or(LinkError::Network(ErrorCode::NetworkError))?;
        let expired = LinkError::Certificate(ErrorCode::CertificateExpired);
        let client = self.validated(credentials).ok_or(expired)?;
        client.validity.check(at).map_err(|_| expired)
    }

    fn validated(&self, credentials: &LinkCredentials) -> Option<Client> {
        let name = sha256(&credentials.client_chain.concat());
        if let Some(known) = lock(&self.validated).get(&name) {
            return Some(known.clone());
        }
        let chain = CertificateChain::from_der(credentials.client_chain.clone()).ok()?;
        let key = IdentityPublic::parse(&x509::spki_of(chain.leaf()).ok()?).ok()?;
        let own = SoftIdentity::from_pkcs8(credentials.client_key.expose()).ok()?;
        if own.public().spki_der() != key.spki_der() {
            return None;
        }
        let expected = ClientExpectation {
            device_id: &credentials.device_id,
            public_key: &key,
            anchors: &self.anchors,
            trust: x509::trust_level_of(chain.leaf()).ok()??,
        };
        let algorithms = Algorithms::rustcrypto();
        let verified =
            x509::verify_client_chain(&chain, &self.clients, &expected, None, &algorithms).ok()?;
        let client = Client {
            serial: *verified.serial(),
            validity: ValidityWindow::new(verified.not_before(), verified.not_after()),
        };
        lock(&self.validated).insert(name, client.clone());
        Some(client)
    }
}
