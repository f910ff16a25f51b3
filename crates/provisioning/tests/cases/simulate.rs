//! Simulated provisioning (D20): the real machine against a station in memory.

use std::sync::Arc;

use async_trait::async_trait;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::role::Role;
use zmon_domain::state::ProvisioningState;
use zmon_protocol::device::StationTrust;
use zmon_provisioning::ports::DeviceEndpoint;
use zmon_provisioning::qr::QrCodeData;
use zmon_provisioning::{
    CentralStationProvisioningService, IProvisioningService, ProvisioningPayload, SimulatedStation,
};
use zmon_wire::kind::TrustLevel;

use crate::common::station::FakeStation;
use crate::common::{Bench, device_id};

struct InMemory(Arc<FakeStation>);

#[async_trait]
impl SimulatedStation for InMemory {
    async fn provision(
        &self,
        qr: &QrCodeData,
        device: Arc<dyn DeviceEndpoint>,
        _payload: &ProvisioningPayload,
    ) -> Result<(), ErrorReport> {
        let (session, open) = self.0.scan(qr.qr_code_content(), qr.timestamp());
        let answer = device.session(open).await?;
        let identified = self.0.identify(session, &answer.identity);
        device.configuration(self.0.envelope(&identified, |_| ())).await.map(drop)
    }
}

async fn start(bench: &Bench, trust: StationTrust) -> CentralStationProvisioningService {
    let mut parts = bench.parts();
    parts.profile.trust = trust;
    let service = CentralStationProvisioningService::start(parts).await.unwrap();
    service.with_simulated_station(Arc::new(InMemory(bench.station.clone())))
}

#[tokio::test(start_paused = true)]
async fn the_real_machine_is_provisioned_by_a_station_in_memory() {
    let bench = Bench::at_level(Some(TrustLevel::Simulated));
    let service = start(&bench, StationTrust::Simulated).await;
    let payload = ProvisioningPayload::mock(&device_id(), "", bench.now());
    let closed = service.simulate_provisioning(&payload).await.error.unwrap();
    assert_eq!(closed.code(), ErrorCode::NotInProvisioningMode);
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    assert!(service.simulate_provisioning(&payload).await.is_success());
    assert_eq!(service.state(), ProvisioningState::Provisioned);
    assert_eq!(bench.store.commits(), 5, "the same commits as any pairing");
}

#[tokio::test(start_paused = true)]
async fn a_device_that_trusts_real_anchors_is_not_simulated() {
    let bench = Bench::new();
    let service = start(&bench, StationTrust::Anchored).await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    let payload = ProvisioningPayload::mock(&device_id(), "", bench.now());
    let refused = service.simulate_provisioning(&payload).await.error.unwrap();
    assert_eq!(refused.code(), ErrorCode::SimulationUnavailable);
    assert_eq!(service.state(), ProvisioningState::ReadyToPair);
}
