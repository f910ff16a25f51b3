//! From storage to a running driver.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use zmon_crypto::{CodeHashKey, Secret32, TokenKey, labels};
use zmon_domain::error::ErrorReport;
use zmon_domain::state::ProvisioningState;
use zmon_protocol::device::{DeviceContext, DeviceMachine};

use super::gate::Gate;
use super::handle::QUEUE;
use super::ledger::CodeLedger;
use super::outcome::Waiting;
use super::tasks::StationTasks;
use super::{DeviceParts, Driver, Handle, Shared, StepError};
use crate::link::{LinkParts, LinkStatus, LinkSupervisor};
use crate::service::ServiceView;

/// What a service keeps of its driver. The driver ends when the last clone of `commands` is gone.
pub(crate) struct Started {
    pub(crate) commands: mpsc::Sender<super::Command>,
    pub(crate) handle: Handle,
    pub(crate) shared: Shared,
    pub(crate) gate: Gate,
    pub(crate) link: watch::Receiver<LinkStatus>,
}

/// Loads the device, commits what its restart means and spawns the driver.
pub(crate) async fn start(mut parts: DeviceParts) -> Result<Started, ErrorReport> {
    let token_key = TokenKey::from_secret(key(&parts, labels::TOKEN)?);
    let code_hash_key = CodeHashKey::from_secret(key(&parts, labels::CODE_HASH)?);
    // What the station is told about the keys is what the key store says.
    parts.profile.key_protection = parts.keys.protection();
    let boot = parts.store.load().await?;
    let checkpoint = parts.store.checkpoint().await?;
    let now = parts.clock.now();
    let mut restored = DeviceMachine::restore(
        boot,
        &DeviceContext {
            profile: &parts.profile,
            identity: parts.keys.identity(),
            token_key: &token_key,
            code_hash_key: &code_hash_key,
            anchors: &parts.anchors,
            algorithms: &parts.algorithms,
            checkpoint: checkpoint.as_deref(),
        },
        &now,
    );
    restored.next = restored.next.at(parts.address);

    let shared = Shared::new(
        ServiceView::new(ProvisioningState::NotProvisioned),
        CodeLedger::new(code_hash_key.clone(), parts.profile.code_format),
    );
    shared.found_manual(parts.local.manual.find().await);
    let link = LinkSupervisor::spawn(LinkParts {
        station: Arc::clone(&parts.station),
        clock: Arc::clone(&parts.clock),
        rng: parts.rng.clone(),
        view: shared.view.subscribe(),
        store: Arc::clone(&parts.store),
    });
    let (commands, command_queue) = mpsc::channel(QUEUE);
    let (results, result_queue) = mpsc::unbounded_channel();
    let handle = Handle::new(&commands);
    let status = link.status();
    let gate = Gate::new(Arc::clone(&parts.interlock));
    let mut driver = Driver {
        station: StationTasks::new(Arc::clone(&parts.station), gate.clone(), results),
        gate: gate.clone(),
        token_key,
        code_hash_key,
        checkpoint,
        machine: restored.next.clone(),
        link,
        shared: shared.clone(),
        handle: handle.clone(),
        proven: status.clone(),
        waiting: Waiting::default(),
        queue: VecDeque::new(),
        retry: None,
        spins: 0,
        parts,
    };
    driver.take(restored, &now).await.map_err(StepError::into_report)?;
    driver.drain().await?;
    driver.report_manual().await?;
    tokio::spawn(driver.run(command_queue, result_queue));
    Ok(Started { commands, handle, shared, gate, link: status })
}

fn key(parts: &DeviceParts, label: &[u8]) -> Result<Secret32, ErrorReport> {
    parts.keys.derive(label).map_err(|error| {
        tracing::error!(%error, "the device's keys cannot be used");
        ErrorReport::from(error.code())
    })
}
