//! The program as it ships: made, started, asked, stopped.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic in a helper of a test is its report"
)]

#[cfg(test)]
mod screen;
#[cfg(test)]
mod simulate;

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;
use zmon_crypto::{CertificateChain, sha256};
use zmon_domain::{
    ids::{OperatorId, Thumbprint},
    role::{Actor, Role},
};
use zmon_persistence::{AuditLog, JsonLines};
use zmon_transport::control::{ControlClient, ControlError};
use zmon_wire::{
    audit::AuditEntry,
    control::{ControlAnswer, ControlRequest},
    manifest,
    ready::Ready,
    secret::SecretText,
};

const ANCHOR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/anchor.pem");
const PIN: &str = "483920";

fn device(args: &[&str]) -> Output {
    command().args(args).output().unwrap()
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_device"));
    command.env_clear().stdin(Stdio::null());
    command
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn private_file(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A made device with one administrator whose PIN is known.
struct Made {
    home: TempDir,
    dir: PathBuf,
}

impl Made {
    fn new() -> Self {
        Self::with(&["--anchor", ANCHOR])
    }

    fn with(trust: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (dir, pins) = (home.path().join("bed-7"), home.path().join("pins"));
        private_file(&pins, &format!("{PIN}\n"));
        let dir_text = dir.to_str().unwrap();
        let pins = pins.to_str().unwrap();
        let init = ["--json", "init", dir_text, "--pin-file", pins];
        let made = device(&[&init[..], trust].concat());
        assert!(made.status.success(), "{made:?}");
        Self { home, dir }
    }

    fn text(&self) -> &str {
        self.dir.to_str().unwrap()
    }

    fn start(&self) -> Running {
        self.start_with(&[])
    }

    fn start_with(&self, more: &[&str]) -> Running {
        self.start_in(more, &[])
    }

    fn start_in(&self, more: &[&str], environment: &[(&str, &str)]) -> Running {
        let mut child = command()
            .args(["run", self.text()])
            .args(more)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Running { child, ready: serde_json::from_str(&line).unwrap() }
    }
}

struct Running {
    child: Child,
    ready: Ready,
}

impl Running {
    fn socket(&self) -> &Path {
        Path::new(&self.ready.addresses["control"])
    }

    fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone after `stop`; a failed test must leave nothing behind.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file() {
    let made = Made::new();
    let file = made.dir.join("device.toml");
    let settings = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{settings}address = \"127.0.0.2\"\n")).unwrap();
    let environment = [("DEVICE_ADDRESS", "127.0.0.3")];
    for (flags, environment, address) in [
        (&[][..], &[][..], "127.0.0.2"),
        (&[], &environment, "127.0.0.3"),
        (&["--address", "127.0.0.4"], &environment, "127.0.0.4"),
    ] {
        let running = made.start_in(flags, environment);
        assert_eq!(running.ready.addresses["provisioning"], address);
        running.stop();
    }
    let wrong = [("DEVICE_CODE_FORMAT", "long")];
    let refused = command().args(["run", made.text()]).envs(wrong).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--code-format"));
}

#[test]
fn a_weak_pin_is_refused_before_anything_is_made() {
    let home = tempfile::tempdir().unwrap();
    let (dir, pins) = (home.path().join("bed-7"), home.path().join("pins"));
    private_file(&pins, "345678\n");
    let (dir_text, pins) = (dir.to_str().unwrap(), pins.to_str().unwrap());
    let args = ["--json", "init", dir_text, "--anchor", ANCHOR, "--pin-file", pins];
    let refused = device(&args);
    assert_eq!(json(&refused)["code"], "pin_too_weak");
    assert!(!dir.exists());
}

#[tokio::test]
async fn init_writes_down_which_anchors_it_laid_down() {
    let made = Made::new();
    let log = AuditLog::open_device(&made.dir).await.unwrap();
    let mut lines = Vec::new();
    log.export(&mut JsonLines(&mut lines)).await.unwrap();
    let lines = String::from_utf8(lines).unwrap();
    let row = lines.lines().find(|line| line.contains("anchor_installed")).unwrap();
    assert!(row.contains("anchor") && row.contains("site"), "{row}");
}

#[test]
fn init_makes_pins_that_are_shown_once_and_never_a_second_device() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("bed-7");
    let args =
        ["--json", "init", dir.to_str().unwrap(), "--anchor", ANCHOR, "--technician", "tina"];
    let made = json(&device(&args));
    let pins: Vec<&str> = made["operators"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["pin"].as_str().unwrap())
        .collect();
    assert!(pins.len() == 2 && pins[0] != pins[1] && pins.iter().all(|pin| pin.len() == 8));
    for file in ["root.key", "identity.key", "device.toml", "operators.json", "anchors.json"] {
        let path = dir.join(file);
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file}");
        let bytes = fs::read(&path).unwrap();
        assert!(pins.iter().all(|pin| !String::from_utf8_lossy(&bytes).contains(pin)), "{file}");
    }
    let again = device(&args);
    assert_eq!(
        (again.status.code(), json(&again)["code"].as_str()),
        (Some(3), Some("state_conflict"))
    );
}

#[test]
fn unusable_arguments_make_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (dir, bad) = (home.path().join("bed-7"), home.path().join("bad.pem"));
    private_file(&bad, "no certificate");
    let (dir_text, bad) = (dir.to_str().unwrap(), bad.to_str().unwrap());
    let cases: [&[&str]; 4] = [
        &["init", dir_text, "--anchor", ANCHOR, "--device-id", "-"],
        &["init", dir_text, "--anchor", ANCHOR, "--site", ""],
        &["init", dir_text, "--anchor", ANCHOR, "--pin-file", bad],
        &["init", dir_text, "--anchor", ANCHOR, "--technician", "admin"],
    ];
    for args in cases {
        let refused = device(args);
        assert_eq!(refused.status.code(), Some(2), "{args:?}: {refused:?}");
        assert!(!dir.exists(), "{args:?}");
    }
    assert_eq!(device(&["init", dir_text, "--anchor", bad]).status.code(), Some(2));
}

#[test]
fn a_directory_without_a_device_names_the_command_to_run() {
    let home = tempfile::tempdir().unwrap();
    let refused = device(&["--json", "run", home.path().to_str().unwrap()]);
    let report = json(&refused);
    assert_eq!(
        (refused.status.code(), report["code"].as_str()),
        (Some(3), Some("not_initialised"))
    );
    assert!(report["next"].as_str().unwrap().starts_with("Run: device init "));
}

#[test]
fn a_key_file_that_others_can_read_stops_the_start() {
    let made = Made::new();
    let key = made.dir.join("identity.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let refused = device(&["--json", "run", made.text()]);
    let report = json(&refused);
    assert_eq!(report["code"].as_str(), Some("key_file_mode_too_wide"));
    assert_eq!(refused.status.code(), Some(5));
    assert!(report["cause"].as_str().unwrap().contains("identity.key"));
}

#[test]
fn a_damaged_or_unreadable_database_stops_the_start() {
    type Damage = fn(&Path);
    let cases: [(Damage, &str); 3] = [
        (|path| fs::write(path, b"no database at all".repeat(40)).unwrap(), "storage_corrupt"),
        (
            |path| {
                let whole = fs::read(path).unwrap();
                fs::write(path, &whole[..whole.len() / 2]).unwrap();
            },
            "storage_corrupt",
        ),
        (
            |path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            },
            "key_store_unavailable",
        ),
    ];
    for (damage, code) in cases {
        let made = Made::new();
        damage(&made.dir.join("device.db"));
        let refused = device(&["--json", "run", made.text()]);
        let report = json(&refused);
        assert_eq!((refused.status.code(), report["code"].as_str()), (Some(5), Some(code)));
        assert!(report["cause"].as_str().unwrap().contains("device.db"), "{report}");
    }
}

#[test]
fn the_manifest_row_is_one_that_a_registry_takes() {
    let made = Made::new();
    let row = device(&["identity", made.text(), "--manifest", "--bed", "ICU-3B"]);
    let rows = manifest::parse(&row.stdout).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].device_id.as_str(), "ZM-001");
    assert_eq!(rows[0].bed_id.as_ref().unwrap().as_str(), "ICU-3B");
}

#[tokio::test]
async fn it_serves_until_it_is_told_to_stop() {
    let made = Made::new();
    let running = made.start();
    assert_eq!(running.ready.program, "device");
    let socket = running.socket().to_owned();
    let mut control = ControlClient::connect(&socket).await.unwrap();
    let ControlAnswer::Status(status) = control.ask(&ControlRequest::Status {}).await.unwrap()
    else {
        panic!("asked for the status")
    };
    assert_eq!(status.device_id.as_str(), "ZM-001");
    let limits = fs::read_to_string(format!("/proc/{}/limits", running.child.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"]);
    let second = device(&["--json", "run", made.text()]);
    assert_eq!(json(&second)["code"].as_str(), Some("state_conflict"));
    drop(control);
    running.stop();
    assert!(!socket.exists());

    let log = AuditLog::open_device(&made.dir).await.unwrap();
    assert!(log.verify().await.unwrap().damage().is_none());
    let mut lines = Vec::new();
    log.export(&mut JsonLines(&mut lines)).await.unwrap();
    let lines = String::from_utf8(lines).unwrap();
    for event in ["key_created", "operator_added", "started", "stopped"] {
        assert!(lines.contains(event), "{event}");
    }
    drop(made.home);
}

#[tokio::test]
async fn a_wrong_pin_opens_nothing_and_has_its_row() {
    let made = Made::new();
    let running = made.start();
    let mut control = ControlClient::connect(running.socket()).await.unwrap();
    let enter = |pin: &str| ControlRequest::Enter {
        operator: "admin".parse().unwrap(),
        pin: pin.into(),
        address: None,
        override_interlock: None,
    };
    let refused = control.ask(&enter("111111")).await.unwrap_err();
    assert_eq!(refused.report().unwrap().code.as_str(), "authentication_failed");
    assert!(matches!(
        control.ask(&ControlRequest::Qr {}).await,
        Err(ControlError::Refused(problem)) if problem.code.as_str() == "not_in_provisioning_mode"
    ));
    for typed in ["12", "48392O", "12345678901234567", ""] {
        assert_eq!(refusal(control.ask(&enter(typed)).await), "request_malformed");
        let row = newest(&mut control, "login_refused").await;
        assert_eq!(row.code.unwrap().as_str(), "request_malformed", "{typed}");
        assert_eq!(row.detail["operator"].as_str(), "admin");
    }
    assert!(matches!(control.ask(&enter(PIN)).await, Ok(ControlAnswer::Done {})));
    assert!(matches!(control.ask(&ControlRequest::Qr {}).await, Ok(ControlAnswer::Qr(_))));
    let request = ControlRequest::Log { after: 0, limit: None };
    let ControlAnswer::Log(page) = control.ask(&request).await.unwrap() else {
        panic!("asked for the log")
    };
    let refused = page.rows.iter().find(|row| row.event_type.as_str() == "login_refused").unwrap();
    assert_eq!((&refused.actor, refused.detail["operator"].as_str()), (&Actor::Local, "admin"));
    let entered = |row: &&AuditEntry| row.event_type.as_str() == "provisioning_mode_entered";
    let entered = page.rows.iter().find(entered).unwrap();
    assert_eq!(entered.actor.to_string(), "administrator:admin");

    control.ask(&ControlRequest::Regenerate {}).await.unwrap();
    control.ask(&ControlRequest::Cancel {}).await.unwrap();
    for event in ["pairing_code_regenerated", "pairing_cancelled", "provisioning_mode_exited"] {
        let row = newest(&mut control, event).await;
        assert_eq!(row.actor, Actor::Local, "{event}: nobody gave a PIN");
    }
    running.stop();
}

async fn newest(control: &mut ControlClient, event: &str) -> AuditEntry {
    let request = ControlRequest::Log { after: 0, limit: None };
    let ControlAnswer::Log(page) = control.ask(&request).await.unwrap() else {
        panic!("asked for the log")
    };
    let rows = page.rows.into_iter().rev();
    rows.into_iter().find(|row| row.event_type.as_str() == event).unwrap()
}

fn refusal(answer: Result<ControlAnswer, ControlError>) -> String {
    answer.unwrap_err().report().unwrap().code.to_string()
}

#[tokio::test]
async fn an_administrator_manages_the_operators_of_a_device() {
    let made = Made::new();
    let running = made.start();
    let mut control = ControlClient::connect(running.socket()).await.unwrap();
    let person = |name: &str, pin: &str| (name.parse().unwrap(), SecretText::new(pin));
    let add = |by: (OperatorId, SecretText)| ControlRequest::AddOperator {
        operator: by.0,
        pin: by.1,
        new_operator: "tina".parse().unwrap(),
        new_pin: SecretText::new("572019"),
        role: Role::Technician,
    };
    let remove = |by: (OperatorId, SecretText), name: &str| ControlRequest::RemoveOperator {
        operator: by.0,
        pin: by.1,
        account: name.parse().unwrap(),
    };
    let list =
        |by: (OperatorId, SecretText)| ControlRequest::ListOperators { operator: by.0, pin: by.1 };
    control.ask(&add(person("admin", PIN))).await.unwrap();
    assert_eq!(refusal(control.ask(&add(person("admin", PIN))).await), "operator_exists");

    // A technician manages nobody, not even by looking.
    for request in [list(person("tina", "572019")), remove(person("tina", "572019"), "admin")] {
        assert_eq!(refusal(control.ask(&request).await), "not_permitted");
    }
    assert_eq!(
        newest(&mut control, "operation_refused").await.detail["action"],
        "manage_operators"
    );
    let refused = newest(&mut control, "operator_changed").await;
    assert_eq!((refused.success, refused.actor.to_string().as_str()), (false, "technician:tina"));

    // Three wrong PINs lock; an administrator unlocks, or gives another PIN.
    for _ in 0..3 {
        let wrong = list(person("tina", "111111"));
        assert_eq!(refusal(control.ask(&wrong).await), "authentication_failed");
    }
    assert_eq!(
        refusal(control.ask(&list(person("tina", "572019"))).await),
        "authentication_locked"
    );
    let answer = control.ask(&list(person("admin", PIN))).await.unwrap();
    let ControlAnswer::Operators(view) = answer else { panic!("asked for the operators") };
    let seen: Vec<_> =
        view.operators.iter().map(|one| (one.operator.as_str(), one.role, one.is_locked)).collect();
    assert_eq!(seen, [("admin", Role::Administrator, false), ("tina", Role::Technician, true)]);
    let (operator, pin) = person("admin", PIN);
    let account: OperatorId = "tina".parse().unwrap();
    let unlock = ControlRequest::UnlockOperator { operator, pin, account: account.clone() };
    control.ask(&unlock).await.unwrap();
    assert_eq!(refusal(control.ask(&list(person("tina", "572019"))).await), "not_permitted");
    let (operator, pin) = person("admin", PIN);
    let new_pin = SecretText::new("660412");
    control.ask(&ControlRequest::SetPin { operator, pin, account, new_pin }).await.unwrap();
    let changed = newest(&mut control, "operator_changed").await;
    assert_eq!((&*changed.detail["change"], &*changed.detail["stage"]), ("pin", "outcome"));
    assert_eq!(
        refusal(control.ask(&list(person("tina", "572019"))).await),
        "authentication_failed"
    );
    assert_eq!(refusal(control.ask(&list(person("tina", "660412"))).await), "not_permitted");

    control.ask(&remove(person("admin", PIN), "tina")).await.unwrap();
    assert_eq!(
        refusal(control.ask(&remove(person("admin", PIN), "tina")).await),
        "operator_unknown"
    );
    assert_eq!(
        refusal(control.ask(&remove(person("admin", PIN), "admin")).await),
        "last_administrator"
    );
    let kept = newest(&mut control, "operator_changed").await;
    assert_eq!((kept.success, kept.code.unwrap().as_str()), (false, "last_administrator"));
    running.stop();
}

/// A device of a ward without a CA, until an administrator imports the anchor of one.
#[tokio::test]
async fn an_administrator_imports_an_anchor_that_ends_proximity_for_good() {
    let made = Made::with(&["--proximity"]);
    let running = made.start();
    let mut control = ControlClient::connect(running.socket()).await.unwrap();
    let anchors = async |control: &mut ControlClient| {
        let answer = control.ask(&ControlRequest::Anchors {}).await.unwrap();
        let ControlAnswer::Anchors(view) = answer else { panic!("asked for the anchors") };
        view.anchors
    };
    assert!(anchors(&mut control).await.is_empty());
    let chain = CertificateChain::from_pem(&fs::read(ANCHOR).unwrap()).unwrap();
    let own = Thumbprint::from_bytes(sha256(chain.leaf()));
    let import = |fingerprint: Thumbprint, pin: &str| ControlRequest::ImportAnchor {
        operator: "admin".parse().unwrap(),
        pin: SecretText::new(pin),
        certificate: chain.leaf().to_vec(),
        site: "st-mary".parse().unwrap(),
        fingerprint,
    };
    assert_eq!(refusal(control.ask(&import(own, "111111")).await), "authentication_failed");
    let other = Thumbprint::from_bytes([7; 32]);
    assert_eq!(refusal(control.ask(&import(other, PIN)).await), "anchor_fingerprint_mismatch");
    assert!(anchors(&mut control).await.is_empty());
    control.ask(&import(own, PIN)).await.unwrap();
    assert_eq!(refusal(control.ask(&import(own, PIN)).await), "anchor_invalid");
    let row = newest(&mut control, "anchor_installed").await;
    assert_eq!((row.success, row.actor.to_string().as_str()), (false, "administrator:admin"));
    running.stop();

    // `proximity = true` stands in its settings still, and has no effect.
    let running = made.start();
    let mut control = ControlClient::connect(running.socket()).await.unwrap();
    let kept = anchors(&mut control).await;
    assert_eq!((kept.len(), kept[0].fingerprint, kept[0].site.as_str()), (1, own, "st-mary"));
    running.stop();
    // Both at imaging contradict each other.
    let contradicting = Made::new();
    let started = device(&["--json", "run", contradicting.text(), "--proximity"]);
    assert_eq!(json(&started)["code"], "proximity_with_anchor");
}

#[tokio::test]
async fn the_interlock_of_the_settings_is_asked_and_only_an_administrator_overrides_it() {
    let made = Made::new();
    let state = made.home.path().join("clinical-state");
    fs::write(&state, "patient-admitted").unwrap();
    let running = made.start_with(&["--interlock", &format!("file:{}", state.display())]);
    let mut control = ControlClient::connect(running.socket()).await.unwrap();
    let add = ControlRequest::AddOperator {
        operator: "admin".parse().unwrap(),
        pin: PIN.into(),
        new_operator: "tina".parse().unwrap(),
        new_pin: "572019".into(),
        role: Role::Technician,
    };
    control.ask(&add).await.unwrap();
    let enter = |name: &str, pin: &str, reason: Option<&str>| ControlRequest::Enter {
        operator: name.parse().unwrap(),
        pin: pin.into(),
        address: None,
        override_interlock: reason.map(|reason| reason.parse().unwrap()),
    };
    assert_eq!(refusal(control.ask(&enter("tina", "572019", None)).await), "interlock_active");
    let row = newest(&mut control, "provisioning_mode_refused").await;
    assert_eq!((row.actor.to_string().as_str(), row.success), ("technician:tina", false));

    let why = Some("monitor on a trolley");
    assert_eq!(refusal(control.ask(&enter("tina", "572019", why)).await), "not_permitted");
    assert_eq!(
        newest(&mut control, "operation_refused").await.detail["action"],
        "override_interlock"
    );
    control.ask(&enter("admin", PIN, why)).await.unwrap();
    let row = newest(&mut control, "interlock_overridden").await;
    assert_eq!(row.actor.to_string(), "administrator:admin");
    assert_eq!(row.detail["reason"], "monitor on a trolley");

    control.ask(&ControlRequest::Cancel {}).await.unwrap();
    assert_eq!(refusal(control.ask(&enter("admin", PIN, None)).await), "interlock_active");
    fs::write(&state, "clear\n").unwrap();
    control.ask(&enter("tina", "572019", None)).await.unwrap();
    running.stop();
}

#[tokio::test]
async fn after_a_factory_reset_only_the_first_administrator_can_be_made() {
    let made = Made::new();
    let clinical = made.dir.join("clinical");
    fs::write(clinical.join("trend"), "of a patient").unwrap();
    let running = made.start();
    let mut control = ControlClient::connect(running.socket()).await.unwrap();
    let reset = |typed: &str| ControlRequest::FactoryReset {
        operator: "admin".parse().unwrap(),
        pin: PIN.into(),
        confirmation: typed.parse().unwrap(),
        new_identity: false,
    };
    let first = |name: &str| ControlRequest::CreateAdministrator {
        operator: name.parse().unwrap(),
        pin: "572019".into(),
    };
    let code = |refused: ControlError| refused.report().unwrap().code;
    let refused = control.ask(&first("eve")).await.unwrap_err();
    assert_eq!(code(refused).as_str(), "state_conflict");
    let mut control = ControlClient::connect(running.socket()).await.unwrap();
    let refused = control.ask(&reset("ZM-002")).await.unwrap_err();
    assert_eq!(code(refused).as_str(), "confirmation_mismatch");
    assert!(clinical.join("trend").exists());
    let mut control = ControlClient::connect(running.socket()).await.unwrap();
    assert!(matches!(control.ask(&reset("ZM-001")).await, Ok(ControlAnswer::Done {})));
    assert_eq!(fs::read_dir(&clinical).unwrap().count(), 0);
    let refused = control.ask(&reset("ZM-001")).await.unwrap_err();
    assert_eq!(code(refused).as_str(), "no_operators");
    let mut control = ControlClient::connect(running.socket()).await.unwrap();
    assert!(matches!(control.ask(&first("ada")).await, Ok(ControlAnswer::Done {})));
    let enter = ControlRequest::Enter {
        operator: "ada".parse().unwrap(),
        pin: "572019".into(),
        address: None,
        override_interlock: None,
    };
    assert!(matches!(control.ask(&enter).await, Ok(ControlAnswer::Done {})));
    drop(control);
    running.stop();
    let log = AuditLog::open_device(&made.dir).await.unwrap();
    assert!(log.verify().await.unwrap().damage().is_none());
    let mut lines = Vec::new();
    log.export(&mut JsonLines(&mut lines)).await.unwrap();
    let lines = String::from_utf8(lines).unwrap();
    for event in ["key_created", "factory_reset_started", "factory_reset", "operator_added"] {
        assert!(lines.contains(event), "{event}: the log outlives the reset");
    }
}
