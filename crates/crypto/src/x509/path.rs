//! Path validation (RFC 5280 §6) by `rustls-webpki`, and the time span in which a path holds.

use alloc::vec::Vec;
use core::time::Duration;

use rustls_pki_types::{CertificateDer, TrustAnchor};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};
use zmon_domain::time::UnixTime;

use super::Fault;
use super::chain::CertificateChain;
use super::leaf::Fields;
use crate::algorithms::Algorithms;

/// From `notBefore` to `notAfter`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValidityWindow {
    not_before: UnixTime,
    not_after: UnixTime,
}

impl ValidityWindow {
    /// A window; it may be empty, and then contains no time.
    #[must_use]
    pub fn new(not_before: UnixTime, not_after: UnixTime) -> Self {
        Self { not_before, not_after }
    }

    /// The first valid second.
    #[must_use]
    pub const fn not_before(&self) -> UnixTime {
        self.not_before
    }

    /// The last valid second.
    #[must_use]
    pub const fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// The length, 0 if the window is empty.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.not_after.since(self.not_before)
    }

    /// Whether `time` lies inside.
    ///
    /// # Errors
    ///
    /// [`Fault::NotYetValid`] or [`Fault::Expired`].
    pub fn check(&self, time: UnixTime) -> Result<(), Fault> {
        if time < self.not_before {
            Err(Fault::NotYetValid)
        } else if time > self.not_after {
            Err(Fault::Expired)
        } else {
            Ok(())
        }
    }

    /// The times that lie in both windows.
    #[must_use]
    pub fn intersect(self, other: Self) -> Self {
        Self {
            not_before: self.not_before.max(other.not_before),
            not_after: self.not_after.min(other.not_after),
        }
    }
}

/// The time at which a path is validated: `now`, or the latest `notBefore` of what was presented.
///
/// If the certificates are valid together at any time at all, they are at that one.
pub(super) fn time_of_check(
    chain: &CertificateChain,
    now: Option<UnixTime>,
) -> Result<UnixTime, Fault> {
    if let Some(now) = now {
        return Ok(now);
    }
    chain.iter().try_fold(UnixTime::EPOCH, |latest, der| {
        Ok(latest.max(Fields::parse(der)?.validity.not_before()))
    })
}

/// A parsed leaf, ready for path validation.
pub(super) fn end_entity<'a>(leaf: &'a CertificateDer<'a>) -> Result<EndEntityCert<'a>, Fault> {
    EndEntityCert::try_from(leaf).map_err(|_| Fault::Malformed)
}

/// Finds and validates a path from `leaf` to one of `roots`.
///
/// `purpose` is the content of an OID: CAs on the way may lack an extended key usage, but if they
/// have one it must list `purpose`. The leaf's is checked exactly by the profile.
pub(super) fn validate<'p>(
    leaf: &'p EndEntityCert<'p>,
    intermediates: &'p [CertificateDer<'static>],
    roots: &'p [TrustAnchor<'static>],
    time: UnixTime,
    purpose: &'static [u8],
    algorithms: &Algorithms,
) -> Result<VerifiedPath<'p>, Fault> {
    let seconds = u64::try_from(time.unix()).map_err(|_| Fault::NotYetValid)?;
    let time = rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    leaf.verify_for_usage(
        algorithms.all(),
        roots,
        intermediates,
        time,
        KeyUsage::required_if_present(purpose),
        None,
        None,
    )
    .map_err(|error| fault(&error))
}

/// The times at which every certificate of the path is valid, the leaf included.
pub(super) fn window_of(
    path: &VerifiedPath<'_>,
    leaf: ValidityWindow,
) -> Result<(ValidityWindow, Vec<Fields>), Fault> {
    let mut window = leaf;
    let mut authorities = Vec::new();
    for certificate in path.intermediate_certificates() {
        let fields = Fields::parse(&certificate.der())?;
        window = window.intersect(fields.validity);
        authorities.push(fields);
    }
    Ok((window, authorities))
}

/// Checks the path length that the certificate of the path's root allows (RFC 5280 §4.2.1.9).
///
/// `rustls-webpki` takes a root for a name and a key, and looks at the constraints of the CAs below it.
pub(super) fn check_length(allowed: Option<u8>, authorities: &[Fields]) -> Result<(), Fault> {
    let below = authorities.iter().filter(|authority| !authority.self_issued).count();
    match allowed {
        Some(most) if below > usize::from(most) => Err(Fault::Path),
        Some(_) | None => Ok(()),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "webpki::Error is non-exhaustive; what is not named is some violation of RFC 5280"
)]
fn fault(error: &webpki::Error) -> Fault {
    use webpki::Error;
    match error {
        Error::CertExpired { .. } => Fault::Expired,
        Error::CertNotValidYet { .. } => Fault::NotYetValid,
        Error::UnknownIssuer => Fault::NotAnchored,
        Error::CaUsedAsEndEntity => Fault::IsAuthority,
        Error::InvalidSignatureForPublicKey
        | Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => Fault::Signature,
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => Fault::ExtendedKeyUsage,
        Error::BadDer | Error::BadDerTime | Error::TrailingData(_) => Fault::Malformed,
        _ => Fault::Path,
    }
}
