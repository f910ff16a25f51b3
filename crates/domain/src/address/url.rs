//! The URL of a Central Station: https, host and port, nothing else ([W §5]).

use alloc::{format, string::String};
use core::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use crate::error::FieldError;

const RULE: &str =
    "must be https://host or https://host:port without user, path, query or fragment";
const DEFAULT_PORT: u16 = 443;
const HOST_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// The URL of a Central Station, `https://monitoring.hospital.com:8443`. Kept in one form: host in
/// lower case, port only where it was given, no slash at the end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerUrl {
    text: String,
    host: String,
    port: u16,
}

impl ServerUrl {
    /// Reads a URL; the host is a DNS name in ASCII, an IPv4 literal or an IPv6 literal in brackets.
    ///
    /// # Errors
    /// A [`FieldError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        Self::read(text).ok_or(FieldError::new("serverUrl", RULE))
    }

    /// The host: a name or an address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, 443 when none was given.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The whole URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Host and port as an HTTP `Host` header carries them.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.text.strip_prefix("https://").unwrap_or_default()
    }

    fn read(text: &str) -> Option<Self> {
        let scheme = text.get(..8).filter(|scheme| scheme.eq_ignore_ascii_case("https://"))?;
        let authority = text.get(scheme.len()..)?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (shown, host, port) = if let Some(rest) = authority.strip_prefix('[') {
            let (literal, port) = rest.split_once(']')?;
            let address: Ipv6Addr = literal.parse().ok()?;
            let mapped = address.to_ipv4_mapped().is_some();
            let host = (!mapped && !address.is_unspecified()).then(|| format!("{address}"))?;
            (format!("[{host}]"), host, port)
        } else {
            let (name, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            let host = name.to_ascii_lowercase();
            is_host(&host).then_some(())?;
            (host.clone(), host, port)
        };
        let (text, port) = match port.strip_prefix(':') {
            Some(digits) => (format!("https://{shown}:{digits}"), read_port(digits)?),
            None if port.is_empty() => (format!("https://{shown}"), DEFAULT_PORT),
            None => return None,
        };
        Some(Self { text, host, port })
    }
}

impl FromStr for ServerUrl {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        Self::parse(text)
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

fn read_port(digits: &str) -> Option<u16> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    digits.parse().ok().filter(|_| plain)
}

/// A DNS name (RFC 1123) or an IPv4 literal. A name whose last label is a number would be read as an
/// address by some resolvers, so it must be an address in its usual form.
fn is_host(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    if last.starts_with("0x") || last.bytes().all(|b| b.is_ascii_digit()) {
        return host.parse::<Ipv4Addr>().is_ok_and(|ip| !ip.is_unspecified());
    }
    host.len() <= HOST_MAX && host.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    (1..=LABEL_MAX).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_documents_url_parses() {
        let url = ServerUrl::parse("https://monitoring.hospital.com:8443").unwrap();
        assert_eq!((url.host(), url.port()), ("monitoring.hospital.com", 8443));
        assert_eq!(url.to_string(), "https://monitoring.hospital.com:8443");
        assert_eq!(url.authority(), "monitoring.hospital.com:8443");
    }

    #[test]
    fn every_url_has_one_form() {
        for (text, form, host, port) in [
            ("HTTPS://Station.Example/", "https://station.example", "station.example", 443),
            ("https://127.0.0.1:9443", "https://127.0.0.1:9443", "127.0.0.1", 9443),
            ("https://[::1]:9443/", "https://[::1]:9443", "::1", 9443),
            ("https://[2001:DB8:0::1]", "https://[2001:db8::1]", "2001:db8::1", 443),
            ("https://station", "https://station", "station", 443),
            ("https://3com:1", "https://3com:1", "3com", 1),
            (
                "https://xn--mnchen-3ya.example",
                "https://xn--mnchen-3ya.example",
                "xn--mnchen-3ya.example",
                443,
            ),
        ] {
            let url = ServerUrl::parse(text).unwrap();
            assert_eq!((url.as_str(), url.host(), url.port()), (form, host, port));
        }
    }

    #[test]
    fn every_other_text_is_refused() {
        let long_label = alloc::format!("https://{}.example", "a".repeat(64));
        let long_host = alloc::format!("https://{}", "a.".repeat(127) + "aa");
        for bad in [
            "",
            "https://",
            "http://a",
            "ftp://a",
            "https:/a",
            "//a",
            "a",
            "a:443",
            "https://a/b",
            "https://a//",
            "https://a?b",
            "https://a#b",
            "https://u@a",
            "https://u:p@a",
            "https://a:0",
            "https://a:65536",
            "https://a:+1",
            "https://a:01",
            "https://a:",
            "https://a:1:2",
            "https:// a",
            "https://a ",
            "https://a b",
            "https://a\n",
            "https://-a",
            "https://a-",
            "https://a..b",
            "https://.a",
            "https://a.",
            "https://a_b",
            "https://münchen.example",
            "https://[::1",
            "https://::1",
            "https://[::1]x",
            "https://[1.2.3.4]",
            "https://[::ffff:1.2.3.4]",
            "https://[::]",
            "https://[fe80::1%25eth0]",
            "https://0.0.0.0",
            "https://1.2.3",
            "https://0x7f.1",
            "https://127.1",
            "https://010.0.0.1",
            "https://1.2.3.4.5",
            "https://a\\b",
            "https://%61",
            "ｈttps://a",
            &long_label,
            &long_host,
        ] {
            let error = ServerUrl::parse(bad).unwrap_err();
            assert_eq!((error.field(), error.rule()), ("serverUrl", RULE), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn the_form_is_stable(text in "https://[a-z0-9.\\[\\]:-]{1,20}") {
            if let Ok(url) = ServerUrl::parse(&text) {
                prop_assert_eq!(ServerUrl::parse(url.as_str()), Ok(url));
            }
        }

        #[test]
        fn parsing_any_text_never_panics(text in ".{0,60}") {
            drop(ServerUrl::parse(&text));
        }
    }
}
