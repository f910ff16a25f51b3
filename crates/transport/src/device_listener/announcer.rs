//! The open listener, announced by multicast DNS (D2): with it a typed code needs no address.

use core::time::Duration;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use mdns_sd::ServiceInfo;
use zmon_crypto::sha256;
use zmon_domain::ids::DeviceId;
use zmon_provisioning::ports::{DeviceEndpoint, ListenError, Listener};
use zmon_wire::b64;

use crate::discovery::{Daemon, DiscoveryError, SERVICE, TXT_ID, TXT_VERSION, VERSION};

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// A [`Listener`] that says where it is as long as it is open: id and version, nothing of the window.
///
/// A network without multicast costs the announcement and nothing else.
pub struct AnnouncingListener {
    inner: Arc<dyn Listener>,
    daemon: Daemon,
    device: DeviceId,
    address: IpAddr,
    announced: Mutex<Option<String>>,
}

impl AnnouncingListener {
    /// `inner`, announced at `address`.
    ///
    /// # Errors
    /// [`DiscoveryError`] when this machine does not do multicast DNS.
    pub fn new(
        inner: Arc<dyn Listener>,
        device: DeviceId,
        address: IpAddr,
    ) -> Result<Self, DiscoveryError> {
        let daemon = Daemon::start()?;
        Ok(Self { inner, daemon, device, address, announced: Mutex::new(None) })
    }

    fn announce(&self, port: u16) -> Result<(), DiscoveryError> {
        let name = name(&self.device);
        let host = format!("{name}.local.");
        let text = [(TXT_VERSION, VERSION), (TXT_ID, self.device.as_str())];
        let service = ServiceInfo::new(SERVICE, &name, &host, self.address, port, &text[..])?;
        let announced = service.get_fullname().to_owned();
        self.daemon.0.register(service)?;
        self.replace(Some(announced));
        Ok(())
    }

    async fn withdraw(&self) {
        let Some(name) = self.replace(None) else { return };
        let Ok(gone) = self.daemon.0.unregister(&name) else { return };
        // Whoever has heard of it hears that it is gone, or forgets it soon.
        drop(tokio::time::timeout(FAREWELL, gone.recv_async()).await);
    }

    fn replace(&self, next: Option<String>) -> Option<String> {
        // One word: there is nothing a panic elsewhere could break.
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        core::mem::replace(&mut *announced, next)
    }
}

/// A label for names in DNS, where an id may hold what no label does.
fn name(device: &DeviceId) -> String {
    let hash = sha256(device.as_str().as_bytes());
    let short: String =
        b64::encode_url(&hash).chars().filter(char::is_ascii_alphanumeric).collect();
    format!("zmonitor-{}", short.get(..16).unwrap_or(&short).to_ascii_lowercase())
}

impl fmt::Debug for AnnouncingListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnnouncingListener").field("device", &self.device).finish_non_exhaustive()
    }
}

#[async_trait]
impl Listener for AnnouncingListener {
    async fn open(&self, endpoint: Arc<dyn DeviceEndpoint>) -> Result<u16, ListenError> {
        self.withdraw().await;
        let port = self.inner.open(endpoint).await?;
        if let Err(error) = self.announce(port) {
            tracing::warn!(%error, "the listener is not announced");
        }
        Ok(port)
    }

    async fn close(&self) {
        self.withdraw().await;
        self.inner.close().await;
    }
}
