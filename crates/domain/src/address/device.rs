//! The address of a device: an IP literal and nothing else.

use core::{fmt, net::IpAddr, str::FromStr};

use crate::error::FieldError;

const RULE: &str = "must be an IPv4 or IPv6 address in its usual form, of one host";

/// The address of one device, as the QR code carries it: a strict IP literal. No name, no zone, no
/// short, octal or IPv4-mapped form, no unspecified, broadcast or multicast address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceAddress(IpAddr);

impl DeviceAddress {
    /// Reads an IP literal. Whether a station may connect there is for
    /// [`super::NetworkPolicy`] to say.
    ///
    /// # Errors
    /// A [`FieldError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let error = FieldError::new("ipAddress", RULE);
        text.parse::<IpAddr>().map_err(|_| error).and_then(Self::from_ip)
    }

    /// Takes an address that is already parsed.
    ///
    /// # Errors
    /// A [`FieldError`] for an address that does not belong to one host.
    pub fn from_ip(ip: IpAddr) -> Result<Self, FieldError> {
        let one_host = match ip {
            IpAddr::V4(v4) => !(v4.is_unspecified() || v4.is_broadcast() || v4.is_multicast()),
            // Forms that embed an IPv4 address would slip past rules written for IPv4.
            IpAddr::V6(v6) => {
                let embeds_v4 = v6.segments().starts_with(&[0, 0, 0, 0, 0]) && !v6.is_loopback();
                !(v6.is_unspecified() || v6.is_multicast() || embeds_v4)
            }
        };
        if one_host { Ok(Self(ip)) } else { Err(FieldError::new("ipAddress", RULE)) }
    }

    /// The address.
    #[must_use]
    pub const fn ip(&self) -> IpAddr {
        self.0
    }
}

impl FromStr for DeviceAddress {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        Self::parse(text)
    }
}

impl fmt::Display for DeviceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_documents_examples_parse() {
        for text in ["192.168.1.100", "10.1.50.104", "127.0.0.1", "::1", "2001:db8::17", "fe80::1"]
        {
            assert_eq!(DeviceAddress::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn every_other_form_is_refused() {
        for bad in [
            "",
            " 10.0.0.1",
            "10.0.0.1 ",
            "10.0.0.1\0",
            "10.1",
            "010.0.0.1",
            "0x0a.0.0.1",
            "167772161",
            "10.0.0.256",
            "10.0.0.1:80",
            "10.0.0.0/8",
            "localhost",
            "device.local",
            "[::1]",
            "fe80::1%eth0",
            "fe80::1%1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "::ffff:a00:1",
            "0.0.0.0",
            "::",
            "255.255.255.255",
            "224.0.0.1",
            "ff02::1",
            "１０.0.0.1",
            "10。0.0.1",
        ] {
            let error = DeviceAddress::parse(bad).unwrap_err();
            assert_eq!((error.field(), error.rule()), ("ipAddress", RULE), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_parses_shows_itself(text in "[0-9a-f.:]{2,20}") {
            if let Ok(address) = DeviceAddress::parse(&text) {
                prop_assert_eq!(DeviceAddress::parse(&address.to_string()), Ok(address));
            }
        }
    }
}
