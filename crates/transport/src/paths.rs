//! Every path of the HTTP interfaces, once.

use zmon_domain::ids::{BatchId, SessionId};

/// Device: hello in, identity document out.
pub const SESSION: &str = "/api/provisioning/session";
/// Device: the open window, for a typed code.
pub const WINDOW: &str = "/api/provisioning/window";
/// Device: hello and share in, share and confirmation out.
pub const PAKE_START: &str = "/api/provisioning/pake/start";
/// Device: confirmation in, identity document out.
pub const PAKE_CONFIRM: &str = "/api/provisioning/pake/confirm";
/// Device: the screen of a claimed device blinks.
pub const BLINK: &str = "/api/provisioning/blink";
/// Device: sealed envelope in, signed status out.
pub const CONFIGURATION: &str = "/api/provisioning/configuration";

/// Station, operators: login.
pub const LOGIN: &str = "/api/auth/login";
/// Station, pages: login into a cookie, and who is logged in.
pub const PAGE_SESSION: &str = "/api/auth/session";
/// Station, operators: end of a login.
pub const LOGOUT: &str = "/api/auth/logout";
/// Station, operators: a scanned QR code.
pub const SESSIONS: &str = "/api/provisioning/sessions";
/// Station, operators: pairing ([W §11.3]).
pub const PAIR: &str = "/api/provisioning/pair";
/// Station, operators: state or result of one pairing.
pub const PAIR_SESSION: &str = "/api/provisioning/pair/{sessionId}";
/// [`PAIR_SESSION`] of one session.
pub fn pair_result(session: SessionId) -> String {
    format!("{PAIR}/{session}")
}

/// Station, operators: one pairing as it happens.
pub const PAIR_EVENTS: &str = "/api/provisioning/pair/{sessionId}/events";
/// Station, operators: giving one pairing up.
pub const PAIR_CANCEL: &str = "/api/provisioning/pair/{sessionId}/cancel";
/// Station, operators: the next message of a pairing for whoever carries it, and its answer (D7).
pub const PAIR_COURIER: &str = "/api/provisioning/pair/{sessionId}/courier";
/// [`PAIR_COURIER`] of one session.
pub fn pair_courier(session: SessionId) -> String {
    format!("{PAIR}/{session}/courier")
}

/// Station, operators: the screen of the claimed device blinks, so that people see which one it is.
pub const PAIR_BLINK: &str = "/api/provisioning/pair/{sessionId}/blink";
/// [`PAIR_BLINK`] of one session.
pub fn pair_blink(session: SessionId) -> String {
    format!("{PAIR}/{session}/blink")
}

/// Station, devices whose window is open: the next message of their pairing (D7).
pub const POLL: &str = "/api/provisioning/poll";
/// Station, devices in doubt: the outcome of a session (D13).
pub const OUTCOME: &str = "/api/provisioning/outcome";
/// Station, devices without a certificate: statements about dead ones (D21).
pub const RETIRE: &str = "/api/provisioning/retire";
/// Station, devices whose certificate has expired: a new one (D23).
pub const RECOVER: &str = "/api/provisioning/recover";
/// Station, devices whose certificate has expired: identity document in, sealed envelope out.
pub const RECOVER_IDENTITY: &str = "/api/provisioning/recover/identity";
/// Station, administrators: registry import.
pub const REGISTRY_IMPORT: &str = "/api/registry/import";
/// Station, operators: registered devices.
pub const REGISTRY_DEVICES: &str = "/api/registry/devices";
/// Station, administrators: a device whose audit log was lost begins a new one (D16).
pub const ACCEPT_AUDIT: &str = "/api/registry/devices/{deviceId}/accept-audit";
/// Station, operators: one registered device.
pub const REGISTRY_DEVICE: &str = "/api/registry/devices/{deviceId}";
/// Station, operators: who has a bed.
pub const REGISTRY_BED: &str = "/api/registry/beds/{bedId}";
/// Station, operators: where a registered device stands from now on.
pub const PLACE: &str = "/api/registry/devices/{deviceId}/place";
/// Station, administrators: a device is taken out of service.
pub const DECOMMISSION: &str = "/api/registry/devices/{deviceId}/decommission";
/// Station, administrators: another identity key for a registered device (D21).
pub const REKEY: &str = "/api/registry/devices/{deviceId}/rekey";
/// Station, administrators: a credential for one enrolment of a device by EST (RFC 7030).
pub const ENROLMENT: &str = "/api/registry/devices/{deviceId}/enrolment";
/// Station, operators: batches of pairings.
pub const BATCHES: &str = "/api/batches";
/// Station, operators: one batch, which is its report.
pub const BATCH: &str = "/api/batches/{batchId}";
/// Station, operators: one batch as it goes on.
pub const BATCH_EVENTS: &str = "/api/batches/{batchId}/events";
/// Station, operators: the report of one batch as a table.
pub const BATCH_REPORT: &str = "/api/batches/{batchId}/report";
/// Station, operators: a scanned device of one batch.
pub const BATCH_SCAN: &str = "/api/batches/{batchId}/scan";
/// Station, operators: one batch takes no scans for now.
pub const BATCH_PAUSE: &str = "/api/batches/{batchId}/pause";
/// Station, operators: one batch takes scans again.
pub const BATCH_RESUME: &str = "/api/batches/{batchId}/resume";
/// Station, operators: failed items of one batch wait again.
pub const BATCH_RETRY: &str = "/api/batches/{batchId}/retry";
/// Station, operators: the end of one batch.
pub const BATCH_CLOSE: &str = "/api/batches/{batchId}/close";
/// One of the paths of a batch, of this one.
pub fn of_batch(path: &str, batch: BatchId) -> String {
    path.replace("{batchId}", &batch.to_string())
}

/// Station, administrators: accounts.
pub const OPERATORS: &str = "/api/operators";
/// Station, operators: the own password.
pub const OWN_PASSWORD: &str = "/api/operators/self/password";
/// Station, administrators: an account is barred from logging in, or let in again.
pub const OPERATOR_ACCESS: &str = "/api/operators/{operator}/access";
/// Station, administrators: a one-time password for an account that has lost its own.
pub const OPERATOR_ONE_TIME: &str = "/api/operators/{operator}/one-time-password";
/// Station, operators: certificates.
pub const CERTIFICATES: &str = "/api/certificates";
/// Station, administrators: revocation.
pub const REVOKE: &str = "/api/certificates/{serial}/revoke";
/// Station, auditors: the audit log.
pub const AUDIT: &str = "/api/audit";
/// Station, auditors: recomputes the audit chain.
pub const AUDIT_VERIFY: &str = "/api/audit/verify";
/// Station, operators: figures at a glance.
pub const OVERVIEW: &str = "/api/overview";
/// Station, operators: what the station is and allows.
pub const POLICY: &str = "/api/policy";
/// Station: liveness.
pub const HEALTH: &str = "/api/health";
/// Station, operators and their monitoring system: figures.
pub const METRICS: &str = "/api/metrics";
/// Station: whether this process takes pairings.
pub const READY: &str = "/api/ready";
/// Station, operators: what may be asked here, as an OpenAPI document.
pub const OPENAPI: &str = "/api/openapi.json";

/// Station, devices: connection test.
pub const DEVICE_TEST: &str = "/api/device/test";
/// Station, devices: commit.
pub const DEVICE_COMMIT: &str = "/api/device/commit";
/// Station, devices: heartbeat.
pub const DEVICE_HEARTBEAT: &str = "/api/device/heartbeat";

/// Station, devices: a new certificate before the one in force expires (D23).
pub const DEVICE_RENEW: &str = "/api/device/renew";
/// Station, devices: identity document in, sealed envelope out.
pub const DEVICE_RENEW_IDENTITY: &str = "/api/device/renew/identity";

/// Station, devices: authorities to trust (RFC 7030 §4.1).
pub const EST_AUTHORITIES: &str = "/.well-known/est/cacerts";
/// Station, devices: what a request should have (RFC 7030 §4.5).
pub const EST_ATTRIBUTES: &str = "/.well-known/est/csrattrs";
/// Station, devices with a credential: a certificate (RFC 7030 §4.2.1).
pub const EST_ENROLL: &str = "/.well-known/est/simpleenroll";
/// Station, devices with a certificate: another one (RFC 7030 §4.2.2).
pub const EST_REENROLL: &str = "/.well-known/est/simplereenroll";

/// ALPN name under which the devices' listener answers [`RECOVER`] without a client certificate: the
/// one that the device has is expired (D23).
pub const RECOVERY_ALPN: &[u8] = b"zmon-recovery/1";
/// ALPN name under which the devices' listener answers [`POLL`] without a client certificate: a device
/// that is being paired has none (D7).
pub const PULL_ALPN: &[u8] = b"zmon-pull/1";
/// ALPN name (RFC 7301) under which the devices' listener answers [`OUTCOME`] and [`RETIRE`] without a
/// client certificate: a device in doubt may hold none that is still accepted (D13), a wiped one
/// holds none at all (D21).
pub const OUTCOME_ALPN: &[u8] = b"zmon-outcome/1";

/// Every path of every HTTP interface, so that nothing which goes through them all forgets one.
pub const ALL: [&str; 62] = [
    SESSION,
    WINDOW,
    PAKE_START,
    PAKE_CONFIRM,
    BLINK,
    CONFIGURATION,
    LOGIN,
    PAGE_SESSION,
    LOGOUT,
    SESSIONS,
    PAIR,
    PAIR_SESSION,
    PAIR_EVENTS,
    PAIR_CANCEL,
    PAIR_COURIER,
    PAIR_BLINK,
    POLL,
    OUTCOME,
    RETIRE,
    RECOVER,
    RECOVER_IDENTITY,
    REGISTRY_IMPORT,
    REGISTRY_DEVICES,
    ACCEPT_AUDIT,
    REGISTRY_DEVICE,
    REGISTRY_BED,
    PLACE,
    DECOMMISSION,
    REKEY,
    ENROLMENT,
    BATCHES,
    BATCH,
    BATCH_EVENTS,
    BATCH_REPORT,
    BATCH_SCAN,
    BATCH_PAUSE,
    BATCH_RESUME,
    BATCH_RETRY,
    BATCH_CLOSE,
    OPERATORS,
    OWN_PASSWORD,
    OPERATOR_ACCESS,
    OPERATOR_ONE_TIME,
    CERTIFICATES,
    REVOKE,
    AUDIT,
    AUDIT_VERIFY,
    OVERVIEW,
    POLICY,
    HEALTH,
    METRICS,
    READY,
    OPENAPI,
    DEVICE_TEST,
    DEVICE_COMMIT,
    DEVICE_HEARTBEAT,
    DEVICE_RENEW,
    DEVICE_RENEW_IDENTITY,
    EST_AUTHORITIES,
    EST_ATTRIBUTES,
    EST_ENROLL,
    EST_REENROLL,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_every_path() {
        let source = include_str!("paths.rs");
        let mut declared = Vec::new();
        for line in source.lines().filter(|line| line.starts_with("pub const ")) {
            let Some((_, path)) = line.split_once(": &str = \"") else { continue };
            declared.push(path.trim_end_matches("\";"));
        }
        assert_eq!(declared, ALL);
    }
}
