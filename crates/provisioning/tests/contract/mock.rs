//! The mock as a subject.

use std::sync::Arc;

use async_trait::async_trait;
use zmon_domain::error::ErrorCode;
use zmon_provisioning::ports::Clock;
use zmon_provisioning::{
    IProvisioningService, MockConfig, MockProvisioningService, ProvisioningPayload,
};

use super::{Behaviour, Subject};

struct Mock {
    service: MockProvisioningService,
    clock: Arc<dyn Clock>,
}

async fn make(behaviour: Behaviour) -> Box<dyn Subject> {
    let mut config = MockConfig::new("ZM-001", "SN-2024-001234", "192.168.1.100").unwrap();
    if behaviour == Behaviour::Refused {
        config.failure = Some(ErrorCode::ConnectionRefusedByStation);
    }
    let service = MockProvisioningService::new(config);
    let clock = service.clock();
    Box::new(Mock { service, clock })
}

#[async_trait]
impl Subject for Mock {
    fn service(&self) -> &dyn IProvisioningService {
        &self.service
    }

    fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    async fn payload(&self) -> ProvisioningPayload {
        let now = self.clock.now().wall.unwrap();
        ProvisioningPayload::mock(self.service.device_id(), "", now)
    }
}

super::contract_suite!(make);
