//! A station whose keys are in a PKCS#11 token: the programs as they ship, and SoftHSM.

#![expect(clippy::indexing_slicing, reason = "a panic in a helper of a test is its report")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use zmon_testkit::binary;

/// Where distributions put the module.
const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
];
const PIN: &str = "482913";
/// How many tests of this file need the module.
const TESTS: u32 = 3;

/// A folder with a token of its own.
struct Home {
    dir: TempDir,
    module: &'static str,
}

impl Home {
    /// `None`, and a line that says so, on a machine without SoftHSM.
    fn new() -> Option<Self> {
        let module = MODULES.into_iter().find(|module| Path::new(module).exists());
        let tried = Command::new("softhsm2-util").arg("--version").output();
        let (Some(module), Ok(_)) = (module, tried) else {
            // Not by `println!`, which nobody sees of a test that passes.
            let line =
                format!("SKIPPED: 1 of {TESTS} tests of PKCS#11: softhsm2 is not installed\n");
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            return None;
        };
        let this = Self { dir: tempfile::tempdir().unwrap(), module };
        let tokens = this.path("tokens");
        fs::create_dir(&tokens).unwrap();
        let conf = format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display());
        fs::write(this.path("softhsm2.conf"), conf).unwrap();
        this.pin("hsm.pin", PIN);
        let made = this
            .command("softhsm2-util")
            .args(["--init-token", "--free", "--label", "zmon", "--so-pin", "12345678"])
            .args(["--pin", PIN])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        Some(this)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn pin(&self, name: &str, pin: &str) {
        fs::write(self.path(name), format!("{pin}\n")).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// A program with this token and no other setting.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("SOFTHSM2_CONF", self.path("softhsm2.conf")).stdin(Stdio::null());
        command
    }

    fn station(&self, args: &[&str]) -> Command {
        let mut command = self.command(binary("zmon-mock-central-station", "mock-central-station"));
        command.arg("--json").args(args);
        command
    }

    fn init(&self, dir: &str) -> Output {
        let (dir, pin) = (self.text(dir), self.text("hsm.pin"));
        let any = "127.0.0.1:0";
        let args = ["init", &dir, "--site", "site-1", "--listen", any, "--device-listen", any];
        let token = ["--pkcs11-module", self.module, "--pkcs11-token", "zmon"];
        let keys = ["--pkcs11-client-ca-key", "client CA", "--pkcs11-signing-key", "signing"];
        let pin = ["--pkcs11-pin-file", &pin];
        self.station(&[&args[..], &token, &keys, &pin].concat()).output().unwrap()
    }
}

fn json(output: &Output) -> Value {
    let read = serde_json::from_slice(&output.stdout);
    read.unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// A program that serves.
struct Running {
    child: Child,
    ready: Value,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        Self { child, ready }
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
fn keys_are_made_in_the_token_once_and_no_file_has_them() {
    let Some(home) = Home::new() else { return };
    let made = json(&home.init("station"));
    assert_eq!(made["success"], true, "{made}");
    let keys = home.path("station/keys");
    let files: Vec<_> = fs::read_dir(&keys).unwrap().map(|f| f.unwrap().file_name()).collect();
    let has = |name: &str| files.iter().any(|file| file.as_os_str() == name);
    assert!(has("server.key") && has("audit.key"), "{files:?}");
    assert!(!has("client-ca.key") && !has("signing.key"), "{files:?}");
    let settings = fs::read_to_string(home.path("station/station.toml")).unwrap();
    assert!(settings.contains("pkcs11_client_ca_key = \"client CA\"") && !settings.contains(PIN));

    // A label that is taken is nobody else's, and what is there stays.
    let taken = json(&home.init("other"));
    assert_eq!(taken["code"], "state_conflict", "{taken}");
    assert!(taken["cause"].as_str().unwrap().contains("client CA"), "{taken}");
    let running = Running::start(home.station(&["run", &home.text("station")]));
    running.stop();
}

#[test]
fn a_token_that_refuses_or_is_not_there_stops_the_start_by_name() {
    let Some(home) = Home::new() else { return };
    assert_eq!(json(&home.init("station"))["success"], true);
    let dir = home.text("station");
    home.pin("wrong.pin", "000000");
    let wrong = home.text("wrong.pin");
    let cases: [(&[&str], &str); 4] = [
        (&["--pkcs11-pin-file", &wrong], "PIN"),
        (&["--pkcs11-token", "nowhere"], "token nowhere: there is no such token"),
        (&["--pkcs11-signing-key", "nothing"], "token zmon: nothing: there is no such key"),
        (&["--pkcs11-module", "/absent/hsm.so"], "/absent/hsm.so"),
    ];
    for (more, cause) in cases {
        let refused = home.station(&[&["run", &dir], more].concat()).output().unwrap();
        let report = json(&refused);
        assert_eq!(report["code"], "key_store_unavailable", "{report}");
        assert!(report["cause"].as_str().unwrap().contains(cause), "{report}");
        let told = [&refused.stdout[..], &refused.stderr].concat();
        assert!(!String::from_utf8_lossy(&told).contains("000000"), "no PIN is shown");
    }
    // Another key of the token is not the one the certificate was made for.
    let swapped = ["--pkcs11-client-ca-key", "signing", "--pkcs11-signing-key", "client CA"];
    let refused = home.station(&[&["run", &dir], &swapped[..]].concat()).output().unwrap();
    assert_eq!(json(&refused)["code"], "storage_corrupt");
    assert!(json(&refused)["cause"].as_str().unwrap().contains("client CA"));
}

/// A station with a device beside it, and the words by which people order them.
struct Ward<'h> {
    home: &'h Home,
    station: Running,
    device: Running,
    pin: String,
}

impl<'h> Ward<'h> {
    fn start(home: &'h Home) -> Self {
        home.pin("password", "correct horse battery");
        let (dir, password) = (home.text("station"), home.text("password"));
        let own = ["--pkcs11-client-ca-key", "client CA", "--password-file", &password];
        let place = ["--listen", "127.0.0.1:0", "--device-listen", "127.0.0.1:0"];
        let token = ["--pkcs11-module", home.module, "--pkcs11-token", "zmon"];
        let pin = ["--pkcs11-pin-file", &home.text("hsm.pin")];
        let made = home
            .station(&[&["init", &dir][..], &own, &place, &token, &pin].concat())
            .output()
            .unwrap();
        assert_eq!(json(&made)["success"], true);
        let station = Running::start(home.station(&["run", &dir]));
        let anchor = home.text("station/anchor.pem");
        let bed = home.text("bed");
        let made = home.device(&["init", &bed, "--anchor", &anchor]).output().unwrap();
        let pin = json(&made)["operators"][0]["pin"].as_str().unwrap().to_owned();
        let device = Running::start(home.device(&["run", &bed, "--listen", "127.0.0.1:0"]));
        let this = Self { home, station, device, pin };
        let manifest = home.device(&["identity", &bed, "--manifest"]).output().unwrap();
        fs::write(home.path("manifest"), manifest.stdout).unwrap();
        let imported = this.zmon(&["registry", "import", &home.text("manifest")]);
        assert_eq!(imported["success"], true, "{imported}");
        this
    }

    /// What `zmon` says to the station's administrator.
    fn zmon(&self, args: &[&str]) -> Value {
        let (anchor, password) = (self.home.text("station/anchor.pem"), self.home.text("password"));
        let url = self.station.address("operators");
        let login = ["--station", url, "--ca", &anchor, "--operator", "admin"];
        let own = ["--password-file", &password];
        let mut command = self.home.command(binary("zmon", "zmon"));
        json(&command.arg("--json").args(args).args(login).args(own).output().unwrap())
    }

    /// Pairs the device by a new code on its screen.
    fn pair(&self) -> Value {
        self.home.pin("pin", &self.pin);
        let pin = self.home.text("pin");
        let shown = self.at_the_device(&["enter", "--operator", "admin", "--pin-file", &pin]);
        let content = shown["content"].as_str().unwrap_or_else(|| panic!("{shown}"));
        fs::write(self.home.path("qr"), content).unwrap();
        self.zmon(&["pair", "--qr-text", &self.home.text("qr")])
    }

    /// What `zmon device` says of the device.
    fn at_the_device(&self, words: &[&str]) -> Value {
        let bed = self.home.text("bed");
        let mut command = self.home.command(binary("zmon", "zmon"));
        let device = ["--json", "device", "--dir", &bed];
        json(&command.args(device).args(words).output().unwrap())
    }

    fn certificates(&self, state: &str) -> usize {
        let listed = self.zmon(&["certificate", "list", "--state", state]);
        listed["certificates"].as_array().unwrap().len()
    }
}

impl Home {
    fn device(&self, args: &[&str]) -> Command {
        let mut command = self.command(binary("zmon-device", "device"));
        command.arg("--json").args(args);
        command
    }
}

#[test]
fn a_token_that_goes_away_issues_nothing_and_comes_back_without_a_restart() {
    let Some(home) = Home::new() else { return };
    let ward = Ward::start(&home);
    fs::rename(home.path("tokens"), home.path("away")).unwrap();
    let refused = ward.pair();
    assert_eq!(refused["success"], false, "{refused}");
    assert_eq!(refused["code"], "key_store_unavailable", "{refused}");
    for state in ["pending", "current", "superseded", "revoked"] {
        assert_eq!(ward.certificates(state), 0, "{state}");
    }
    fs::rename(home.path("away"), home.path("tokens")).unwrap();
    // Its code is used up.
    let cancelled = ward.at_the_device(&["cancel"]);
    assert_eq!(cancelled["status"], "UNPROVISIONED", "{cancelled}");
    let paired = ward.pair();
    assert_eq!(paired["success"], true, "{paired}");
    assert_eq!(ward.certificates("current"), 1);
    ward.device.stop();
    ward.station.stop();
}
