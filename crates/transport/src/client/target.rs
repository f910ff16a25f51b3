//! Where a client connects, and which name it expects there.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use http::HeaderValue;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use zmon_domain::address::ServerUrl;
use zmon_domain::error::FieldError;

use super::ClientError;

/// A host and port to connect to, with the name the server's certificate must carry.
#[derive(Clone)]
pub struct Endpoint {
    host: Host,
    port: u16,
    name: ServerName<'static>,
    authority: HeaderValue,
}

#[derive(Clone)]
enum Host {
    Address(IpAddr),
    Name(String),
}

impl Endpoint {
    /// A literal address; never looked up (D18).
    pub fn address(ip: IpAddr, port: u16) -> Self {
        let text = SocketAddr::new(ip, port).to_string();
        Self {
            host: Host::Address(ip),
            port,
            name: ServerName::IpAddress(ip.into()),
            authority: HeaderValue::from_str(&text)
                .unwrap_or_else(|_| HeaderValue::from_static("device")),
        }
    }

    /// The host and port of a URL.
    ///
    /// # Errors
    /// [`FieldError`] when the host is neither an address nor a DNS name.
    pub fn url(url: &ServerUrl) -> Result<Self, FieldError> {
        let host = url.host();
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(Self::address(ip, url.port()));
        }
        let wrong = FieldError::new("serverUrl", "must name a host");
        Ok(Self {
            host: Host::Name(host.to_owned()),
            port: url.port(),
            name: ServerName::try_from(host.to_owned()).map_err(|_| wrong.clone())?,
            authority: HeaderValue::from_str(url.authority()).map_err(|_| wrong)?,
        })
    }

    pub(super) async fn connect(&self) -> Result<TcpStream, ClientError> {
        match &self.host {
            Host::Address(ip) => {
                TcpStream::connect((*ip, self.port)).await.map_err(ClientError::Connect)
            }
            Host::Name(name) => {
                let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), self.port))
                    .await
                    .map_err(ClientError::Resolve)?
                    .collect();
                TcpStream::connect(found.as_slice()).await.map_err(ClientError::Connect)
            }
        }
    }

    pub(super) fn name(&self) -> &ServerName<'static> {
        &self.name
    }

    pub(super) fn authority(&self) -> &HeaderValue {
        &self.authority
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.authority).finish()
    }
}
