//! What went wrong with a request, precisely; coarser answers are made of it further up.

use std::error::Error as StdError;
use std::io;

use rustls::{AlertDescription, CertificateError, Error as TlsError};

use crate::tls::PinMismatch;

/// A failed connection or request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The host name has no address.
    #[error("cannot resolve the host: {0}")]
    Resolve(#[source] io::Error),
    /// TCP did not connect, e.g. the port is closed.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// Neither accepted nor refused in time, e.g. the port is filtered.
    #[error("connecting took too long")]
    ConnectTimeout,
    /// The TLS layer failed for a reason that is no certificate's fault.
    #[error("TLS failed: {0}")]
    Tls(#[source] TlsError),
    /// A certificate was refused, by this side or by the other.
    #[error("certificate refused: {0:?}")]
    Certificate(Refusal),
    /// The connection broke or the answer is not HTTP.
    #[error("connection broken: {0}")]
    Broken(String),
    /// No complete answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The answer is longer than the limit.
    #[error("answer too large")]
    TooLarge,
}

/// Whose certificate was refused, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The server's key is not the pinned one.
    ServerPin,
    /// The server's certificate is outside its validity.
    ServerExpired,
    /// The server's certificate does not lead to the CA, or names another host.
    ServerUntrusted,
    /// The server says: this client's certificate is revoked.
    OwnRevoked,
    /// The server says: this client's certificate has expired.
    OwnExpired,
    /// The server refuses this client's certificate for another reason, or wants one.
    OwnRefused,
}

impl ClientError {
    /// From a TLS stream's error: rustls's own errors travel inside `io::Error`.
    pub(crate) fn from_io(error: io::Error) -> Self {
        match tls_cause(&error) {
            Some(tls) => Self::from_tls(tls),
            None => Self::Broken(error.to_string()),
        }
    }

    pub(crate) fn from_hyper(error: hyper::Error) -> Self {
        match tls_cause(&error) {
            Some(tls) => Self::from_tls(tls),
            None => Self::Broken(chain(&error)),
        }
    }

    fn from_tls(error: &TlsError) -> Self {
        match refusal(error) {
            Some(refusal) => Self::Certificate(refusal),
            None => Self::Tls(error.clone()),
        }
    }
}

fn refusal(error: &TlsError) -> Option<Refusal> {
    if PinMismatch::caused(error) {
        return Some(Refusal::ServerPin);
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "rustls adds variants in minor releases")]
    match error {
        TlsError::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => Some(Refusal::ServerExpired),
        TlsError::InvalidCertificate(_) | TlsError::NoCertificatesPresented => {
            Some(Refusal::ServerUntrusted)
        }
        TlsError::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRevoked => Some(Refusal::OwnRevoked),
            AlertDescription::CertificateExpired => Some(Refusal::OwnExpired),
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError => Some(Refusal::OwnRefused),
            _ => None,
        },
        _ => None,
    }
}

/// The rustls error somewhere below, through `io::Error`s (whose payload is no `source`).
fn tls_cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a TlsError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<TlsError>() {
            return Some(tls);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(payload) => Some(payload as &(dyn StdError + 'static)),
            None => error.source(),
        };
    }
    None
}

fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}
