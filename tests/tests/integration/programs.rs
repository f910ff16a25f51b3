//! A station, a device and the tools of their operators, all as the programs that ship, in one folder.

#![expect(clippy::indexing_slicing, reason = "a member that is missing is the report")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderValue};
use serde_json::Value;
use zmon_domain::address::ServerUrl;
use zmon_testkit::{binary, disk, wait};
use zmon_transport::client::{Ask, ClientTimes, Connection, Endpoint, JSON};
use zmon_transport::provider;
use zmon_transport::tls::{TlsContext, certificates_from_pem, trusting_client};

const IP: &str = "127.0.0.24";
/// Of backups.
pub(crate) const PASSPHRASE: &str = "correct horse battery staple";
/// Of the administrator.
pub(crate) const PASSWORD: &str = "a password of their own";
const LABEL: &str = "ICU-MON-04";

/// A station, a device and an administrator in one folder.
pub(crate) struct Ward {
    home: tempfile::TempDir,
    url: String,
    running: Vec<(&'static str, Child)>,
}

impl Ward {
    /// Makes both sides, starts them, and registers the device.
    pub(crate) fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let free = || TcpListener::bind((IP, 0)).unwrap().local_addr().unwrap();
        let (listen, devices) = (free(), free());
        let mut ward = Self { home, url: format!("https://{listen}"), running: Vec::new() };
        let (listen, devices) = (listen.to_string(), devices.to_string());
        let made = ward.json(
            "mock-central-station",
            &["init", "station", "--listen", &listen, "--device-listen", &devices],
        );
        ward.secret("made", made["password"].as_str().unwrap());
        ward.secret("password", PASSWORD);
        ward.secret("passphrase", PASSPHRASE);
        let made = ward
            .json("device", &["init", "bed", "--anchor", "station/anchor.pem", "--site", "site-1"]);
        ward.secret("pin", made["operators"][0]["pin"].as_str().unwrap());
        ward.serve("mock-central-station", &["run", "station"]);
        ward.serve("device", &["run", "bed", "--listen", &format!("{IP}:0")]);
        let own = ["--password-file", "made", "--new-password-file", "password"];
        ward.operator(&[&["operator", "password"][..], &own].concat());
        let manifest = ward.run("device", &["identity", "bed", "--manifest"]).stdout;
        fs::write(ward.path("manifest"), manifest).unwrap();
        ward.administrator(&["registry", "import", "manifest"]);
        ward
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn secret(&self, name: &str, text: &str) {
        fs::write(self.path(name), format!("{text}\n")).unwrap();
        disk::set_mode(&self.path(name), 0o600);
    }

    fn command(&self, name: &'static str) -> Command {
        let package = match name {
            "mock-central-station" => "zmon-mock-central-station",
            "device" => "zmon-device",
            other => other,
        };
        let mut command = Command::new(binary(package, name));
        command.env_clear().current_dir(self.home.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, name: &'static str, args: &[&str]) -> Output {
        self.command(name).args(args).output().unwrap()
    }

    /// The answer of a program, whether or not it succeeded.
    pub(crate) fn json(&self, name: &'static str, args: &[&str]) -> Value {
        let output = self.run(name, &[&["--json"], args].concat());
        let answer = serde_json::from_slice(&output.stdout);
        answer.unwrap_or_else(|error| panic!("{args:?}: {error}: {output:?}"))
    }

    pub(crate) fn zmon(&self, args: &[&str]) -> Value {
        self.json("zmon", args)
    }

    fn operator(&self, args: &[&str]) -> Value {
        let station = ["--station", &self.url, "--ca", "station/anchor.pem", "--operator", "admin"];
        let answer = self.zmon(&[args, &station].concat());
        assert_ne!(answer["success"], false, "{args:?}: {answer}");
        answer
    }

    pub(crate) fn administrator(&self, args: &[&str]) -> Value {
        self.operator(&[args, &["--password-file", "password"]].concat())
    }

    pub(crate) fn device(&self, args: &[&str]) -> Value {
        self.zmon(&[&["device"], args, &["--dir", "bed"]].concat())
    }

    pub(crate) fn serve(&mut self, name: &'static str, args: &[&str]) {
        let mut child = self
            .command(name)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.running.push((name, child));
        let ready: Value = serde_json::from_str(&line).unwrap_or_default();
        assert_eq!(ready["ready"], true, "{name} {args:?}: {line}");
    }

    pub(crate) fn stop_station(&mut self) {
        let at = self.running.iter().position(|(name, _)| *name == "mock-central-station").unwrap();
        let (_, mut child) = self.running.remove(at);
        let stopped = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        assert!(stopped.unwrap().success() && child.wait().unwrap().success());
    }

    /// Pairs the device by its QR code; the session.
    pub(crate) fn pair(&self, enter: &[&str]) -> String {
        self.enter(enter);
        self.pair_entered()
    }

    /// Opens a window; what the QR code says.
    pub(crate) fn enter(&self, enter: &[&str]) -> Value {
        let _code = fs::remove_file(self.path("code.png"));
        let person = ["--operator", "admin", "--pin-file", "pin"];
        let entered = self.device(&[enter, &person].concat());
        assert_ne!(entered["success"], false, "{entered}");
        self.zmon(&["qr", "show", "--device", "bed", "--png", "code.png"]);
        let read = self.zmon(&["qr", "decode", "code.png"]);
        serde_json::from_str(read["text"].as_str().unwrap()).unwrap()
    }

    /// Pairs the device whose window is open; the session.
    pub(crate) fn pair_entered(&self) -> String {
        let paired = self.administrator(&["pair", "--qr-image", "code.png", "--label", LABEL]);
        let rows = self.rows("bed");
        let session = rows.iter().rev().find_map(|row| row["session"].as_str());
        assert_eq!(paired["success"], true, "{paired}");
        session.unwrap().to_owned()
    }

    /// Where operators reach the station.
    pub(crate) fn address(&self) -> SocketAddr {
        self.url.trim_start_matches("https://").parse().unwrap()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.device(&["status"])["link"]["connected"] == true
    }

    /// The rows of a log, oldest first.
    pub(crate) fn rows(&self, dir: &str) -> Vec<Value> {
        let lines = self.run("zmon", &["audit", "export", dir]).stdout;
        let lines = String::from_utf8(lines).unwrap();
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let records = lines.filter_map(|line| line["record"].as_str().map(str::to_owned));
        records.map(|record| serde_json::from_str(&record).unwrap()).collect()
    }

    pub(crate) fn has_row(&self, dir: &str, event: &str, error: Option<&str>) -> bool {
        let rows = self.rows(dir);
        rows.iter().any(|row| row["event"] == event && row["error"].as_str() == error)
    }

    /// A request to the station as a program makes it that has a token.
    pub(crate) async fn ask(
        &self,
        path: &str,
        token: Option<&str>,
        body: Option<&str>,
    ) -> (StatusCode, Value) {
        let anchor = certificates_from_pem(&fs::read(self.path("station/anchor.pem")).unwrap());
        let tls = TlsContext::new(provider::ring().tls, now);
        let tls = trusting_client(&tls, &anchor.unwrap()).unwrap();
        let url = Endpoint::url(&ServerUrl::parse(&self.url).unwrap()).unwrap();
        let times = ClientTimes::default();
        let mut connection = Connection::open(&url, tls, times.connect).await.unwrap();
        let ask = match body {
            Some(body) => Ask::post(path, JSON, body.as_bytes().to_vec()),
            None => Ask::get(path),
        };
        let ask = match token {
            Some(token) => {
                let bearer = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
                ask.header(AUTHORIZATION, bearer)
            }
            None => ask,
        };
        let answer = connection.send_bounded(ask, times.request, 1 << 20).await.unwrap();
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }

    pub(crate) async fn log_in(&self) -> String {
        let body = format!(r#"{{"operator":"admin","password":"{PASSWORD}"}}"#);
        let (status, answer) = self.ask("/api/auth/login", None, Some(&body)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn restore(&self, dir: &str, more: &[&str]) -> Value {
        let args = ["station", "restore", "backup.zmon", dir, "--passphrase-file", "passphrase"];
        self.zmon(&[&args[..], more].concat())
    }

    /// What is left in the folder that a restore did not finish.
    pub(crate) fn drafts(&self) -> Vec<String> {
        let names = fs::read_dir(self.home.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with('.')).collect()
    }
}

impl Drop for Ward {
    fn drop(&mut self) {
        for (_, child) in &mut self.running {
            let _gone = child.kill();
            let _status = child.wait();
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the client of a test checks certificates by real time"
)]
fn now() -> Option<u64> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.ok().map(|elapsed| elapsed.as_secs())
}

/// Waits for something that another process does.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    wait::eventually(what, async || is_so().then_some(())).await;
}
