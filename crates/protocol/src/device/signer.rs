//! Who signs for a station: one below an anchor, or one that shows itself and that an operator has to
//! confirm (D8).

use zmon_crypto::evidence::{ChainVerified, ProfileVerified};
use zmon_crypto::x509::{
    self, CertificateChain, CertificateError, ShownCertificate, SigningCertificate,
};
use zmon_crypto::{IdentityPublic, x509::AnchorSet};
use zmon_domain::ids::{SiteId, StationId, Thumbprint};
use zmon_domain::time::UnixTime;

use super::confirm::StationConfirmed;
use super::machine::Core;
use super::profile::{DeviceContext, StationTrust};
use super::step::Step;

/// A configuration-signing certificate that the device has looked at.
#[derive(Clone)]
pub(super) enum Signer {
    /// Its path leads to an anchor.
    Anchored(SigningCertificate),
    /// It has the profile, and nobody vouches for it.
    Shown(ShownCertificate),
}

/// What that look has proved, at a stated time.
#[derive(Clone, Copy)]
pub(super) enum Standing {
    Anchored(ChainVerified),
    Shown(ProfileVerified),
}

/// Why a configuration of this signer may be staged. Without one of these nothing is.
#[derive(Clone, Copy)]
pub(super) enum Permit {
    /// An anchor vouches for the station.
    Anchored { _proof: ChainVerified },
    /// An operator at the device has compared the words and confirmed the station.
    Confirmed { _proof: StationConfirmed },
    /// It came by the device's own request from the server whose key the active slot pins.
    Pinned { _proof: ProfileVerified },
}

impl Signer {
    /// Looks at the chain of a message: by the anchors, or by the profile alone where the device trusts
    /// by proximity and holds no anchor.
    pub(super) fn verify(
        step: &Step<'_>,
        chain: &CertificateChain,
    ) -> Result<Self, CertificateError> {
        let DeviceContext { anchors, algorithms, .. } = *step.ctx;
        let clock = step.now.synced();
        if by_proximity(step.ctx.profile.trust, anchors) {
            return x509::read_signing_leaf(chain, clock).map(Self::Shown);
        }
        x509::verify_signing_chain(chain, anchors, clock, algorithms).map(Self::Anchored)
    }

    pub(super) const fn station_id(&self) -> &StationId {
        match self {
            Self::Anchored(certificate) => certificate.station_id(),
            Self::Shown(certificate) => certificate.station_id(),
        }
    }

    pub(super) const fn site_id(&self) -> &SiteId {
        match self {
            Self::Anchored(certificate) => certificate.site_id(),
            Self::Shown(certificate) => certificate.site_id(),
        }
    }

    pub(super) const fn public_key(&self) -> &IdentityPublic {
        match self {
            Self::Anchored(certificate) => certificate.public_key(),
            Self::Shown(certificate) => certificate.public_key(),
        }
    }

    pub(super) const fn not_before(&self) -> UnixTime {
        match self {
            Self::Anchored(certificate) => certificate.not_before(),
            Self::Shown(certificate) => certificate.not_before(),
        }
    }

    pub(super) const fn fingerprint(&self) -> Thumbprint {
        match self {
            Self::Anchored(certificate) => certificate.fingerprint(),
            Self::Shown(certificate) => certificate.fingerprint(),
        }
    }

    /// Whether an anchor vouches for it: then it teaches the device about its site and about time.
    pub(super) const fn is_anchored(&self) -> bool {
        matches!(self, Self::Anchored(_))
    }

    pub(super) fn verified_at(&self, at: UnixTime) -> Result<Standing, CertificateError> {
        match self {
            Self::Anchored(certificate) => certificate.verified_at(at).map(Standing::Anchored),
            Self::Shown(certificate) => certificate.verified_at(at).map(Standing::Shown),
        }
    }

    /// The first instant, not below the floor, at which it is valid. A device without a clock asks about
    /// that one where no time of the message may be believed.
    pub(super) fn earliest(&self, core: &Core) -> UnixTime {
        core.floor.max(match self {
            Self::Anchored(certificate) => certificate.path_validity().not_before(),
            Self::Shown(certificate) => certificate.not_before(),
        })
    }
}

/// An anchor always comes before proximity.
fn by_proximity(trust: StationTrust, anchors: &AnchorSet) -> bool {
    trust == StationTrust::Proximity && anchors.is_empty()
}
