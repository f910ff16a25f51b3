//! The production service as a subject.

use async_trait::async_trait;
use zmon_domain::error::ErrorCode;
use zmon_protocol::device::LinkError;
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
        if self.behaviour == Behaviour::Refused {
            let refusal = LinkError::Refused(ErrorCode::ConnectionRefusedByStation);
            self.bench.link.tests.lock().unwrap().push(refusal);
        }
        let identified = self.bench.claim(&self.service).await.unwrap();
        let envelope = self.bench.station.envelope(&identified, |_| ());
        ProvisioningPayload::from_envelope(envelope)
    }
}

super::contract_suite!(make);
