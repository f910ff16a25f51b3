//! The two ways in which a device asks for a new certificate by itself (D23).

use core::fmt;

use zmon_wire::kind::Method;

/// How a device asks its station for a new certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PullMethod {
    /// Over mutual TLS by the certificate in force, which has not expired.
    Renewal,
    /// By its identity key and a counter, because the certificate has expired.
    Recovery,
}

impl PullMethod {
    /// The method as messages carry it.
    #[must_use]
    pub const fn method(self) -> Method {
        match self {
            Self::Renewal => Method::Renewal,
            Self::Recovery => Method::Recovery,
        }
    }

    /// The word in audit rows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Renewal => "renewal",
            Self::Recovery => "recovery",
        }
    }
}

impl fmt::Display for PullMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
