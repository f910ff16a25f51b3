//! Every member of every message stands where `docs/PROTOCOL.md` describes that message.

#![expect(clippy::panic, reason = "a panic is the report of a failing test")]

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use zmon_tests::documents;

use super::{files, names};

/// Part of the page: a section by its number or the payload by its type, and how the lines of it
/// that count begin; all of them if that is empty.
type Place = (&'static str, &'static str);

/// Where each message stands, by the name of its golden file; those of [`by_prefix`] are not here.
const PLACES: &[(&str, &[Place])] = &[
    ("answer-anchors", &[("10", "| `anchors` |")]),
    ("answer-courier", &[("10", "| `courier` |")]),
    ("answer-done", &[("10", "`{\"enter\"")]),
    ("answer-error", &[("10", "`{\"enter\""), ("8.4", "")]),
    ("answer-identity", &[("10", "| `identity` |")]),
    ("answer-link", &[("10", "| `link` |")]),
    ("answer-log", &[("10", "| `log` |"), ("10.1", "")]),
    ("answer-operators", &[("10", "| `operators` |")]),
    ("answer-qr", &[("10", "| `qr` |")]),
    ("answer-status", STATUS),
    ("answer-status-confirm", CONFIRMING),
    ("answer-verdict", &[("10", "| `verdict` |")]),
    ("audit-entry", &[("10.1", "")]),
    ("access-request", &[("8.2", "| `POST /api/operators/{operator}/access`")]),
    ("blink-answer", &[("4.5", "")]),
    ("blink-request", &[("4.5", "")]),
    ("blinking", &[("8.2", "| `POST /api/provisioning/pair/{sessionId}/blink`")]),
    ("audit-page", &[("8.2", "| `GET /api/audit?"), ("10.1", "")]),
    ("audit-verdict", &[("8.2", "| `GET /api/audit/verify`")]),
    ("batch", BATCH),
    ("batch-list", &[("8.2", "| `GET /api/batches?")]),
    ("batch-retry-answer", &[("8.2", "| `POST /api/batches/{batchId}/retry`")]),
    ("batch-retry-request", &[("8.2", "| `POST /api/batches/{batchId}/retry`")]),
    ("batch-row", &[("9.1", "")]),
    ("batch-scan-answer", &[("8.2", "| `POST /api/batches/{batchId}/scan`")]),
    ("carriage", CARRIED),
    ("carriage-blink", BLINKING),
    ("carriage-configuration", CARRIED),
    ("carriage-pake-confirm", CARRIED),
    ("carriage-pake-start", CARRIED),
    ("carriage-window", CARRIED),
    ("certificate-list", &[("8.2", "| `GET /api/certificates?")]),
    ("checkpoint", &[("7.2", "")]),
    ("commit-request", &[("8.3", "| `POST /api/device/commit`")]),
    ("configuration", &[("6", "")]),
    ("courier-answer", COURIER),
    ("courier-answer-waiting", COURIER),
    ("delivery-answer", &[("8.1", "| `POST /api/provisioning/configuration`")]),
    ("device-list", &[("8.2", "| `GET /api/registry/devices")]),
    ("device-row", &[("8.2", "| `GET /api/registry/devices")]),
    ("done", &[("8.2", "| `POST /api/auth/logout`")]),
    ("event-provisioning-failed", &[("10", "| `event` |"), ("8.4", "")]),
    ("fetch-request", &[("8.3", "| `POST /api/device/renew/identity`")]),
    ("health", &[("8.2", "| `GET /api/health`")]),
    ("heartbeat", &[("8.3", "| `POST /api/device/heartbeat`")]),
    ("heartbeat-answer", &[("8.3", "| `POST /api/device/heartbeat`")]),
    ("hello", &[("zp-hello+jws", "")]),
    ("identity", &[("zp-identity+jws", "")]),
    ("import-answer", &[("8.2", "| `POST /api/registry/import`")]),
    ("jws-header", &[("7", "")]),
    ("login-answer", &[("8.2", "| `POST /api/auth/login`")]),
    ("login-answer-one-time", &[("8.2", "| `POST /api/auth/login`")]),
    ("login-request", &[("8.2", "| `POST /api/auth/login`")]),
    ("manifest-row", &[("9", "")]),
    ("operator-answer", &[("8.2", "| `POST /api/operators`")]),
    ("operator-list", &[("8.2", "| `GET /api/operators`")]),
    ("operator-request", &[("8.2", "| `POST /api/operators`")]),
    ("outcome", &[("7", "| `zp-outcome+jws`")]),
    ("outcome-answer", &[("8.3", "| `POST /api/provisioning/outcome`")]),
    ("outcome-ask", &[("7", "| `zp-ask+jws`")]),
    ("outcome-request", &[("8.3", "| `POST /api/provisioning/outcome`")]),
    ("overview", &[("8.2", "| `GET /api/overview`")]),
    ("page-view", &[("8.2", "| `GET /api/auth/session`"), ("8.6", "")]),
    ("pair-answer", &[("8.2", "{\"success\":true")]),
    ("pair-pending", &[("8.2", "Its 202 is")]),
    ("pair-pending-words", &[("8.2", "Its 202 is")]),
    ("pair-request", &[("8.2", "| `POST /api/provisioning/pair`")]),
    ("pair-request-full", &[("8.2", "| `POST /api/provisioning/pair`")]),
    ("pake-confirm", &[("4.2", "| 5 |")]),
    ("pake-start", &[("4.2", "| 3 |")]),
    ("pake-started", &[("4.2", "| 4 |")]),
    ("place-request", &[("8.2", "| `POST /api/registry/devices/{deviceId}/place`")]),
    ("policy", &[("8.2", "| `GET /api/policy`")]),
    ("poll", CARRIED),
    ("poll-answer", CARRIED),
    ("poll-answer-empty", CARRIED),
    ("poll-first", CARRIED),
    ("poll-request", &[("8.3", "`{poll}`"), ("8.3", "A device whose window is open")]),
    ("problem", &[("8.4", "")]),
    ("password-request", &[("8.2", "| `POST /api/operators/self/password`")]),
    (
        "progress",
        &[
            ("8.2", "The stream"),
            ("8.2", "`awaitingCommit`"),
            ("8.2", "`secondsLeft`"),
            ("8.4", ""),
        ],
    ),
    ("pull", &[("zp-pull+jws", "")]),
    ("pull-answer", &[("8.3", "| `POST /api/device/renew`")]),
    ("pull-recovery", &[("zp-pull+jws", "")]),
    ("pull-request", &[("8.3", "| `POST /api/device/renew`")]),
    ("qr", &[("2", "")]),
    ("ready", &[("11", "")]),
    ("retire", &[("7.3", "")]),
    ("retire-answer", &[("8.3", "| `POST /api/provisioning/retire`")]),
    ("retire-request", &[("8.3", "| `POST /api/provisioning/retire`")]),
    ("return", CARRIED),
    ("return-blinking", BLINKING),
    ("return-refused", CARRIED),
    ("return-share", CARRIED),
    ("return-status", CARRIED),
    ("return-window", CARRIED),
    ("readiness", &[("8.2", "| `GET /api/ready`")]),
    ("enrolment-answer", &[("8.2", "| `POST /api/registry/devices/{deviceId}/enrolment`")]),
    ("rekey-answer", &[("8.2", "| `POST /api/registry/devices/{deviceId}/rekey`")]),
    ("revoke-answer", &[("8.2", "| `POST /api/certificates/{serial}/revoke`")]),
    ("revoke-request", &[("8.2", "| `POST /api/certificates/{serial}/revoke`")]),
    ("scan-answer", &[("8.2", "| `POST /api/provisioning/sessions`")]),
    ("scan-request", &[("8.2", "| `POST /api/provisioning/sessions`")]),
    ("screen", SCREEN),
    ("screen-operators", &[("8.5", "| `GET /api/screen/operators`")]),
    ("session-answer", &[("8.1", "| `POST /api/provisioning/session`")]),
    ("session-open", &[("8.1", "| `POST /api/provisioning/session`")]),
    ("status", &[("7", "| `zp-status+jws`")]),
    ("status-failed", &[("7", "| `zp-status+jws`")]),
    ("test-answer", &[("8.3", "| `GET /api/device/test`")]),
    ("trust", &[("8.6", "")]),
    ("window-answer", &[("4.2", "| 2 |")]),
];
const CARRIED: &[Place] = &[("4.4", "")];
const BLINKING: &[Place] = &[("4.4", ""), ("4.5", "")];
/// Its items hold a problem.
const BATCH: &[Place] = &[("8.7", ""), ("8.2", "| `GET /api/batches?"), ("8.4", "")];
/// It holds a message.
const COURIER: &[Place] =
    &[("8.2", "| `GET /api/provisioning/pair/{sessionId}/courier`"), ("4.4", "")];
const STATUS: &[Place] =
    &[("10", "| `status` |"), ("10", "| – `manualConfiguration` |"), ("10", "| `link` |")];
const CONFIRMING: &[Place] =
    &[("10", "| `status` |"), ("10", "| – `confirmation` |"), ("10", "| `link` |")];
/// It holds a status.
const SCREEN: &[Place] = &[
    ("8.5", ""),
    ("10", "| `status` |"),
    ("10", "| – `manualConfiguration` |"),
    ("10", "| `link` |"),
];
/// Of the two documents, not of the protocol: views for callers of the service.
const VIEWS: [&str; 2] = ["payload", "payload-workflow"];
/// An example of a free name in `detail`, and what no message carries (§7): a header's `kid`.
const FREE: [&str; 2] = ["peer", "kid"];

#[test]
fn every_member_of_every_message_is_where_the_protocol_describes_it() {
    let page = documents::read("docs/PROTOCOL.md").unwrap();
    for path in files("crates/wire/tests/golden", "json") {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        if VIEWS.contains(&&*stem) {
            continue;
        }
        let golden: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let listed = PLACES.iter().find(|(name, _)| *name == stem);
        let text = match listed {
            Some((_, places)) => places.iter().map(|place| lines(&page, *place)).collect(),
            None => by_prefix(&page, &stem, &golden),
        };
        let mut members = BTreeSet::new();
        collect(&golden, &mut members);
        for member in members {
            let known = FREE.contains(&&*member) || names(&text, &member);
            assert!(known, "{member} of {stem} is not in docs/PROTOCOL.md where {stem} stands");
        }
    }
}

/// Messages of which there is one for each method, button or event.
fn by_prefix(page: &str, stem: &str, golden: &Value) -> String {
    match stem.split('-').next() {
        Some("control") => method(page, golden.as_object().unwrap().keys().next().unwrap()),
        Some("event") => lines(page, ("10", "| `event` |")),
        Some("screen") => lines(page, ("8.5", "| `POST /api/screen/press`")),
        _ => panic!("say in PLACES where docs/PROTOCOL.md describes {stem}"),
    }
}

/// The row of a method of the control socket, and of the one whose members it shares.
fn method(page: &str, name: &str) -> String {
    let named = format!("`{name}`");
    let table = lines(page, ("10", "| `"));
    let row = table.lines().find(|row| row.split('|').nth(1).unwrap().contains(&named));
    let row = row.unwrap_or_else(|| panic!("the control socket's {name} is not in §10"));
    match row.split("those of `").nth(1).and_then(|rest| rest.split('`').next()) {
        Some(other) if other != name => [row, &method(page, other)].concat(),
        _ => row.to_owned(),
    }
}

/// The lines of a place, joined.
fn lines(page: &str, (section, start): Place) -> String {
    let mut inside = false;
    let mut found = String::new();
    for line in page.lines() {
        if let Some(name) = heading(line) {
            inside = name == section;
        }
        if inside && line.starts_with(start) {
            found.extend([line, "\n"]);
        }
    }
    assert!(!found.is_empty(), "§{section} of docs/PROTOCOL.md has no line with {start}");
    found
}

/// The number of a section, or the type of a payload that has a table of its own.
fn heading(line: &str) -> Option<&str> {
    if let Some(payload) = line.strip_prefix("Payload of `") {
        return payload.split('`').next();
    }
    let title = line.strip_prefix('#')?.trim_start_matches('#').trim_start();
    title.split(' ').next().map(|number| number.trim_end_matches('.'))
}

fn collect(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                into.insert(name.clone());
                collect(value, into);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
