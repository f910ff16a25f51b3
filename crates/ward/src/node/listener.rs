//! A device's provisioning listener.

use core::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use async_trait::async_trait;
use zmon_provisioning::ports::{DeviceEndpoint, ListenError, Listener};

use super::lan::{Lan, Place};
use crate::life::Life;

/// Opens another port each time.
pub(super) struct Ear {
    pub(super) lan: Arc<Lan>,
    pub(super) index: usize,
    pub(super) address: IpAddr,
    pub(super) thumbprint16: [u8; 16],
    pub(super) life: Life,
    pub(super) port: Arc<AtomicU16>,
}

#[async_trait]
impl Listener for Ear {
    async fn open(&self, endpoint: Arc<dyn DeviceEndpoint>) -> Result<u16, ListenError> {
        self.life.go_on().await;
        self.lan.hang_up(self.index);
        let port = self.port.fetch_add(1, Ordering::Relaxed);
        let (index, thumbprint16) = (self.index, self.thumbprint16);
        self.lan.listen((self.address, port), Place { index, thumbprint16, endpoint });
        Ok(port)
    }

    async fn close(&self) {
        self.life.go_on().await;
        self.lan.hang_up(self.index);
    }
}
