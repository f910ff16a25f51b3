//! The Central Station over HTTP: operators on one listener, devices on another.
//!
//! | listener | who | proves | paths |
//! |---|---|---|---|
//! | operators' | `zmon`, programs | bearer token from a login | `/api/auth`, `/api/provisioning`, `/api/registry`, … |
//! | operators' | pages on tablets | cookie from a login, and for changes that a page of ours asks | the same |
//! | devices' | provisioned monitors | client certificate, checked on every request | `/api/device/…` |
//! | operators' | devices with a credential, if the policy says so | that credential, once (RFC 7030) | `/.well-known/est/…` |
//! | devices' | devices that renew by EST, if the policy says so | client certificate | `/.well-known/est/…` |
//! | devices', ALPN [`OUTCOME_ALPN`](crate::paths::OUTCOME_ALPN) | monitors in doubt, and wiped ones | a signed question (D13) or statement (D21) | `/api/provisioning/outcome`, `/api/provisioning/retire` |
//! | devices', ALPN [`RECOVERY_ALPN`](crate::paths::RECOVERY_ALPN) | monitors whose certificate has expired | a signed request, a counter and an identity document (D23) | `/api/provisioning/recover…` |
//! | devices', ALPN [`PULL_ALPN`](crate::paths::PULL_ALPN) | monitors whose window is open | a signed poll that repeats a challenge (D7) | `/api/provisioning/poll` |
//!
//! Handlers parse, call one use-case of [`Station`] and write its answer. Every failure is a
//! problem document with the same text as the screens and the audit log; permissions are the
//! station's business and are audited there. Who has proved nothing gets one answer a listener, and
//! only `/api/health`, `/api/ready`, the authorities of EST and a login that does not parse say more (D24).

mod answer;
mod batch_events;
mod batches;
pub mod contract;
mod credential;
mod devices;
mod est;
mod gate;
mod interpose;
mod listeners;
mod login;
mod metrics;
mod page;
mod pairing;
mod progress;
mod query;
mod registry;
mod rows;
mod tagged;

pub use crate::server::Hosts;
pub use interpose::{DeviceRequest, Fate, Interposed};
pub use listeners::{Binds, BoundListeners, StartError, StationListeners, follow_revocations};
pub use metrics::ScrapeToken;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::middleware::{from_fn_with_state, map_response};
use axum::routing::{get, post};
use tokio_util::sync::CancellationToken;
use zmon_domain::error::{ErrorCode, ErrorReport, Side};
use zmon_station::{EnrolmentPolicy, Station};

use self::contract::Contract;
use self::gate::Behind;
use self::metrics::HttpMetrics;
use crate::paths;
use crate::problem;
use crate::server::{Fault, Service};

/// What handlers share.
#[derive(Clone)]
struct Api {
    station: Arc<Station>,
    hosts: Arc<Hosts>,
    behind: Behind,
    requests: Arc<AtomicU64>,
    metrics: HttpMetrics,
    /// What may be asked and answered here.
    contract: Arc<Contract>,
    /// The monitoring system, if there is one.
    scraper: Option<ScrapeToken>,
    /// Ends the streams of pages: nothing else does.
    closing: CancellationToken,
}

impl Api {
    fn serve(self, router: Router<Self>) -> Service {
        // The router adds `Allow` outside its own layers: what takes it away goes around it.
        let behind = self.behind;
        let outer = Router::new().fallback_service(self.gated(router));
        let router = match behind {
            Behind::Operators => outer.layer(map_response(answer::discreet)),
            Behind::Certificates => outer,
            // Each answer is the last of its connection: strangers keep no place of a monitor.
            Behind::Strangers => outer.layer(map_response(answer::closing)),
        };
        Service::new(router, |fault| {
            let report = ErrorReport::from(fault_code(fault)).on(Side::Station);
            problem::response(&report)
        })
    }

    fn gated(self, router: Router<Self>) -> Router {
        router
            .method_not_allowed_fallback(gate::method_not_allowed)
            .fallback(gate::not_found)
            .layer(from_fn_with_state(self.clone(), gate::gate))
            .with_state(self)
    }
}

fn fault_code(fault: Fault) -> ErrorCode {
    match fault {
        Fault::Timeout => ErrorCode::Timeout,
        Fault::Panic => ErrorCode::Internal,
    }
}

/// The operators' interface; answers only to the names in `hosts` (T19).
pub fn operators(station: &Arc<Station>, hosts: Hosts) -> Service {
    Interfaces::default().operators(station, hosts, None, CancellationToken::new())
}

/// The devices' interface, for a listener that has verified a client certificate.
pub fn devices(station: &Arc<Station>, hosts: Hosts) -> Service {
    Interfaces::default().devices(station, hosts)
}

/// The interface for devices whose certificate has expired (D23).
pub fn recovery(station: &Arc<Station>, hosts: Hosts) -> Service {
    Interfaces::default().recovery(station, hosts)
}

/// The interface for devices whose window is open (D7).
pub fn pull(station: &Arc<Station>, hosts: Hosts) -> Service {
    Interfaces::default().pull(station, hosts)
}

/// The interface for devices that hold no certificate which is still accepted: in doubt, or wiped.
pub fn outcome(station: &Arc<Station>, hosts: Hosts) -> Service {
    Interfaces::default().outcome(station, hosts)
}

/// The interfaces of one station, which count together.
#[derive(Default)]
struct Interfaces {
    /// Somebody between the devices and the station.
    between: Option<Arc<dyn Interposed>>,
    /// The monitoring system that may read figures.
    scraper: Option<ScrapeToken>,
    metrics: HttpMetrics,
}

impl Interfaces {
    fn api(&self, station: &Arc<Station>, hosts: Hosts, behind: Behind) -> Api {
        Api {
            station: Arc::clone(station),
            hosts: Arc::new(hosts),
            behind,
            requests: Arc::new(AtomicU64::new(0)),
            metrics: self.metrics.clone(),
            contract: Arc::new(Contract::of(behind)),
            scraper: self.scraper.clone(),
            closing: CancellationToken::new(),
        }
    }

    /// With somebody's pages beside it, which bring routes and no fallback, and streams that end
    /// with `closing`.
    fn operators(
        &self,
        station: &Arc<Station>,
        hosts: Hosts,
        pages: Option<Router>,
        closing: CancellationToken,
    ) -> Service {
        let router = Router::new()
            .route(paths::PAGE_SESSION, get(page::view).post(page::log_in))
            .route(paths::PAIR_EVENTS, get(progress::events))
            .route(paths::REGISTRY_DEVICE, get(registry::device))
            .route(paths::REGISTRY_BED, get(registry::bed))
            .route(paths::HEALTH, get(login::health))
            .route(paths::METRICS, get(metrics::metrics))
            .route(paths::READY, get(login::ready))
            .route(paths::OPENAPI, get(tagged::document))
            .route(paths::LOGIN, post(login::login))
            .route(paths::LOGOUT, post(login::logout))
            .route(paths::OPERATORS, get(login::operators).post(login::add_operator))
            .route(paths::OPERATOR_ACCESS, post(login::set_access))
            .route(paths::OPERATOR_ONE_TIME, post(login::reset_password))
            .route(paths::OWN_PASSWORD, post(login::change_password))
            .route(paths::SESSIONS, post(pairing::scan))
            .route(paths::PAIR, post(pairing::pair))
            .route(paths::PAIR_SESSION, get(pairing::result))
            .route(paths::PAIR_CANCEL, post(pairing::cancel))
            .route(paths::PAIR_COURIER, get(pairing::courier_message).post(pairing::courier_return))
            .route(paths::PAIR_BLINK, post(pairing::blink))
            .route(paths::OUTCOME, post(devices::outcome))
            .route(paths::REGISTRY_IMPORT, post(registry::import))
            .route(paths::REGISTRY_DEVICES, get(registry::devices))
            .route(paths::ACCEPT_AUDIT, post(registry::accept_audit))
            .route(paths::PLACE, get(registry::place).post(registry::set_place))
            .route(paths::DECOMMISSION, post(registry::decommission))
            .route(paths::BATCHES, get(batches::list).post(batches::open))
            .route(paths::BATCH, get(batches::batch))
            .route(paths::BATCH_EVENTS, get(batch_events::events))
            .route(paths::BATCH_REPORT, get(batches::report))
            .route(paths::BATCH_SCAN, post(batches::scan))
            .route(paths::BATCH_PAUSE, post(batches::pause))
            .route(paths::BATCH_RESUME, post(batches::resume))
            .route(paths::BATCH_RETRY, post(batches::retry))
            .route(paths::BATCH_CLOSE, post(batches::close))
            .route(paths::CERTIFICATES, get(registry::certificates))
            .route(paths::OVERVIEW, get(registry::overview))
            .route(paths::POLICY, get(registry::policy))
            .route(paths::REKEY, post(registry::rekey))
            .route(paths::ENROLMENT, post(registry::permit_enrolment))
            .route(paths::REVOKE, post(registry::revoke))
            .route(paths::AUDIT, get(registry::audit))
            .route(paths::AUDIT_VERIFY, get(registry::verify_audit));
        let router = match station.policy().enrolment {
            EnrolmentPolicy::Off => router,
            EnrolmentPolicy::Reenroll => est_for_anybody(router),
            EnrolmentPolicy::Enroll => {
                est_for_anybody(router).route(paths::EST_ENROLL, post(est::enrol))
            }
        };
        let router = match pages {
            Some(pages) => router.merge(pages.with_state(())),
            None => router,
        };
        Api { closing, ..self.api(station, hosts, Behind::Operators) }.serve(router)
    }

    fn pull(&self, station: &Arc<Station>, hosts: Hosts) -> Service {
        let router = Router::new().route(paths::POLL, post(devices::poll));
        self.api(station, hosts, Behind::Strangers).serve(router)
    }

    fn devices(&self, station: &Arc<Station>, hosts: Hosts) -> Service {
        let router = Router::new()
            .route(paths::DEVICE_TEST, get(devices::test))
            .route(paths::DEVICE_COMMIT, post(devices::commit))
            .route(paths::DEVICE_RENEW, post(devices::renew))
            .route(paths::DEVICE_RENEW_IDENTITY, post(devices::renew_identity))
            .route(paths::DEVICE_HEARTBEAT, post(devices::heartbeat));
        let router = match station.policy().enrolment {
            EnrolmentPolicy::Off => router,
            EnrolmentPolicy::Reenroll | EnrolmentPolicy::Enroll => {
                est_for_anybody(router).route(paths::EST_REENROLL, post(est::reenrol))
            }
        };
        self.api(station, hosts, Behind::Certificates).serve(self.between(router))
    }

    fn recovery(&self, station: &Arc<Station>, hosts: Hosts) -> Service {
        let router = Router::new()
            .route(paths::RECOVER, post(devices::recover))
            .route(paths::RECOVER_IDENTITY, post(devices::recover_identity));
        self.api(station, hosts, Behind::Strangers).serve(self.between(router))
    }

    fn outcome(&self, station: &Arc<Station>, hosts: Hosts) -> Service {
        let router = Router::new()
            .route(paths::OUTCOME, post(devices::outcome))
            .route(paths::RETIRE, post(devices::retire));
        self.api(station, hosts, Behind::Strangers).serve(self.between(router))
    }

    fn between(&self, router: Router<Api>) -> Router<Api> {
        match &self.between {
            Some(between) => {
                router.layer(from_fn_with_state(Arc::clone(between), interpose::between))
            }
            None => router,
        }
    }
}

/// What an EST client asks before it has proved anything (RFC 7030 §4.1, §4.5).
fn est_for_anybody(router: Router<Api>) -> Router<Api> {
    router
        .route(paths::EST_AUTHORITIES, get(est::authorities))
        .route(paths::EST_ATTRIBUTES, get(est::attributes))
}
