//! Where a station may connect to: configured networks and ports, nothing else (D18).

use alloc::vec::Vec;
use core::{fmt, net::IpAddr, ops::RangeInclusive, str::FromStr};

use super::DeviceAddress;
use crate::{
    error::{ErrorCode, FieldError},
    limits,
};

const RULE: &str = "must be a network as 10.1.0.0/16, with no bits beyond its prefix";

/// An IP network: an address and the length of its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

impl Network {
    /// Reads `address/prefix`; bits beyond the prefix must be zero.
    ///
    /// # Errors
    /// A [`FieldError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let error = || FieldError::new("network", RULE);
        let (address, length) = text.split_once('/').ok_or_else(error)?;
        let base: IpAddr = address.parse().map_err(|_| error())?;
        let plain = !length.is_empty()
            && length.bytes().all(|b| b.is_ascii_digit())
            && (length == "0" || !length.starts_with('0'));
        let prefix: u8 = length.parse().ok().filter(|_| plain).ok_or_else(error)?;
        let (bits, width) = bits_of(base);
        if prefix > width || bits & !mask(prefix, width) != 0 {
            return Err(error());
        }
        Ok(Self { base, prefix })
    }

    /// Whether the address lies in the network; an IPv4 address is never in an IPv6 network.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ((base, width), (bits, other_width)) = (bits_of(self.base), bits_of(ip));
        width == other_width && bits & mask(self.prefix, width) == base
    }
}

impl FromStr for Network {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        Self::parse(text)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

/// Why a station may not connect to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The address lies in none of the configured device networks.
    #[error("the address lies in none of the configured device networks")]
    Network,
    /// A loopback or link-local address, which needs a network configured for exactly that.
    #[error("loopback and link-local addresses must be configured by themselves")]
    Local,
    /// The port lies outside the configured device ports.
    #[error("the port lies outside the configured device ports")]
    Port,
}

impl AddressError {
    /// The error code shown to people.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        ErrorCode::AddressNotPermitted
    }
}

/// Networks and ports of devices. Empty networks permit nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkPolicy {
    /// The device networks. Loopback and link-local addresses count only when a listed network lies
    /// wholly inside that range: `0.0.0.0/0` does not open `127.0.0.1`.
    pub networks: Vec<Network>,
    /// The ports of provisioning listeners.
    pub ports: RangeInclusive<u16>,
}

impl Default for NetworkPolicy {
    fn default() -> Self {
        let ports = limits::DEVICE_PORT_FIRST.default..=limits::DEVICE_PORT_LAST.default;
        Self { networks: Vec::new(), ports }
    }
}

impl NetworkPolicy {
    /// Whether a station may connect to this address and port.
    ///
    /// # Errors
    /// An [`AddressError`] saying which rule forbids it.
    pub fn permits(&self, address: DeviceAddress, port: u16) -> Result<(), AddressError> {
        let ip = address.ip();
        let mut matching = self.networks.iter().filter(|network| network.contains(ip)).peekable();
        if matching.peek().is_none() {
            return Err(AddressError::Network);
        }
        if is_local(ip) && !matching.any(is_wholly_local) {
            return Err(AddressError::Local);
        }
        if self.ports.contains(&port) { Ok(()) } else { Err(AddressError::Port) }
    }
}

fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local(),
    }
}

fn is_wholly_local(network: &Network) -> bool {
    let prefix = match network.base {
        IpAddr::V4(v4) if v4.is_loopback() => 8,
        IpAddr::V4(_) => 16,
        IpAddr::V6(v6) if v6.is_loopback() => 128,
        IpAddr::V6(_) => 10,
    };
    is_local(network.base) && network.prefix >= prefix
}

fn bits_of(ip: IpAddr) -> (u128, u8) {
    match ip {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

fn mask(prefix: u8, width: u8) -> u128 {
    let all = if width == 32 { u128::from(u32::MAX) } else { u128::MAX };
    let host = u32::from(width - prefix.min(width));
    all & u128::MAX.checked_shl(host).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString, vec};

    use super::*;

    fn policy(networks: &[&str]) -> NetworkPolicy {
        let networks = networks.iter().map(|text| Network::parse(text).unwrap()).collect();
        NetworkPolicy { networks, ports: 1024..=65535 }
    }

    fn permits(networks: &[&str], address: &str, port: u16) -> Result<(), AddressError> {
        let address = DeviceAddress::parse(address).map_err(|_| AddressError::Network)?;
        policy(networks).permits(address, port)
    }

    #[test]
    fn networks_round_trip_and_contain_their_ends() {
        for text in
            ["10.1.0.0/16", "0.0.0.0/0", "192.168.1.100/32", "2001:db8::/32", "::/0", "::1/128"]
        {
            assert_eq!(Network::parse(text).unwrap().to_string(), text);
        }
        let network = Network::parse("10.1.0.0/16").unwrap();
        for (ip, inside) in [
            ("10.1.0.0", true),
            ("10.1.255.255", true),
            ("10.0.255.255", false),
            ("10.2.0.0", false),
            ("::10.1.0.1", false),
        ] {
            assert_eq!(network.contains(ip.parse().unwrap()), inside, "{ip}");
        }
    }

    #[test]
    fn other_networks_are_refused() {
        for bad in [
            "",
            "10.1.0.0",
            "10.1.0.0/",
            "10.1.0.0/33",
            "::/129",
            "10.1.0.1/16",
            "10.1.0.0/+8",
            "10.1.0.0/08",
            "10.1/16",
            "10.1.0.0/16/16",
            "name/8",
            "10.1.0.0/256",
        ] {
            assert_eq!(Network::parse(bad).unwrap_err().rule(), RULE, "{bad}");
        }
    }

    #[test]
    fn only_configured_networks_and_ports_are_permitted() {
        assert_eq!(permits(&["10.1.0.0/16"], "10.1.50.104", 40000), Ok(()));
        assert_eq!(permits(&["10.1.0.0/16"], "10.2.0.1", 40000), Err(AddressError::Network));
        assert_eq!(permits(&["10.1.0.0/16"], "10.1.0.1", 80), Err(AddressError::Port));
        assert_eq!(permits(&[], "10.1.0.1", 40000), Err(AddressError::Network));
        assert!(NetworkPolicy::default().networks.is_empty());
    }

    #[test]
    fn loopback_and_link_local_need_their_own_network() {
        let wide = vec!["0.0.0.0/0", "::/0"];
        for local in ["127.0.0.1", "127.9.9.9", "169.254.169.254", "::1", "fe80::1"] {
            assert_eq!(permits(&wide, local, 40000), Err(AddressError::Local), "{local}");
        }
        assert_eq!(permits(&["127.0.0.0/8"], "127.0.0.2", 40000), Ok(()));
        assert_eq!(permits(&["::1/128"], "::1", 40000), Ok(()));
        assert_eq!(permits(&["169.254.0.0/16"], "169.254.1.1", 40000), Ok(()));
        assert_eq!(permits(&["fe80::/10"], "fe80::1", 40000), Ok(()));
        assert_eq!(permits(&["0.0.0.0/0", "127.0.0.1/32"], "127.0.0.1", 40000), Ok(()));
        for error in [AddressError::Network, AddressError::Local, AddressError::Port] {
            assert_eq!(error.code(), ErrorCode::AddressNotPermitted);
            assert!(!error.to_string().is_empty());
        }
    }
}
