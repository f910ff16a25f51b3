//! The client certificate of a device (D8).

use rustls_pki_types::{CertificateDer, TrustAnchor};
use zmon_domain::ids::{DeviceId, Serial};
use zmon_domain::time::UnixTime;
use zmon_wire::kind::TrustLevel;

use super::leaf::Fields;
use super::path::{self, ValidityWindow};
use super::{
    ANY_EXTENDED_KEY_USAGE, AnchorSet, CLIENT_AUTH, CONFIG_SIGNING, CertificateChain,
    CertificateError, CertificateRole, Fault, URN_DEVICE,
};
use crate::algorithms::Algorithms;
use crate::evidence::ChainVerified;
use crate::identity::{IdentityPublic, Suite};

/// What the verifier's own record says about the device.
#[derive(Debug, Clone, Copy)]
pub struct ClientExpectation<'a> {
    /// The device's id.
    pub device_id: &'a DeviceId,
    /// The TLS key that the certificate must be for.
    pub public_key: &'a IdentityPublic,
    /// The anchors; the client CA must not be one of them.
    pub anchors: &'a AnchorSet,
    /// On what ground the device believes the station of this session.
    pub trust: TrustLevel,
}

/// A client certificate that passed path validation, profile and comparison with the record.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    serial: Serial,
    leaf: ValidityWindow,
    path: ValidityWindow,
}

impl ClientCertificate {
    /// The certificate's serial number, which the station's record is kept under.
    #[must_use]
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    /// `notBefore` of the leaf.
    #[must_use]
    pub fn not_before(&self) -> UnixTime {
        self.leaf.not_before()
    }

    /// `notAfter` of the leaf.
    #[must_use]
    pub fn not_after(&self) -> UnixTime {
        self.leaf.not_after()
    }

    /// The times at which every certificate of the path is valid, the client CA included.
    #[must_use]
    pub fn path_validity(&self) -> ValidityWindow {
        self.path
    }

    /// Checks that the whole path is valid at `time`, and proves it.
    ///
    /// # Errors
    ///
    /// [`Fault::NotYetValid`] or [`Fault::Expired`].
    pub fn verified_at(&self, time: UnixTime) -> Result<ChainVerified, CertificateError> {
        self.path.check(time).map_err(refuse)?;
        Ok(ChainVerified(()))
    }
}

/// Validates a client certificate against the client CA and the record.
///
/// The leaf of `chain` is the device's certificate; its other members, and all but the last of
/// `ca_chain`, may stand between. The last of `ca_chain` is where the path ends: the self-signed
/// client CA, or the CA that a chained client CA leads to. On the device both come from the signed
/// configuration (`chain.issuer_chain()`), on the station `ca_chain` is its own.
///
/// The CA that issued the leaf must not be an anchor, and unless it is self-issued it must be
/// limited to client authentication (D8).
///
/// # Errors
///
/// [`CertificateError`] of role [`CertificateRole::Client`].
pub fn verify_client_chain(
    chain: &CertificateChain,
    ca_chain: &CertificateChain,
    expected: &ClientExpectation<'_>,
    now: Option<UnixTime>,
    algorithms: &Algorithms,
) -> Result<ClientCertificate, CertificateError> {
    check(chain, ca_chain, expected, now, algorithms).map_err(refuse)
}

fn check(
    chain: &CertificateChain,
    ca_chain: &CertificateChain,
    expected: &ClientExpectation<'_>,
    now: Option<UnixTime>,
    algorithms: &Algorithms,
) -> Result<ClientCertificate, Fault> {
    let root_der = ca_chain.issuers().last().unwrap_or(ca_chain.leaf());
    let root_fields = Fields::parse(root_der)?;
    if !root_fields.is_authority {
        return Err(Fault::Path);
    }
    let root: TrustAnchor<'static> =
        webpki::anchor_from_trusted_cert(root_der).map_err(|_| Fault::Malformed)?.to_owned();
    let intermediates: alloc::vec::Vec<CertificateDer<'static>> =
        chain.issuers().iter().chain(ca_chain.iter()).cloned().collect();

    let time = match now {
        Some(now) => now,
        None => path::time_of_check(chain, None)?.max(path::time_of_check(ca_chain, None)?),
    };
    let end_entity = path::end_entity(chain.leaf())?;
    let roots = [root];
    let verified = path::validate(
        &end_entity,
        &intermediates,
        &roots,
        time,
        CLIENT_AUTH.as_bytes(),
        algorithms,
    )?;

    let leaf = Fields::parse(chain.leaf())?;
    for level in [leaf.trust_level, root_fields.trust_level] {
        expected.anchors.check_level(level)?;
    }
    let (window, authorities) = path::window_of(&verified, leaf.validity)?;
    path::check_length(root_fields.path_length, &authorities)?;
    let window = window.intersect(root_fields.validity);
    window.check(time)?;
    authorities.iter().try_for_each(|between| expected.anchors.check_level(between.trust_level))?;

    check_issuer(authorities.first().unwrap_or(&root_fields), expected.anchors)?;
    check_profile(&leaf, expected)?;
    Ok(ClientCertificate {
        serial: Serial::from_bytes(&leaf.serial).map_err(|_| Fault::Malformed)?,
        leaf: leaf.validity,
        path: window,
    })
}

/// The CA that issued the leaf.
fn check_issuer(issuer: &Fields, anchors: &AnchorSet) -> Result<(), Fault> {
    if anchors.holds_key(&issuer.spki) {
        return Err(Fault::IssuerIsAnchor);
    }
    let limited = match issuer.extended_key_usage {
        Some(_) => {
            issuer.allows(CLIENT_AUTH)
                && !issuer.allows(CONFIG_SIGNING)
                && !issuer.allows(ANY_EXTENDED_KEY_USAGE)
        }
        None => issuer.self_issued,
    };
    if limited { Ok(()) } else { Err(Fault::IssuerUsage) }
}

fn check_profile(leaf: &Fields, expected: &ClientExpectation<'_>) -> Result<(), Fault> {
    if leaf.is_authority {
        return Err(Fault::IsAuthority);
    }
    let signs = leaf.key_usage.is_none_or(|usage| {
        usage.digital_signature() && !usage.key_cert_sign() && !usage.crl_sign()
    });
    if !signs {
        return Err(Fault::KeyUsage);
    }
    if !leaf.is_exactly_for(CLIENT_AUTH) {
        return Err(Fault::ExtendedKeyUsage);
    }
    let [Some(name)] = leaf.names.as_slice() else {
        return Err(Fault::Names);
    };
    let device = name.strip_prefix(URN_DEVICE).ok_or(Fault::Names)?;
    if device != expected.device_id.as_str() {
        return Err(Fault::Device);
    }
    if leaf.spki != expected.public_key.spki_der() {
        return Err(Fault::Key);
    }
    if expected.public_key.suite() != Suite::P256 {
        return Err(Fault::KeyType);
    }
    if leaf.trust_level != Some(expected.trust) {
        return Err(Fault::TrustLevel);
    }
    Ok(())
}

fn refuse(fault: Fault) -> CertificateError {
    CertificateError::new(CertificateRole::Client, fault)
}
