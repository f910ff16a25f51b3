//! Who vouches for a device: the registry, its maker, or what was scanned (D9).

use zmon_crypto::IdentityPublic;
use zmon_crypto::x509::{CertificateChain, FactoryExpectation, verify_factory_chain};
use zmon_domain::audit::AuditEvent;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::Thumbprint;
use zmon_wire::identity::IdentityDocument;
use zmon_wire::kind::Method;

use super::context::{DeviceRecord, DeviceTrust};
use super::state::{Core, Ground};
use super::step::Step;

/// The first ground of the station's policy on which this device may be believed. Id, serial number and
/// key have been held against the registry before: nothing here vouches against it.
pub(super) fn ground(
    step: &Step<'_>,
    core: &Core,
    public: &IdentityPublic,
    document: &IdentityDocument,
) -> Result<Ground, ErrorCode> {
    let policy = step.ctx.policy;
    let known = matches!(core.record, DeviceRecord::Known(_));
    // What a device renews by itself was vouched for when it was paired (D23).
    if known && (policy.trusts(DeviceTrust::Registry) || core.operator.is_none()) {
        return Ok(Ground { trust: DeviceTrust::Registry, certificate: None });
    }
    let scanned = core.method == Method::Qr && policy.trusts(DeviceTrust::Scanned);
    if policy.trusts(DeviceTrust::Factory) && (document.factory_chain.is_some() || !scanned) {
        let certificate = Some(factory(step, public, document)?);
        return Ok(Ground { trust: DeviceTrust::Factory, certificate });
    }
    if scanned {
        return Ok(Ground { trust: DeviceTrust::Scanned, certificate: None });
    }
    Err(ErrorCode::DeviceUnknown)
}

/// The maker's word for this id, serial number and key.
fn factory(
    step: &Step<'_>,
    public: &IdentityPublic,
    document: &IdentityDocument,
) -> Result<Thumbprint, ErrorCode> {
    let shown = document.factory_chain.as_deref().ok_or(ErrorCode::FactoryChainMissing)?;
    let chain = CertificateChain::from_x5c(shown).map_err(|_| ErrorCode::FactoryChainInvalid)?;
    let expected = FactoryExpectation {
        device_id: &document.device_id,
        serial: &document.device_serial,
        public_key: public,
    };
    let (anchors, now) = (&step.ctx.policy.factory_anchors, step.wall()?);
    verify_factory_chain(&chain, anchors, &expected, now, step.ctx.algorithms)
        .map(|certificate| certificate.fingerprint())
        .map_err(|error| error.code())
}

impl Ground {
    /// The row, with the ground in it.
    pub(super) fn on(self, row: AuditEvent) -> AuditEvent {
        let row = row.with("deviceTrust", self.trust.as_str());
        match self.certificate {
            Some(certificate) => row.with("factoryCertificate", certificate),
            None => row,
        }
    }
}
