//! Every message of the crate with its golden file: one list for all tests.

use serde_json::Value;
use zmon_domain::limits;
use zmon_wire::{
    admin, audit, batch, blink, carry, checkpoint, configuration, control, fleet, heartbeat, hello,
    identity, jws, manifest, outcome, page, pair, pake, problem, pull, qr, ready, retire, screen,
    session,
    strict::{self, WireError},
};

/// A message type with the text of its golden file.
pub(crate) struct Golden {
    /// The file's name without its ending.
    pub(crate) name: &'static str,
    /// The file: pretty-printed JSON with its members in wire order.
    pub(crate) text: &'static str,
    /// Reads a message of this type and writes it again.
    pub(crate) rewrite: fn(&[u8]) -> Result<Vec<u8>, WireError>,
}

impl Golden {
    /// The file as a JSON value.
    pub(crate) fn value(&self) -> Value {
        serde_json::from_str(self.text).expect("a golden file is JSON")
    }

    /// Reads a changed message.
    pub(crate) fn read(&self, value: &Value) -> Result<Vec<u8>, WireError> {
        (self.rewrite)(value.to_string().as_bytes())
    }
}

fn rewrite<T: serde::de::DeserializeOwned + serde::Serialize>(
    bytes: &[u8],
) -> Result<Vec<u8>, WireError> {
    strict::to_vec(&strict::parse::<T>(bytes, limits::BODY_MAX.default)?)
}

macro_rules! goldens {
    ($($type:ty: $($name:literal),+;)+) => {
        /// Every golden file.
        pub(crate) const ALL: &[Golden] = &[$($(Golden {
            name: $name,
            text: include_str!(concat!("../golden/", $name, ".json")),
            rewrite: rewrite::<$type>,
        },)+)+];
    };
}

goldens! {
    qr::QrContent: "qr";
    jws::JwsHeader: "jws-header";
    hello::Hello: "hello";
    identity::IdentityDocument: "identity";
    configuration::ConfigurationDocument: "configuration";
    configuration::ProvisioningPayload: "payload";
    session::SessionOpen: "session-open";
    session::SessionAnswer: "session-answer";
    session::DeliveryAnswer: "delivery-answer";
    session::StatusDocument: "status", "status-failed";
    pake::WindowAnswer: "window-answer";
    pake::PakeStart: "pake-start";
    pake::PakeStarted: "pake-started";
    pake::PakeConfirm: "pake-confirm";
    blink::BlinkRequest: "blink-request";
    blink::BlinkAnswer: "blink-answer";
    blink::Blinking: "blinking";
    outcome::CommitRequest: "commit-request";
    outcome::OutcomeAsk: "outcome-ask";
    outcome::OutcomeRequest: "outcome-request";
    outcome::OutcomeAnswer: "outcome-answer";
    outcome::Outcome: "outcome";
    retire::RetireStatement: "retire";
    retire::RetireRequest: "retire-request";
    retire::RetireAnswer: "retire-answer";
    pull::Pull: "pull", "pull-recovery";
    pull::PullRequest: "pull-request";
    pull::PullAnswer: "pull-answer";
    pull::FetchRequest: "fetch-request";
    carry::Carriage: "carriage", "carriage-window", "carriage-pake-start", "carriage-pake-confirm",
        "carriage-blink", "carriage-configuration";
    carry::Return: "return", "return-window", "return-share", "return-blinking", "return-status", "return-refused";
    carry::CourierAnswer: "courier-answer", "courier-answer-waiting";
    carry::Poll: "poll", "poll-first";
    carry::PollRequest: "poll-request";
    carry::PollAnswer: "poll-answer", "poll-answer-empty";
    checkpoint::Checkpoint: "checkpoint";
    pair::ScanRequest: "scan-request";
    pair::ScanAnswer: "scan-answer";
    pair::PairRequest: "pair-request", "pair-request-full";
    pair::PairAnswer: "pair-answer";
    pair::PairPending: "pair-pending", "pair-pending-words";
    problem::Problem: "problem";
    heartbeat::Heartbeat: "heartbeat";
    heartbeat::HeartbeatAnswer: "heartbeat-answer";
    manifest::ManifestRow: "manifest-row";
    audit::AuditEntry: "audit-entry";
    audit::AuditPage: "audit-page";
    audit::AuditVerdict: "audit-verdict";
    ready::Ready: "ready";
    admin::LoginRequest: "login-request";
    admin::LoginAnswer: "login-answer";
    admin::LoginAnswer: "login-answer-one-time";
    admin::PasswordRequest: "password-request";
    admin::OperatorRequest: "operator-request";
    admin::Done: "done";
    admin::ImportAnswer: "import-answer";
    admin::RekeyAnswer: "rekey-answer";
    admin::EnrolmentAnswer: "enrolment-answer";
    admin::DeviceRow: "device-row";
    admin::DeviceList: "device-list";
    admin::RevokeAnswer: "revoke-answer";
    fleet::PlaceRequest: "place-request";
    fleet::CertificateList: "certificate-list";
    fleet::RevokeRequest: "revoke-request";
    fleet::OperatorList: "operator-list";
    fleet::OperatorAnswer: "operator-answer";
    fleet::AccessRequest: "access-request";
    fleet::Overview: "overview";
    fleet::PolicyView: "policy";
    admin::Health: "health";
    admin::Readiness: "readiness";
    admin::TestAnswer: "test-answer";
    control::ControlRequest: "control-status", "control-enter", "control-reprovision", "control-qr",
        "control-regenerate", "control-cancel", "control-retry", "control-reset", "control-deprovision",
        "control-renew", "control-simulate",
        "control-identity", "control-link", "control-log", "control-verify", "control-events",
        "control-add-operator", "control-list-operators", "control-remove-operator", "control-set-pin",
        "control-unlock-operator", "control-factory-reset", "control-new-identity", "control-migrate", "control-postpone-migration",
        "control-create-administrator", "control-confirm-station", "control-refuse-station", "control-courier",
        "control-anchors", "control-import-anchor";
    control::ControlAnswer: "answer-done", "answer-status", "answer-status-confirm", "answer-qr", "answer-identity", "answer-link",
        "answer-log", "answer-courier", "answer-verdict", "answer-operators", "answer-anchors", "answer-error", "event-qr-code-generated", "event-qr-code-expired",
        "event-configuration-received", "event-provisioning-completed", "event-provisioning-failed",
        "event-status-changed";
    screen::ScreenView: "screen";
    screen::ScreenOperators: "screen-operators";
    screen::ScreenRequest: "screen-enter", "screen-reprovision", "screen-migrate", "screen-postpone",
        "screen-regenerate", "screen-cancel", "screen-simulate", "screen-confirm-station",
        "screen-refuse-station";
    batch::BatchRow: "batch-row";
    batch::BatchList: "batch-list";
    batch::BatchView: "batch";
    batch::BatchScanAnswer: "batch-scan-answer";
    batch::BatchRetryRequest: "batch-retry-request";
    batch::BatchRetryAnswer: "batch-retry-answer";
    page::PageView: "page-view";
    page::Progress: "progress";
    page::TrustView: "trust";
}
