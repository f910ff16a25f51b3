//! What operators, their pages and their programs ask.

use zmon_domain::ids::{BatchName, DeviceId};
use zmon_domain::limits;
use zmon_station::ports::CertificateState;
use zmon_station::{FleetOrder, FleetState};
use zmon_wire::admin::{
    DeviceList, DeviceRow, Done, EnrolmentAnswer, Health, ImportAnswer, LoginAnswer, LoginRequest,
    OperatorRequest, PasswordRequest, Readiness, RekeyAnswer, RevokeAnswer,
};
use zmon_wire::audit::{AuditPage, AuditVerdict};
use zmon_wire::batch::{
    BatchList, BatchRetryAnswer, BatchRetryRequest, BatchRow, BatchScanAnswer, BatchView,
};
use zmon_wire::blink::Blinking;
use zmon_wire::carry::{CourierAnswer, Return};
use zmon_wire::fleet::{
    AccessRequest, CertificateList, OperatorAnswer, OperatorList, Overview, PlaceRequest,
    PolicyView, RevokeRequest,
};
use zmon_wire::manifest::ManifestRow;
use zmon_wire::page::{PageView, Progress};
use zmon_wire::pair::{PairAnswer, PairPending, PairRequest, ScanAnswer, ScanRequest};

use super::devices;
use crate::client::JSON;
use crate::contract::{Form, Operation, Proof, Shape};
use crate::paths;
use crate::station_api::batches::CSV;
use crate::station_api::metrics::OPEN_METRICS;

const BODY: usize = limits::BODY_MAX.default;
const MANIFEST: usize = limits::MANIFEST_BYTES.default;
/// Those of any request: a query or a variable part of the path, no login, a login without the right, a
/// foreign page or host, faults.
const ALWAYS: [u16; 7] = [400, 401, 403, 421, 500, 503, 504];
/// What the device of a pairing, the network and the registry can have against it.
const PAIRING: [u16; 7] = [404, 409, 410, 422, 429, 502, 504];

pub(super) fn operations() -> Vec<Operation> {
    let all = [about_logins(), about_pairings(), about_devices(), about_batches(), about_station()];
    let all = all.into_iter().flatten();
    all.map(|operation| operation.refuses(&ALWAYS)).collect()
}

fn about_logins() -> Vec<Operation> {
    vec![
        Operation::post(paths::LOGIN, "Logs an operator's program in.")
            .proved_by(Proof::Nobody)
            .takes::<LoginRequest>(BODY)
            .answers::<LoginAnswer>()
            .refuses(&[429]),
        Operation::get(paths::PAGE_SESSION, "Says who is logged in with a page's cookie.")
            .proved_by(Proof::Maybe)
            .answers::<PageView>()
            .sets_cookie(),
        Operation::post(paths::PAGE_SESSION, "Logs an operator's page in, with a cookie.")
            .proved_by(Proof::Page)
            .takes::<LoginRequest>(BODY)
            .answers::<PageView>()
            .refuses(&[429])
            .sets_cookie(),
        Operation::post(paths::LOGOUT, "Ends the login that the request shows.")
            .answers::<Done>()
            .sets_cookie(),
        Operation::get(paths::OPERATORS, "Lists the accounts.").answers::<OperatorList>().tagged(),
        Operation::post(paths::OPERATORS, "Makes an account.")
            .takes::<OperatorRequest>(BODY)
            .answers::<OperatorAnswer>()
            .refuses(&[409, 422]),
        Operation::post(paths::OPERATOR_ACCESS, "Bars an account, or lets it in again.")
            .takes::<AccessRequest>(BODY)
            .answers::<Done>()
            .refuses(&[404, 409]),
        Operation::post(paths::OPERATOR_ONE_TIME, "Makes a one-time password for an account.")
            .answers::<OperatorAnswer>()
            .refuses(&[404, 409]),
        Operation::post(paths::OWN_PASSWORD, "Changes the password of the own account.")
            .takes::<PasswordRequest>(BODY)
            .answers::<Done>()
            .refuses(&[422, 429]),
    ]
}

fn about_pairings() -> Vec<Operation> {
    vec![
        Operation::post(paths::SESSIONS, "Claims the device of a scanned or typed code.")
            .takes::<ScanRequest>(BODY)
            .answers::<ScanAnswer>()
            .answers_with::<PairPending>(202)
            .refuses(&PAIRING),
        Operation::post(paths::PAIR, "Pairs a device.")
            .takes::<PairRequest>(BODY)
            .answers::<PairAnswer>()
            .answers_with::<PairPending>(202)
            .refuses(&PAIRING),
        Operation::get(paths::PAIR_SESSION, "Gives the result of a pairing to its operator.")
            .answers::<PairAnswer>()
            .answers_with::<PairPending>(202)
            .refuses(&PAIRING),
        Operation::get(paths::PAIR_EVENTS, "Follows a pairing: events named `session`.")
            .answers_events::<Progress>()
            .refuses(&[404]),
        Operation::post(paths::PAIR_CANCEL, "Gives a pairing up.")
            .answers::<Done>()
            .refuses(&[404, 409, 410]),
        Operation::get(paths::PAIR_COURIER, "Gives a courier the next message for the device.")
            .answers::<CourierAnswer>()
            .refuses(&[404, 409, 410]),
        Operation::post(paths::PAIR_COURIER, "Takes the device's answer from a courier.")
            .takes::<Return>(BODY)
            .answers::<Done>()
            .refuses(&PAIRING),
        Operation::post(paths::PAIR_BLINK, "Has the screen of the claimed device blink.")
            .answers::<Blinking>()
            .refuses(&PAIRING),
        devices::asked(),
    ]
}

fn about_devices() -> Vec<Operation> {
    vec![
        Operation::post(paths::REGISTRY_IMPORT, "Imports a manifest: all of it or nothing.")
            .takes_many::<ManifestRow>(MANIFEST)
            .answers::<ImportAnswer>()
            .refuses(&[409]),
        paged(Operation::get(paths::REGISTRY_DEVICES, "Lists registered devices."))
            .asks("text", Form::Text(limits::FILTER_MAX.default))
            .asks("state", Form::Words(FleetState::ALL.map(FleetState::as_str).to_vec()))
            .asks("order", Form::Words(FleetOrder::ALL.map(FleetOrder::as_str).to_vec()))
            .asks("after", Form::Type(Shape::of::<DeviceId>()))
            .answers::<DeviceList>()
            .tagged(),
        Operation::get(paths::REGISTRY_DEVICE, "Shows a registered device.")
            .answers::<DeviceRow>()
            .refuses(&[404])
            .tagged(),
        Operation::get(paths::REGISTRY_BED, "Lists the devices in service that have a bed.")
            .answers::<DeviceList>()
            .tagged(),
        Operation::get(paths::PLACE, "Shows where a device stands, with the tag of that.")
            .answers::<PlaceRequest>()
            .refuses(&[404])
            .tagged(),
        Operation::post(paths::PLACE, "Says where a device stands from now on.")
            .takes::<PlaceRequest>(BODY)
            .answers::<DeviceRow>()
            .refuses(&[404, 409])
            .conditional(),
        Operation::post(paths::DECOMMISSION, "Takes a device out of service.")
            .answers::<Done>()
            .refuses(&[404]),
        Operation::post(paths::REKEY, "Registers another identity key for a device (D21).")
            .takes_many::<ManifestRow>(BODY)
            .answers::<RekeyAnswer>()
            .refuses(&[404, 409]),
        Operation::post(paths::ENROLMENT, "Lets a device enrol once by EST (RFC 7030).")
            .answers::<EnrolmentAnswer>()
            .refuses(&[404, 409]),
        Operation::post(paths::ACCEPT_AUDIT, "Lets a device begin a new audit log (D16).")
            .answers::<Done>()
            .refuses(&[404]),
        paged(Operation::get(paths::CERTIFICATES, "Lists certificates of a state or a device."))
            .asks(
                "state",
                Form::Words(CertificateState::ALL.map(CertificateState::as_str).to_vec()),
            )
            .asks("deviceId", Form::Type(Shape::of::<DeviceId>()))
            .answers::<CertificateList>()
            .refuses(&[404])
            .tagged(),
        Operation::post(paths::REVOKE, "Revokes a certificate.")
            .takes_if_any::<RevokeRequest>(BODY)
            .answers::<RevokeAnswer>()
            .refuses(&[404]),
    ]
}

fn about_batches() -> Vec<Operation> {
    let change =
        |path, summary| Operation::post(path, summary).answers::<BatchView>().refuses(&[404, 409]);
    vec![
        paged(Operation::get(paths::BATCHES, "Lists batches, the newest first."))
            .answers::<BatchList>()
            .tagged(),
        Operation::post(paths::BATCHES, "Opens a batch of pairings from a manifest.")
            .asks_always("name", Form::Type(Shape::of::<BatchName>()))
            .takes_many::<BatchRow>(MANIFEST)
            .answers::<BatchView>(),
        Operation::get(paths::BATCH, "Shows a batch with its items.")
            .answers::<BatchView>()
            .refuses(&[404])
            .tagged(),
        Operation::get(paths::BATCH_EVENTS, "Follows a batch: events named `batch`.")
            .answers_events::<BatchView>()
            .refuses(&[404]),
        Operation::get(paths::BATCH_REPORT, "Gives the report of a batch as a table.")
            .answers_text(CSV)
            .refuses(&[404]),
        Operation::post(paths::BATCH_SCAN, "Pairs a scanned device with its item of a batch.")
            .takes::<ScanRequest>(BODY)
            .answers_with::<BatchScanAnswer>(202)
            .refuses(&PAIRING),
        change(paths::BATCH_PAUSE, "Has a batch take no scans for now."),
        change(paths::BATCH_RESUME, "Has a batch take scans again."),
        Operation::post(paths::BATCH_RETRY, "Has failed items of a batch wait again.")
            .takes_if_any::<BatchRetryRequest>(BODY)
            .answers::<BatchRetryAnswer>()
            .refuses(&[404, 409]),
        change(paths::BATCH_CLOSE, "Ends a batch."),
    ]
}

fn about_station() -> Vec<Operation> {
    let number = Form::Number(0, u64::MAX);
    vec![
        Operation::get(paths::AUDIT, "Gives rows of the audit log, forwards or backwards.")
            .asks("after", number.clone())
            .asks("before", number)
            .asks("limit", rows())
            .answers::<AuditPage>()
            .tagged(),
        Operation::get(paths::AUDIT_VERIFY, "Computes the chain of the audit log again.")
            .answers::<AuditVerdict>(),
        Operation::get(paths::OVERVIEW, "Gives figures at a glance.").answers::<Overview>(),
        Operation::get(paths::POLICY, "Says what the station is and allows.")
            .answers::<PolicyView>()
            .tagged(),
        Operation::get(paths::HEALTH, "Says whether the program runs.")
            .proved_by(Proof::Nobody)
            .answers::<Health>(),
        Operation::get(paths::READY, "Says whether this process takes pairings.")
            .proved_by(Proof::Nobody)
            .answers::<Readiness>()
            .answers_with::<Readiness>(503),
        Operation::get(paths::METRICS, "Gives figures in the text format of OpenMetrics.")
            .proved_by(Proof::LoginOrScraper)
            .answers_text(OPEN_METRICS),
        Operation::get(paths::OPENAPI, "Gives this document.").answers_text(JSON).tagged(),
    ]
}

fn paged(operation: Operation) -> Operation {
    operation.asks("offset", Form::Number(0, u64::MAX)).asks("limit", rows())
}

/// Rows of a page: who asks for more than there may be gets those.
fn rows() -> Form {
    Form::Number(0, u64::MAX)
}
