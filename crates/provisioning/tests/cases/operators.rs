//! Local accounts with their rows (D16, D22).

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use zmon_domain::audit::EventType;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::OperatorId;
use zmon_domain::role::{Actor, OperatorProof, Role};
use zmon_domain::time::Now;
use zmon_provisioning::AuditedOperators;
use zmon_provisioning::ports::{Authenticator, OperatorAccounts, Pin};

use crate::common::{Bench, device_id};

/// Accounts in memory; a name that is taken is refused, as is every PIN.
#[derive(Default)]
struct Accounts(Mutex<Vec<(OperatorId, Role)>>);

#[async_trait]
impl Authenticator for Accounts {
    async fn authenticate(
        &self,
        _: &OperatorId,
        _: Pin,
        _: &Now,
    ) -> Result<OperatorProof, ErrorReport> {
        Err(ErrorCode::AuthenticationFailed.into())
    }
}

#[async_trait]
impl OperatorAccounts for Accounts {
    async fn create_administrator(&self, id: OperatorId, _: Pin) -> Result<(), ErrorReport> {
        self.0.lock().unwrap().push((id, Role::Administrator));
        Ok(())
    }

    async fn add_operator(
        &self,
        _: &OperatorProof,
        _: &Now,
        id: OperatorId,
        role: Role,
        _: Pin,
    ) -> Result<(), ErrorReport> {
        let mut accounts = self.0.lock().unwrap();
        if accounts.iter().any(|(known, _)| *known == id) {
            return Err(ErrorCode::OperatorExists.into());
        }
        accounts.push((id, role));
        Ok(())
    }

    async fn remove_operator(
        &self,
        _: &OperatorProof,
        _: &Now,
        id: OperatorId,
    ) -> Result<(), ErrorReport> {
        self.0.lock().unwrap().retain(|(known, _)| *known != id);
        Ok(())
    }

    async fn set_pin(
        &self,
        _: &OperatorProof,
        _: &Now,
        _: OperatorId,
        _: Pin,
    ) -> Result<(), ErrorReport> {
        Err(ErrorCode::PinTooWeak.into())
    }

    async fn unlock(&self, _: &OperatorProof, _: &Now, _: OperatorId) -> Result<(), ErrorReport> {
        Ok(())
    }

    async fn operators(&self) -> Vec<(OperatorId, Role)> {
        self.0.lock().unwrap().clone()
    }

    async fn is_locked(&self, _: &OperatorId, _: &Now) -> Result<bool, ErrorReport> {
        Ok(false)
    }
}

fn id(text: &str) -> OperatorId {
    OperatorId::parse(text).unwrap()
}

fn pin() -> Pin {
    Pin::parse("483920").unwrap()
}

fn audited(bench: &Bench) -> AuditedOperators {
    let accounts = Arc::new(Accounts::default());
    AuditedOperators::new(accounts, bench.store.clone(), bench.clock.clone(), device_id())
}

#[tokio::test(start_paused = true)]
async fn every_change_has_an_intent_and_an_outcome() {
    let bench = Bench::new();
    let operators = audited(&bench);
    operators.create_administrator(id("ada"), pin()).await.unwrap();
    let second = operators.create_administrator(id("eve"), pin()).await.unwrap_err();
    assert_eq!(second.code(), ErrorCode::StateConflict);
    let ada = bench.proof(Role::Administrator);
    operators.add(&ada, id("tina"), Role::Technician, pin()).await.unwrap();
    let twice = operators.add(&ada, id("tina"), Role::Technician, pin()).await.unwrap_err();
    assert_eq!(twice.code(), ErrorCode::OperatorExists);
    let added = bench.store.rows_of(EventType::OperatorAdded);
    let stages: Vec<_> = added
        .iter()
        .map(|row| {
            let stage = row.detail.iter().find(|(key, _)| *key == "stage");
            (stage.map(|(_, stage)| stage.as_str()), row.error)
        })
        .collect();
    let (intent, outcome) = (Some("intent"), Some("outcome"));
    assert_eq!(
        stages,
        [
            (intent, None),
            (outcome, None),
            (None, Some(ErrorCode::StateConflict)),
            (intent, None),
            (outcome, None),
            (intent, None),
            (outcome, Some(ErrorCode::OperatorExists)),
        ]
    );
    assert!(added[..3].iter().all(|row| row.actor == Actor::Local), "nobody was there before");
    assert!(added[3..].iter().all(|row| row.actor == ada.actor()));

    let weak = operators.set_pin(&ada, id("tina"), pin()).await.unwrap_err();
    assert_eq!(weak.code(), ErrorCode::PinTooWeak);
    operators.unlock(&ada, id("tina")).await.unwrap();
    operators.remove(&ada, id("tina")).await.unwrap();
    assert_eq!(bench.store.rows_of(EventType::OperatorChanged).len(), 6);
    let left = operators.list(&ada).await.unwrap();
    assert_eq!((left.len(), &left[0].id), (1, &id("ada")));
    assert_eq!(operators.operators().await, [(id("ada"), Role::Administrator)]);
}

#[tokio::test(start_paused = true)]
async fn refusals_have_their_row_and_without_a_row_nothing_is_changed() {
    let bench = Bench::new();
    let operators = audited(&bench);
    let technician = bench.proof(Role::Technician);
    let refused = operators.add(&technician, id("eve"), Role::Administrator, pin()).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::NotPermitted);
    assert_eq!(operators.list(&technician).await.unwrap_err().code(), ErrorCode::NotPermitted);
    let now = zmon_provisioning::ports::Clock::now(&*bench.clock);
    let wrong = operators.authenticate(&id("eve"), pin(), &now).await.unwrap_err();
    assert_eq!(wrong.code(), ErrorCode::AuthenticationFailed);
    let told = [EventType::OperatorAdded, EventType::OperationRefused, EventType::LoginRefused];
    assert_eq!(bench.store.event_types(), told);

    bench.store.fail_next(1);
    let ada = bench.proof(Role::Administrator);
    let unwritten = operators.add(&ada, id("eve"), Role::Technician, pin()).await.unwrap_err();
    assert_eq!(unwritten.code(), ErrorCode::AuditUnavailable);
    assert!(operators.operators().await.is_empty());
}
