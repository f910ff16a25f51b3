//! All keys and certificates of a station, as values: made, read, written back, renewed.

use core::time::Duration;
use std::sync::Arc;

use rand_core::CryptoRng;
use zmon_crypto::{IdentityKey, SecretBytes, sha256};
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::ids::Thumbprint;
use zmon_domain::limits;
use zmon_domain::role::Actor;
use zmon_domain::time::UnixTime;

use super::authority::{Authority, AuthorityKey, subject_key};
use super::module::{CaKey, CaModules, ModuleKey};
use super::profile::{self, Validity};
use super::{CaError, CaParams, EmbeddedCa, pem, random_serial};

/// The keys and certificates of a station as text and PKCS#8 bytes, for whoever keeps files.
#[derive(Debug, Clone)]
pub struct CaParts {
    /// The anchor root, PEM: what devices are given at imaging. Public.
    pub anchor_certificate: String,
    /// Its key. Kept apart; needed only to renew the two leaves.
    pub anchor_key: Option<SecretBytes>,
    /// The client CA, PEM. Public.
    pub client_ca_certificate: String,
    /// Its key.
    pub client_ca_key: CaKey,
    /// The configuration-signing leaf, PEM. Public.
    pub signing_certificate: String,
    /// Its key.
    pub signing_key: CaKey,
    /// The TLS server leaf, PEM. Public.
    pub server_certificate: String,
    /// Its key.
    pub server_key: SecretBytes,
    /// The key that signs audit checkpoints.
    pub audit_key: SecretBytes,
}

/// The keys and certificates of a station, checked against each other.
pub struct CaMaterial {
    anchor_certificate: Vec<u8>,
    anchor_key: Option<AuthorityKey>,
    client_ca: Authority,
    signing: Authority,
    server: Authority,
    /// TLS takes the bytes: this key is never in a module.
    server_key: SecretBytes,
    audit_key: AuthorityKey,
}

impl CaMaterial {
    /// Makes everything new. Validity begins a clock skew before `now`.
    ///
    /// # Errors
    /// [`CaError`]
    pub fn generate(
        params: &CaParams,
        rng: &mut dyn CryptoRng,
        now: UnixTime,
    ) -> Result<Self, CaError> {
        Self::generate_with(params, CaModules::default(), rng, now)
    }

    /// The same with keys that were made in a module.
    ///
    /// # Errors
    /// [`CaError`]
    pub fn generate_with(
        params: &CaParams,
        modules: CaModules,
        rng: &mut dyn CryptoRng,
        now: UnixTime,
    ) -> Result<Self, CaError> {
        let name = params.station_name.as_str();
        let decade = starting(now, params.authority_lifetime);
        let anchor = Authority::self_signed(
            AuthorityKey::generate("anchor", rng)?,
            &profile::at_level(
                profile::anchor(name, &params.site_id, &random_serial(rng), decade)?,
                params.level,
            )?,
        )?;
        let client_ca = Authority::self_signed(
            new_key("client CA", modules.client_ca, rng)?,
            &profile::at_level(
                profile::client_ca(name, &random_serial(rng), decade)?,
                params.level,
            )?,
        )?;
        let signing = new_key("signing", modules.signing, rng)?;
        let signing = new_signing(&anchor, signing, params, rng, now)?;
        let server = new_server(&anchor, params, rng, now)?;
        Ok(Self {
            anchor_certificate: anchor.certificate,
            anchor_key: Some(anchor.key),
            client_ca,
            signing,
            server_key: server.key.to_pkcs8("server")?,
            server,
            audit_key: AuthorityKey::generate("audit", rng)?,
        })
    }

    /// Reads what [`CaMaterial::to_parts`] wrote, and checks that keys and certificates belong
    /// together.
    ///
    /// # Errors
    /// [`CaError`], naming the part at fault.
    pub fn from_parts(parts: &CaParts) -> Result<Self, CaError> {
        let authority = |what, certificate: &str, key: &CaKey| {
            Authority::load(what, AuthorityKey::open(what, key)?, pem::decode(what, certificate)?)
        };
        let file = |key: &SecretBytes| CaKey::File(key.clone());
        let anchor_certificate = pem::decode("anchor", &parts.anchor_certificate)?;
        let anchor_key = parts
            .anchor_key
            .as_ref()
            .map(|key| authority("anchor", &parts.anchor_certificate, &file(key)).map(|a| a.key))
            .transpose()?;
        Ok(Self {
            anchor_certificate,
            anchor_key,
            client_ca: authority("client CA", &parts.client_ca_certificate, &parts.client_ca_key)?,
            signing: authority("signing", &parts.signing_certificate, &parts.signing_key)?,
            server: authority("server", &parts.server_certificate, &file(&parts.server_key))?,
            server_key: parts.server_key.clone(),
            audit_key: AuthorityKey::from_pkcs8("audit", &parts.audit_key)?,
        })
    }

    /// Everything as text and PKCS#8 bytes.
    ///
    /// # Errors
    /// [`CaError::Certificate`]
    pub fn to_parts(&self) -> Result<CaParts, CaError> {
        Ok(CaParts {
            anchor_certificate: self.anchor_pem()?,
            anchor_key: self.anchor_key.as_ref().map(|key| key.to_pkcs8("anchor")).transpose()?,
            client_ca_certificate: pem::encode("client CA", &self.client_ca.certificate)?,
            client_ca_key: self.client_ca.key.to_kept(),
            signing_certificate: pem::encode("signing", &self.signing.certificate)?,
            signing_key: self.signing.key.to_kept(),
            server_certificate: self.server_certificate_pem()?,
            server_key: self.server_key(),
            audit_key: self.audit_key.to_pkcs8("audit")?,
        })
    }

    /// What the audit log of a new station begins with: one row per key that was made.
    ///
    /// # Errors
    /// [`CaError::Certificate`]
    pub fn audit_rows(&self) -> Result<Vec<AuditEvent>, CaError> {
        let certificates = [
            ("anchor", &self.anchor_certificate),
            ("client CA", &self.client_ca.certificate),
            ("signing", &self.signing.certificate),
            ("server", &self.server.certificate),
        ];
        let mut keys = Vec::new();
        for (what, certificate) in certificates {
            let spki = subject_key(what, certificate)?;
            keys.push((what, Thumbprint::from_bytes(sha256(&spki))));
        }
        keys.push(("audit", self.audit_key.to_signer("audit")?.public().thumbprint()));
        let row = |(what, thumbprint)| {
            AuditEvent::new(EventType::KeyCreated, Actor::System)
                .with("key", what)
                .with("thumbprint", thumbprint)
        };
        Ok(keys.into_iter().map(row).collect())
    }

    /// Forgets the anchor's key, so that a running station does not hold it.
    #[must_use]
    pub fn without_anchor_key(mut self) -> Self {
        self.anchor_key = None;
        self
    }

    /// Replaces the configuration-signing key and certificate; a key in a module stays and gets another
    /// certificate.
    ///
    /// # Errors
    /// [`CaError::AnchorKeyAbsent`] without the anchor's key.
    pub fn renew_signing(
        &mut self,
        params: &CaParams,
        rng: &mut dyn CryptoRng,
        now: UnixTime,
    ) -> Result<(), CaError> {
        let key = match &self.signing.key {
            AuthorityKey::Module(key) => AuthorityKey::Module(Arc::clone(key)),
            AuthorityKey::Held(_) => AuthorityKey::generate("signing", rng)?,
        };
        self.signing = new_signing(&self.anchor()?, key, params, rng, now)?;
        Ok(())
    }

    /// Replaces the TLS server's key and certificate. Devices that pin the old one have to be given
    /// a new configuration.
    ///
    /// # Errors
    /// [`CaError::AnchorKeyAbsent`] without the anchor's key.
    pub fn renew_server(
        &mut self,
        params: &CaParams,
        rng: &mut dyn CryptoRng,
        now: UnixTime,
    ) -> Result<(), CaError> {
        let server = new_server(&self.anchor()?, params, rng, now)?;
        self.server_key = server.key.to_pkcs8("server")?;
        self.server = server;
        Ok(())
    }

    /// The anchor root, PEM: `caCertificate`, and what devices are given at imaging.
    ///
    /// # Errors
    /// [`CaError::Certificate`]
    pub fn anchor_pem(&self) -> Result<String, CaError> {
        pem::encode("anchor", &self.anchor_certificate)
    }

    /// The anchor root, DER.
    #[must_use]
    pub fn anchor_der(&self) -> &[u8] {
        &self.anchor_certificate
    }

    /// The client CA, DER: what the mTLS listener trusts.
    #[must_use]
    pub fn client_ca_der(&self) -> &[u8] {
        &self.client_ca.certificate
    }

    /// The TLS server's leaf, PEM: `serverCertificate`.
    ///
    /// # Errors
    /// [`CaError::Certificate`]
    pub fn server_certificate_pem(&self) -> Result<String, CaError> {
        pem::encode("server", &self.server.certificate)
    }

    /// The TLS server's chain, DER, leaf first.
    #[must_use]
    pub fn server_chain(&self) -> Vec<Vec<u8>> {
        vec![self.server.certificate.clone()]
    }

    /// The TLS server's key, PKCS#8 DER.
    #[must_use]
    pub fn server_key(&self) -> SecretBytes {
        self.server_key.clone()
    }

    /// The configuration signer: [`crate::StationParts::signer`].
    ///
    /// # Errors
    /// [`CaError::Key`]
    pub fn signer(&self) -> Result<crate::ConfigurationSigner, CaError> {
        Ok(crate::ConfigurationSigner {
            key: self.signing.key.to_signer("signing")?,
            chain: vec![self.signing.certificate.clone()],
        })
    }

    /// The audit key, for checkpoints.
    ///
    /// # Errors
    /// [`CaError::Key`]
    pub fn audit_signer(&self) -> Result<Arc<dyn IdentityKey>, CaError> {
        self.audit_key.to_signer("audit")
    }

    /// The issuer of device certificates: [`crate::StationParts::issuer`].
    ///
    /// # Errors
    /// [`CaError::Key`]
    pub fn issuer(&self) -> Result<EmbeddedCa, CaError> {
        let what = "client CA";
        let key = AuthorityKey::open(what, &self.client_ca.key.to_kept())?;
        Ok(EmbeddedCa::new(Authority::load(what, key, self.client_ca.certificate.clone())?))
    }

    fn anchor(&self) -> Result<Authority, CaError> {
        let key = self.anchor_key.as_ref().ok_or(CaError::AnchorKeyAbsent)?;
        let key = AuthorityKey::open("anchor", &key.to_kept())?;
        Authority::load("anchor", key, self.anchor_certificate.clone())
    }
}

impl core::fmt::Debug for CaMaterial {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("CaMaterial([secret])")
    }
}

/// A key of a module, or a new one.
fn new_key(
    what: &'static str,
    module: Option<Arc<dyn ModuleKey>>,
    rng: &mut dyn CryptoRng,
) -> Result<AuthorityKey, CaError> {
    match module {
        Some(key) => AuthorityKey::in_module(what, key),
        None => AuthorityKey::generate(what, rng),
    }
}

fn new_signing(
    anchor: &Authority,
    key: AuthorityKey,
    params: &CaParams,
    rng: &mut dyn CryptoRng,
    now: UnixTime,
) -> Result<Authority, CaError> {
    let validity = starting(now, limits::SIGNING_CERT_MAX.default);
    let profile = profile::signing(
        params.station_name.as_str(),
        &params.station_id,
        &params.site_id,
        &random_serial(rng),
        validity,
    )?;
    let certificate = anchor.issue(&profile, &key)?;
    Ok(Authority { key, certificate })
}

fn new_server(
    anchor: &Authority,
    params: &CaParams,
    rng: &mut dyn CryptoRng,
    now: UnixTime,
) -> Result<Authority, CaError> {
    let key = AuthorityKey::generate("server", rng)?;
    let validity = starting(now, params.server_lifetime);
    let profile = profile::server(
        params.station_name.as_str(),
        &params.server_names,
        &random_serial(rng),
        validity,
    )?;
    let certificate = anchor.issue(&profile, &key)?;
    Ok(Authority { key, certificate })
}

fn starting(now: UnixTime, lifetime: Duration) -> Validity {
    Validity::starting(now, limits::CLOCK_SKEW.default, lifetime)
}
