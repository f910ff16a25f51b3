//! The production service as a subject.

use async_trait::async_trait;
use zmon_domain::time::UnixTime;
use zmon_provisioning::ports::Clock;
use zmon_provisioning::{
    CentralStationProvisioningService, IProvisioningService, ProvisioningPayload,
};

use super::{Behaviour, Subject};
use crate::common::Bench;

struct Central {
    bench: Bench,
    service: CentralStationProvisioningService,
    behaviour: Behaviour,
}

async fn make(behaviour: Behaviour) -> Box<dyn Subject> {
    let bench = Bench::new();
    let service = bench.start().await;
    Box::new(Central { bench, service, behaviour })
}

#[async_trait]
impl Subject for Central {
    fn service(&self) -> &dyn IProvisioningService {
        &self.service
    }

    fn clock(&self) -> &dyn Clock {
        &*self.bench.clock
    }

    async fn payload(&self) -> ProvisioningPayload {
        let identified = self.bench.claim(&self.service).await.unwrap();
        let envelope = self.bench.station.envelope(&identified, |document| {
            if self.behaviour == Behaviour::Expired {
                document.timestamp = UnixTime::EPOCH;
                document.expires_at = UnixTime::EPOCH;
            }
        });
        ProvisioningPayload::from_envelope(envelope)
    }
}

super::contract_suite!(make);
