//! An anchor that is imported while the device runs (D8).

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use zmon_crypto::Anchor;
use zmon_crypto::x509::AnchorSet;
use zmon_domain::audit::EventType;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::{SiteId, Thumbprint};
use zmon_domain::role::Role;
use zmon_domain::state::ProvisioningState;
use zmon_protocol::device::StationTrust;
use zmon_provisioning::ports::AnchorStore;
use zmon_provisioning::{AnchorImport, CentralStationProvisioningService, IProvisioningService};
use zmon_wire::kind::TrustLevel;

use crate::common::{Bench, pass};

/// Anchors in memory, on a disk that may be full.
#[derive(Default)]
struct Kept {
    anchors: Mutex<Vec<Anchor>>,
    full: bool,
}

#[async_trait]
impl AnchorStore for Kept {
    async fn add(&self, anchor: &Anchor) -> Result<(), ErrorReport> {
        if self.full {
            return Err(ErrorCode::KeyStoreUnavailable.into());
        }
        self.anchors.lock().unwrap().push(anchor.clone());
        Ok(())
    }
}

/// A device that trusts by proximity, or by anchors and holds none.
async fn without_anchors(bench: &Bench, trust: StationTrust) -> CentralStationProvisioningService {
    let mut parts = bench.parts();
    parts.anchors = AnchorSet::new();
    parts.profile.trust = trust;
    CentralStationProvisioningService::start(parts).await.unwrap()
}

/// The anchor of the bench's station.
fn anchor(bench: &Bench) -> AnchorImport {
    let anchors = bench.station.anchors();
    let anchor = anchors.iter().next().unwrap();
    AnchorImport {
        certificate: anchor.ca_der().to_vec(),
        site: anchor.site_id().clone(),
        fingerprint: anchor.fingerprint(),
    }
}

async fn import(
    bench: &Bench,
    service: &CentralStationProvisioningService,
    role: Role,
    import: AnchorImport,
    kept: &Arc<Kept>,
) -> Result<(), ErrorCode> {
    let store = Arc::clone(kept) as Arc<dyn AnchorStore>;
    let done = service.import_anchor(bench.proof(role), import, store).await;
    done.map_err(|report| report.code())
}

#[tokio::test(start_paused = true)]
async fn an_imported_anchor_counts_at_once_and_is_audited_before_and_after() {
    let bench = Bench::new();
    let service = without_anchors(&bench, StationTrust::Anchored).await;
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    assert_eq!(bench.claim(&service).await.err().unwrap().code, ErrorCode::ClaimRefused);
    service.exit_provisioning_mode(None).await.unwrap();

    let kept = Arc::default();
    import(&bench, &service, Role::Administrator, anchor(&bench), &kept).await.unwrap();
    assert_eq!(kept.anchors.lock().unwrap().len(), 1);
    let rows = bench.store.rows_of(EventType::AnchorInstalled);
    let stages: Vec<_> = rows.iter().map(|row| row.detail.clone()).collect();
    let said = |stage: &str| {
        let fingerprint = anchor(&bench).fingerprint.to_string();
        stages.iter().any(|detail| {
            detail.contains(&("stage", stage.to_owned()))
                && detail.contains(&("anchor", fingerprint.clone()))
        })
    };
    assert!(rows.len() == 2 && said("intent") && said("outcome"), "{stages:?}");
    assert!(rows.iter().all(|row| row.success && row.device_id.is_some()));

    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    bench.pair(&service).await.unwrap();
    assert_eq!(service.state(), ProvisioningState::Provisioned);
}

#[tokio::test(start_paused = true)]
async fn an_anchor_ends_proximity() {
    let bench = Bench::new();
    let service = without_anchors(&bench, StationTrust::Proximity).await;
    let kept = Arc::default();
    import(&bench, &service, Role::Administrator, anchor(&bench), &kept).await.unwrap();
    // Nobody compares words, and the certificate says on what ground the station is believed.
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    bench.pair(&service).await.unwrap();
    let view = service.view().borrow().clone();
    assert_eq!((view.confirmation, view.station_trust), (None, Some(TrustLevel::Anchored)));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_anchor_or_not_the_compared_one_is_refused_with_its_row() {
    let bench = Bench::new();
    let service = bench.start().await;
    let (kept, good) = (Arc::default(), anchor(&bench));
    let other = AnchorImport { fingerprint: Thumbprint::from_bytes([1; 32]), ..good.clone() };
    let junk = AnchorImport { certificate: b"junk".to_vec(), ..good.clone() };
    let elsewhere = AnchorImport { site: SiteId::parse("elsewhere").unwrap(), ..good.clone() };
    let cases = [
        (Role::Technician, good.clone(), ErrorCode::NotPermitted),
        (Role::Auditor, good.clone(), ErrorCode::NotPermitted),
        (Role::Administrator, junk, ErrorCode::AnchorInvalid),
        (Role::Administrator, other, ErrorCode::AnchorFingerprintMismatch),
        // The key is an anchor already, and speaks for one site.
        (Role::Administrator, good.clone(), ErrorCode::AnchorInvalid),
        (Role::Administrator, elsewhere, ErrorCode::AnchorInvalid),
    ];
    for (number, (role, wanted, code)) in (1..).zip(cases) {
        assert_eq!(import(&bench, &service, role, wanted, &kept).await, Err(code));
        let rows = bench.store.rows_of(EventType::AnchorInstalled);
        assert_eq!((rows.len(), rows.last().unwrap().error), (number, Some(code)));
    }
    assert!(kept.anchors.lock().unwrap().is_empty());
    let expired = bench.proof(Role::Administrator);
    pass(core::time::Duration::from_secs(61)).await;
    let late = service.import_anchor(expired, good, kept).await.unwrap_err();
    assert_eq!(late.code(), ErrorCode::ProofExpired);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_imported_while_a_window_or_a_session_is_open() {
    let bench = Bench::new();
    let service = without_anchors(&bench, StationTrust::Proximity).await;
    let kept = Arc::default();
    let refused = Err(ErrorCode::StateConflict);
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    let by = Role::Administrator;
    assert_eq!(import(&bench, &service, by, anchor(&bench), &kept).await, refused);
    bench.claim(&service).await.unwrap();
    assert_eq!(import(&bench, &service, by, anchor(&bench), &kept).await, refused);
    service.exit_provisioning_mode(None).await.unwrap();
    assert_eq!(import(&bench, &service, by, anchor(&bench), &kept).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn without_a_row_or_a_place_on_disk_nothing_is_believed() {
    let bench = Bench::new();
    let service = without_anchors(&bench, StationTrust::Anchored).await;
    let (kept, by) = (Arc::default(), Role::Administrator);
    bench.store.fail_next(1);
    assert!(import(&bench, &service, by, anchor(&bench), &kept).await.is_err());
    assert!(kept.anchors.lock().unwrap().is_empty(), "no audit row, no operation");
    let full = Arc::new(Kept { full: true, ..Kept::default() });
    let refused = Err(ErrorCode::KeyStoreUnavailable);
    assert_eq!(import(&bench, &service, by, anchor(&bench), &full).await, refused);
    let rows = bench.store.rows_of(EventType::AnchorInstalled);
    assert_eq!(rows.last().unwrap().error, Some(ErrorCode::KeyStoreUnavailable));
    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    assert_eq!(bench.claim(&service).await.err().unwrap().code, ErrorCode::ClaimRefused);
}
