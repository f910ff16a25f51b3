//! TLS providers, chosen by the binary and handed in; nothing here installs a process default.
//!
//! Features `ring` (starts fast: the device) and `aws-lc` (fastest P-256: the station) are
//! additive. Each gives the `CryptoProvider` for rustls and, from the same library, the
//! [`Algorithms`] with which `zmon-crypto` verifies signatures and certificate paths.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use zmon_crypto::Algorithms;
#[cfg(any(feature = "ring", feature = "aws-lc"))]
use zmon_crypto::algorithms::Verification;

/// A TLS provider with the verification algorithms of the same library.
#[derive(Clone)]
#[non_exhaustive]
pub struct Provider {
    /// For rustls: cipher suites, key exchange, randomness, private keys.
    pub tls: Arc<CryptoProvider>,
    /// For JWS and X.509 checks of `zmon-crypto`.
    pub algorithms: Algorithms,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Provider")
    }
}

/// The provider of `ring`: ready at once, which a device that starts at the bedside needs.
#[cfg(feature = "ring")]
pub fn ring() -> Provider {
    use rustls::crypto::ring::default_provider;
    use webpki::ring::{ECDSA_P256_SHA256, RSA_PSS_2048_8192_SHA256_LEGACY_KEY};

    static ALL: &[Verification] = &[
        ECDSA_P256_SHA256,
        webpki::ring::ECDSA_P384_SHA384,
        webpki::ring::RSA_PKCS1_2048_8192_SHA256,
    ];
    Provider {
        tls: Arc::new(default_provider()),
        algorithms: Algorithms::new(
            ECDSA_P256_SHA256,
            Some(RSA_PSS_2048_8192_SHA256_LEGACY_KEY),
            ALL,
        ),
    }
}

/// The provider of `aws-lc-rs`: the fastest P-256, which a station with many devices needs.
#[cfg(feature = "aws-lc")]
pub fn aws_lc() -> Provider {
    use rustls::crypto::aws_lc_rs::default_provider;
    use webpki::aws_lc_rs::{ECDSA_P256_SHA256, RSA_PSS_2048_8192_SHA256_LEGACY_KEY};

    static ALL: &[Verification] = &[
        ECDSA_P256_SHA256,
        webpki::aws_lc_rs::ECDSA_P384_SHA384,
        webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA256,
    ];
    Provider {
        tls: Arc::new(default_provider()),
        algorithms: Algorithms::new(
            ECDSA_P256_SHA256,
            Some(RSA_PSS_2048_8192_SHA256_LEGACY_KEY),
            ALL,
        ),
    }
}
