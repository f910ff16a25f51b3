//! The configuration-signing certificate of a station (D8).

use alloc::string::String;

use rustls_pki_types::CertificateDer;
use zmon_domain::ids::{SiteId, StationId, Thumbprint};
use zmon_domain::limits;
use zmon_domain::time::UnixTime;

use super::leaf::Fields;
use super::path::{self, ValidityWindow};
use super::{
    AnchorSet, CONFIG_SIGNING, CertificateChain, CertificateError, CertificateRole, Fault,
    URN_SITE, URN_STATION,
};
use crate::algorithms::Algorithms;
use crate::evidence::{ChainVerified, ProfileVerified};
use crate::hash::sha256;
use crate::identity::{IdentityPublic, Suite};

/// A configuration-signing certificate whose path leads to an anchor and whose profile is right.
#[derive(Debug, Clone)]
pub struct SigningCertificate {
    station_id: StationId,
    site_id: SiteId,
    public: IdentityPublic,
    leaf: ValidityWindow,
    path: ValidityWindow,
    fingerprint: Thumbprint,
}

impl SigningCertificate {
    /// The station that the certificate names.
    #[must_use]
    pub const fn station_id(&self) -> &StationId {
        &self.station_id
    }

    /// The site that the certificate names, which is the anchor's.
    #[must_use]
    pub const fn site_id(&self) -> &SiteId {
        &self.site_id
    }

    /// The key that verifies the station's messages. Keep it with the session: later messages are
    /// verified with this record, not with what they bring along.
    #[must_use]
    pub const fn public_key(&self) -> &IdentityPublic {
        &self.public
    }

    /// `notBefore` of the leaf. The device refuses one older than the latest it saw (D14).
    #[must_use]
    pub const fn not_before(&self) -> UnixTime {
        self.leaf.not_before()
    }

    /// `notAfter` of the leaf.
    #[must_use]
    pub fn not_after(&self) -> UnixTime {
        self.leaf.not_after()
    }

    /// The times at which every certificate of the path is valid, the anchor included.
    #[must_use]
    pub fn path_validity(&self) -> ValidityWindow {
        self.path
    }

    /// SHA-256 of the leaf certificate, for logs.
    #[must_use]
    pub const fn fingerprint(&self) -> Thumbprint {
        self.fingerprint
    }

    /// Checks that the whole path is valid at `time`, and proves it.
    ///
    /// `time` is the clock's, or, for a device without one, the hello's `iat` once its signature
    /// was verified and it is not below the device's floor (D14).
    ///
    /// # Errors
    ///
    /// [`Fault::NotYetValid`] or [`Fault::Expired`].
    pub fn verified_at(&self, time: UnixTime) -> Result<ChainVerified, CertificateError> {
        self.path.check(time).map_err(refuse)?;
        Ok(ChainVerified(()))
    }
}

/// A configuration-signing certificate with the right profile that no anchor vouches for: what an
/// unanchored station shows of itself (D8, proximity).
#[derive(Debug, Clone)]
pub struct ShownCertificate(SigningCertificate);

impl ShownCertificate {
    /// The station that the certificate names; unverified.
    #[must_use]
    pub const fn station_id(&self) -> &StationId {
        &self.0.station_id
    }

    /// The site that the certificate names; unverified.
    #[must_use]
    pub const fn site_id(&self) -> &SiteId {
        &self.0.site_id
    }

    /// The key that verifies the station's messages.
    #[must_use]
    pub const fn public_key(&self) -> &IdentityPublic {
        &self.0.public
    }

    /// `notBefore`.
    #[must_use]
    pub const fn not_before(&self) -> UnixTime {
        self.0.leaf.not_before()
    }

    /// SHA-256 of the certificate, for logs.
    #[must_use]
    pub const fn fingerprint(&self) -> Thumbprint {
        self.0.fingerprint
    }

    /// Checks that it is valid at `time`, and proves that and its profile.
    ///
    /// # Errors
    ///
    /// [`Fault::NotYetValid`] or [`Fault::Expired`].
    pub fn verified_at(&self, time: UnixTime) -> Result<ProfileVerified, CertificateError> {
        self.0.leaf.check(time).map_err(refuse)?;
        Ok(ProfileVerified(()))
    }
}

/// Reads the leaf of a station without an anchor and checks its profile; the rest of the chain says
/// nothing. `now` is the device's clock if it may be compared with dates.
///
/// # Errors
///
/// [`CertificateError`] of role [`CertificateRole::ConfigSigning`].
pub fn read_signing_leaf(
    chain: &CertificateChain,
    now: Option<UnixTime>,
) -> Result<ShownCertificate, CertificateError> {
    let leaf = read(chain.leaf()).map_err(refuse)?;
    if let Some(now) = now {
        leaf.leaf.check(now).map_err(refuse)?;
    }
    Ok(ShownCertificate(leaf))
}

/// Validates the chain of a hello (or configuration, or outcome) against the anchors.
///
/// `now` is the device's clock if it may be compared with dates, else `None`. Then the path must be
/// valid at *some* time, and [`SigningCertificate::verified_at`] decides later.
///
/// # Errors
///
/// [`CertificateError`] of role [`CertificateRole::ConfigSigning`].
pub fn verify_signing_chain(
    chain: &CertificateChain,
    anchors: &AnchorSet,
    now: Option<UnixTime>,
    algorithms: &Algorithms,
) -> Result<SigningCertificate, CertificateError> {
    check(chain, anchors, now, algorithms).map_err(refuse)
}

fn check(
    chain: &CertificateChain,
    anchors: &AnchorSet,
    now: Option<UnixTime>,
    algorithms: &Algorithms,
) -> Result<SigningCertificate, Fault> {
    // First, so that a simulated station is called what it is and not merely unknown.
    let level = Fields::parse(chain.leaf())?.trust_level;
    if level.is_some() {
        anchors.check_level(level)?;
    }
    let time = path::time_of_check(chain, now)?;
    let end_entity = path::end_entity(chain.leaf())?;
    let verified = path::validate(
        &end_entity,
        chain.issuers(),
        anchors.roots(),
        time,
        CONFIG_SIGNING.as_bytes(),
        algorithms,
    )?;
    let anchor = anchors.by_root(verified.anchor()).ok_or(Fault::NotAnchored)?;
    let leaf = read(chain.leaf())?;
    if &leaf.site_id != anchor.site_id() {
        return Err(Fault::Site);
    }
    let (window, authorities) = path::window_of(&verified, leaf.leaf)?;
    path::check_length(anchor.path_length(), &authorities)?;
    anchors.check_level(level)?;
    authorities.iter().try_for_each(|authority| anchors.check_level(authority.trust_level))?;
    let window = window.intersect(anchor.validity());
    // `rustls-webpki` does not look at an anchor's dates. An expired CA vouches for nobody here.
    window.check(time)?;
    Ok(SigningCertificate { path: window, ..leaf })
}

/// Reads the leaf and checks its profile.
fn read(der: &CertificateDer<'_>) -> Result<SigningCertificate, Fault> {
    let fields = Fields::parse(der)?;
    if fields.is_authority {
        return Err(Fault::IsAuthority);
    }
    if !fields.signs_only() {
        return Err(Fault::KeyUsage);
    }
    if !fields.is_exactly_for(CONFIG_SIGNING) {
        return Err(Fault::ExtendedKeyUsage);
    }
    if fields.validity.duration() > limits::SIGNING_CERT_MAX.default {
        return Err(Fault::LifetimeTooLong);
    }
    let public = IdentityPublic::parse(&fields.spki).map_err(|_| Fault::KeyType)?;
    if public.suite() != Suite::P256 {
        return Err(Fault::KeyType);
    }
    let (station_id, site_id) = names(&fields.names)?;
    Ok(SigningCertificate {
        station_id,
        site_id,
        public,
        leaf: fields.validity,
        path: fields.validity,
        fingerprint: Thumbprint::from_bytes(sha256(der)),
    })
}

/// Exactly one station URN and one site URN, in any order, and nothing else.
fn names(names: &[Option<String>]) -> Result<(StationId, SiteId), Fault> {
    let [Some(first), Some(second)] = names else {
        return Err(Fault::Names);
    };
    let pair = |station: &str, site: &str| {
        let station = StationId::parse(station.strip_prefix(URN_STATION)?).ok()?;
        let site = SiteId::parse(site.strip_prefix(URN_SITE)?).ok()?;
        Some((station, site))
    };
    pair(first, second).or_else(|| pair(second, first)).ok_or(Fault::Names)
}

fn refuse(fault: Fault) -> CertificateError {
    CertificateError::new(CertificateRole::ConfigSigning, fault)
}
