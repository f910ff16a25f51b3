//! What a new authority is made for.

use core::time::Duration;
use std::net::IpAddr;

use zmon_domain::ids::{SiteId, StationId, StationName};
use zmon_domain::limits;
use zmon_wire::kind::TrustLevel;

use super::CaError;

/// A name under which devices and operators reach the station's TLS server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ServerName {
    /// A host name.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

impl ServerName {
    /// Reads an address literal or a host name (RFC 1123 letters, digits, dots and dashes).
    ///
    /// # Errors
    /// [`CaError::Name`] for anything else.
    pub fn parse(text: &str) -> Result<Self, CaError> {
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(ip));
        }
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        if text.len() <= 253 && text.split('.').all(label) {
            Ok(Self::Dns(text.to_ascii_lowercase()))
        } else {
            Err(CaError::Name(text.to_owned()))
        }
    }
}

/// What a new authority is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaParams {
    /// Goes into the signing certificate as `urn:zp:station:ID`.
    pub station_id: StationId,
    /// Goes into subject names, for people.
    pub station_name: StationName,
    /// Goes into the signing certificate and the anchor as `urn:zp:site:ID`.
    pub site_id: SiteId,
    /// Names of the TLS server; at least one.
    pub server_names: Vec<ServerName>,
    /// Validity of the anchor root and of the client CA.
    pub authority_lifetime: Duration,
    /// Validity of the TLS server leaf.
    pub server_lifetime: Duration,
    /// The level that every certificate shall say, the device's included (D20). Default: none.
    pub(super) level: Option<TrustLevel>,
}

impl CaParams {
    /// Ten years for the authorities, one year for the server leaf.
    #[must_use]
    pub fn new(
        station_id: StationId,
        station_name: StationName,
        site_id: SiteId,
        server_names: Vec<ServerName>,
    ) -> Self {
        Self {
            station_id,
            station_name,
            site_id,
            server_names,
            authority_lifetime: limits::AUTHORITY_LIFETIME.default,
            server_lifetime: limits::SERVER_CERT_LIFETIME.default,
            level: None,
        }
    }

    /// The authority of a simulated station: each of its certificates says so, and real devices and
    /// stations refuse them (D20). Only development builds have this.
    #[cfg(feature = "simulate")]
    #[must_use]
    pub fn simulated(mut self) -> Self {
        self.level = Some(TrustLevel::Simulated);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_host_names_are_told_apart() {
        let ip = ServerName::parse("192.168.1.10").unwrap();
        assert_eq!(ip, ServerName::Ip("192.168.1.10".parse().unwrap()));
        let dns = ServerName::parse("Monitoring.Hospital.com").unwrap();
        assert_eq!(dns, ServerName::Dns("monitoring.hospital.com".to_owned()));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", ".", "a..b", "-a", "a-", "a b", "ä.de", "https://a", &"a".repeat(64)] {
            assert!(ServerName::parse(text).is_err(), "{text}");
        }
    }
}
