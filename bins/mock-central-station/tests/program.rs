//! The program as it ships: made, started, stopped, removed.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic in a helper of a test is its report"
)]

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mock-central-station"));
    command.env_clear().stdin(Stdio::null());
    command
}

fn station(args: &[&str]) -> Output {
    command().args(args).output().unwrap()
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

struct Running {
    child: Child,
    ready: Value,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        Self::start_in(args, &[])
    }

    fn start_in(args: &[&str], environment: &[(&str, &str)]) -> Self {
        let environment = environment.iter().copied();
        let mut child = command()
            .args(args)
            .envs(environment)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Self { child, ready: json(line.as_bytes()) }
    }

    fn address(&self, name: &str) -> &str {
        self.ready["addresses"][name].as_str().unwrap()
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
fn a_station_is_made_once_and_its_keys_are_private() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("station");
    let args = ["--json", "init", dir.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let made = json(&station(&args).stdout);
    assert_eq!(made["password"].as_str().unwrap().len(), 20);
    assert!(Path::new(made["anchor"].as_str().unwrap()).exists());
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in fs::read_dir(dir.join("keys")).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    let again = station(&args);
    assert_eq!(again.status.code(), Some(3));
    assert_eq!(json(&again.stdout)["code"].as_str(), Some("state_conflict"));
}

#[test]
fn the_anchors_key_goes_where_it_is_told_and_the_station_runs_without_it() {
    let home = tempfile::tempdir().unwrap();
    let (dir, key) = (home.path().join("station"), home.path().join("anchor.key"));
    let (dir, key) = (dir.to_str().unwrap(), key.to_str().unwrap());
    let any = "127.0.0.1:0";
    let args = ["init", dir, "--listen", any, "--device-listen", any, "--anchor-key", key];
    let made = station(&[&["--json"], &args[..]].concat());
    assert_eq!(json(&made.stdout)["anchorKey"].as_str(), Some(key));
    assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!Path::new(dir).join("keys/anchor.key").exists());
    Running::start(&["run", dir]).stop();

    let beside = home.path().join("other");
    let made = station(&["init", beside.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&made.stdout).contains("Move the anchor's key"));
}

#[test]
fn a_directory_without_a_station_names_the_command_to_run() {
    let home = tempfile::tempdir().unwrap();
    let refused = station(&["--json", "run", home.path().to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(3));
    let next = json(&refused.stdout)["next"].as_str().unwrap().to_owned();
    assert!(next.starts_with("Run: mock-central-station init "), "{next}");
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
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("station");
        let text = dir.to_str().unwrap();
        assert!(station(&["init", text]).status.success());
        damage(&dir.join("station.db"));
        let refused = station(&["--json", "run", text, "--listen", "127.0.0.1:0"]);
        let report = json(&refused.stdout);
        assert_eq!((refused.status.code(), report["code"].as_str()), (Some(5), Some(code)));
        assert!(report["cause"].as_str().unwrap().contains("station.db"), "{report}");
    }
}

#[test]
fn what_is_wrong_with_the_stations_files_is_on_the_stations_side() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("station");
    let path = dir.to_str().unwrap();
    assert!(station(&["init", path, "--listen", "127.0.0.1:0"]).status.success());
    for entry in fs::read_dir(dir.join("keys")).unwrap() {
        fs::set_permissions(entry.unwrap().path(), fs::Permissions::from_mode(0o644)).unwrap();
    }
    let refused = json(&station(&["--json", "run", path]).stdout);
    assert_eq!(refused["code"], "key_file_mode_too_wide");
    assert_eq!(refused["side"], "station");
}

#[test]
fn a_weak_password_is_refused_before_anything_is_made() {
    let home = tempfile::tempdir().unwrap();
    let (dir, file) = (home.path().join("station"), home.path().join("password"));
    let line = ["--json", "init", dir.to_str().unwrap(), "--password-file", file.to_str().unwrap()];
    let cases = [
        ("short\n", 0o600, "must have at least 12 characters"),
        ("long enough for two\nlines\n", 0o600, "must have no line but those of the secrets"),
        ("long enough for all\n", 0o644, "must be a file that only its owner can read"),
    ];
    for (text, mode, rule) in cases {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let refused = station(&line);
        assert_eq!(refused.status.code(), Some(2));
        let report = json(&refused.stdout);
        assert_eq!((&report["field"], &report["rule"]), (&"--password-file".into(), &rule.into()));
        assert!(!dir.exists());
    }
}

#[test]
fn a_station_serves_until_it_is_told_to_stop() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("station");
    let dir = dir.to_str().unwrap();
    let any = "127.0.0.1:0";
    assert!(station(&["init", dir, "--listen", any, "--device-listen", any]).status.success());
    let running = Running::start(&["run", dir]);
    assert_ne!(running.address("operators"), running.address("devices"));
    let second = station(&["--json", "run", dir]);
    assert_eq!(json(&second.stdout)["code"].as_str(), Some("state_conflict"));
    running.stop();
    Running::start(&["run", dir]).stop();
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("station");
    let dir = dir.to_str().unwrap();
    let [file, variable, flag] = ["127.0.0.2:0", "127.0.0.3:0", "127.0.0.4:0"];
    let any = "127.0.0.1:0";
    assert!(station(&["init", dir, "--listen", file, "--device-listen", any]).status.success());
    let environment = [("STATION_LISTEN", variable)];
    let (plain, flagged) = (["run", dir], ["run", dir, "--listen", flag]);
    for (args, environment, host) in [
        (&plain[..], &[][..], "https://127.0.0.2:"),
        (&plain, &environment, "https://127.0.0.3:"),
        (&flagged, &environment, "https://127.0.0.4:"),
    ] {
        let running = Running::start_in(args, environment);
        let address = running.address("operators");
        assert!(address.starts_with(host), "{address}");
        running.stop();
    }
    let wrong = [("STATION_RECOVERY", "perhaps")];
    let refused = command().args(["run", dir]).envs(wrong).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--recovery"));
}

#[test]
fn faults_are_ordered_by_step_and_kind() {
    let ordered = ["test=drop@2", "outcome=tamper", "identity=truncate@1", "heartbeat=fail"];
    let args: Vec<_> = ordered.iter().flat_map(|fault| ["--fault", fault]).collect();
    Running::start(&[&["--ephemeral"], &*args].concat()).stop();
    let refused = station(&["--ephemeral", "--fault", "heartbeat=tamper"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("tamper for all but"));
}

#[test]
fn two_ephemeral_stations_run_side_by_side_and_leave_nothing() {
    let (one, two) = (Running::start(&["--ephemeral"]), Running::start(&["--ephemeral"]));
    assert_ne!(one.address("operators"), two.address("operators"));
    let anchors = [one.address("anchor").to_owned(), two.address("anchor").to_owned()];
    assert_ne!(anchors[0], anchors[1]);
    for running in [&one, &two] {
        assert!(running.ready["anchorPem"].as_str().unwrap().contains("BEGIN CERTIFICATE"));
        assert!(!running.ready["operatorToken"].as_str().unwrap().is_empty());
    }
    one.stop();
    two.stop();
    for anchor in anchors {
        let home = Path::new(&anchor).parent().unwrap().parent().unwrap();
        assert!(!home.exists(), "{}", home.display());
    }
}
