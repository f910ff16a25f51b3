//! What these tests share: a ward of devices, and a manifest of theirs.

mod control;
mod manifest;
mod run;
mod scans;

use std::sync::Arc;
use std::time::Duration;

use crate::common::{FakeDevice, World, pass, technician};
use zmon_crypto::Suite;
use zmon_domain::batch::ItemState;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{BatchId, BatchName};
use zmon_wire::batch::{BatchItemView, BatchView};

/// Devices 1 to `n`, registered and plugged in.
async fn ward(world: &World, n: u8) -> Vec<Arc<FakeDevice>> {
    let devices: Vec<_> = (1..=n).map(|n| FakeDevice::new(n, Suite::P256)).collect();
    world.know(&devices.iter().collect::<Vec<_>>()).await;
    devices
}

/// A row that gives each device a bed and a label of its own.
fn row(device: &FakeDevice) -> String {
    let id = &device.id;
    format!(r#"{{"deviceId":"{id}","bedId":"BED-{id}","deviceLabel":"Monitor {id}"}}"#)
}

fn manifest(devices: &[Arc<FakeDevice>]) -> String {
    devices.iter().map(|device| row(device)).collect::<Vec<_>>().join("\n")
}

fn name() -> BatchName {
    BatchName::parse("Ward 3").unwrap()
}

async fn open(world: &World, manifest: &str) -> BatchView {
    world.station.open_batch(&technician(), name(), manifest.as_bytes()).await.unwrap()
}

async fn scan(world: &World, batch: &BatchId, device: &FakeDevice) -> Result<u32, ErrorCode> {
    let scanned = world.station.batch_scan(&technician(), batch, device.scan_request()).await;
    scanned.map(|answer| answer.row).map_err(|error| error.code())
}

async fn look(world: &World, batch: &BatchId) -> BatchView {
    world.station.batch(&technician(), batch).await.unwrap()
}

async fn item(world: &World, batch: &BatchId, row: u32) -> BatchItemView {
    let items = look(world, batch).await.items;
    items.into_iter().find(|item| item.row == row).unwrap()
}

/// Waits until nothing of the batch is at work.
async fn ended(world: &World, batch: &BatchId) -> BatchView {
    loop {
        let view = look(world, batch).await;
        if view.counts.pairing == 0 {
            return view;
        }
        pass(Duration::from_secs(1)).await;
    }
}

fn states(view: &BatchView) -> Vec<ItemState> {
    view.items.iter().map(|item| item.state).collect()
}

fn code(item: &BatchItemView) -> Option<ErrorCode> {
    item.problem.as_ref().map(|problem| problem.code)
}
