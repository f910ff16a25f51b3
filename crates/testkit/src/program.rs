//! The shipped `device` program as a process: made, started, asked, killed.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use zmon_domain::ids::DeviceId;
use zmon_protocol::device::BootState;
use zmon_transport::control::{ControlClient, ControlError};
use zmon_wire::control::{ControlAnswer, ControlRequest, StatusView};
use zmon_wire::kind::True;
use zmon_wire::manifest::ManifestRow;
use zmon_wire::qr::QrContent;
use zmon_wire::ready::Ready;
use zmon_wire::secret::SecretText;
use zmon_wire::strict;

use crate::disk;
use crate::seed::Seed;
use crate::stored::Stored;
use crate::{PIN, TestStation};

/// Its identifier.
const ID: &str = "ZM-001";
/// Its administrator.
const OPERATOR: &str = "admin";
/// Longest line of standard output that is read.
const LINE_MAX: usize = 65_536;

/// The program of a package of this workspace, built in the same profile as the running test; built
/// now if it is not there.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn binary(package: &str, name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a test has a path");
    // target/PROFILE/deps/TEST and target/PROFILE/examples/EXAMPLE.
    let profile = own.parent().and_then(Path::parent).expect("target/PROFILE");
    let binary = profile.join(name);
    if !binary.exists() {
        let target = profile.parent().expect("target");
        let cargo = option_env!("CARGO").unwrap_or("cargo");
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--package", package, "--bin", name, "--target-dir"])
            .arg(target)
            .status();
        assert!(built.is_ok_and(|status| status.success()), "{name} cannot be built");
    }
    assert!(binary.exists(), "{} is not there; is this a debug build?", binary.display());
    binary
}

/// A device directory and the `device` program that serves it.
pub struct DeviceProgram {
    home: TempDir,
    binary: PathBuf,
    seed: Seed,
    log: &'static str,
    running: Option<(Child, Ready)>,
}

impl DeviceProgram {
    /// `device init` with the anchor of `station`; not started yet.
    ///
    /// # Panics
    /// When the program refuses.
    #[must_use]
    pub fn init(station: &TestStation, binary: PathBuf) -> Self {
        let home = disk::private("zmon-program-");
        let (anchor, pins) = (home.path().join("anchor.pem"), home.path().join("pins"));
        std::fs::write(&anchor, station.anchor_pem()).expect("a file is written");
        disk::write_private(&pins, format!("{PIN}\n").as_bytes());
        let program =
            Self { home, binary, seed: station.seed().clone(), log: "error", running: None };
        let made = program
            .command("init")
            .args(["--device-id", ID, "--administrator", OPERATOR])
            .args(["--site", station.site(), "--anchor"])
            .arg(anchor)
            .arg("--pin-file")
            .arg(pins)
            .output()
            .expect("the program runs");
        assert!(made.status.success(), "device init: {made:?}");
        program
    }

    /// The same with another level of its log; errors are told otherwise.
    #[must_use]
    pub fn logging(mut self, log: &'static str) -> Self {
        self.log = log;
        self
    }

    /// Its row of the registry.
    ///
    /// # Panics
    /// When the program refuses.
    #[must_use]
    pub fn manifest(&self) -> ManifestRow {
        let told = self.command("identity").arg("--manifest").output().expect("the program runs");
        assert!(told.status.success(), "device identity: {told:?}");
        strict::parse(&told.stdout, LINE_MAX).expect("a row of the registry")
    }

    /// `device run`; returns when it is ready.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn start(&mut self) {
        assert!(self.running.is_none(), "the device is on");
        let mut child = self
            .command("run")
            .args(["--listen", "127.0.0.1:0", "--log", self.log])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let output = child.stdout.take().expect("a pipe");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("a ready line");
        let ready = strict::parse(line.trim_end().as_bytes(), LINE_MAX);
        let ready = ready.unwrap_or_else(|error| panic!("no ready line but {line:?}: {error}"));
        self.running = Some((child, ready));
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn kill(&mut self) {
        if let Some((mut child, _)) = self.running.take() {
            child.kill().expect("killed");
            child.wait().expect("gone");
        }
    }

    /// Its process.
    ///
    /// # Panics
    /// While it is off.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.running.as_ref().expect("the device is on").0.id()
    }

    /// Whether its process has ended by itself or by another's hand; it is off then.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn has_ended(&mut self) -> bool {
        let Some((child, _)) = &mut self.running else { return true };
        let ended = child.try_wait().expect("the system says").is_some();
        if ended {
            self.running = None;
        }
        ended
    }

    /// What it answers on its control socket.
    ///
    /// # Errors
    /// What it refused with, or that it is gone.
    ///
    /// # Panics
    /// While it is off.
    pub async fn ask(&self, request: &ControlRequest) -> Result<ControlAnswer, ControlError> {
        let (_, ready) = self.running.as_ref().expect("the device is on");
        let socket = ready.addresses.get("control").expect("a control socket");
        ControlClient::connect(Path::new(socket)).await?.ask(request).await
    }

    /// Its status.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn status(&self) -> StatusView {
        match self.ask(&ControlRequest::Status {}).await {
            Ok(ControlAnswer::Status(status)) => *status,
            other => panic!("{other:?}"),
        }
    }

    /// The administrator enters provisioning mode, again if the device is provisioned; what is shown.
    ///
    /// # Panics
    /// When it refuses.
    pub async fn open_window(&self) -> QrContent {
        let operator = OPERATOR.parse().expect("an operator's name");
        let (pin, address, override_interlock) = (SecretText::new(PIN), None, None);
        let request = if self.status().await.is_provisioned {
            let confirm = True;
            ControlRequest::Reprovision { operator, pin, confirm, address, override_interlock }
        } else {
            ControlRequest::Enter { operator, pin, address, override_interlock }
        };
        self.ask(&request).await.expect("provisioning mode entered");
        match self.ask(&ControlRequest::Qr {}).await {
            Ok(ControlAnswer::Qr(qr)) => {
                QrContent::parse(qr.content.expose().as_bytes()).expect("the seven members")
            }
            other => panic!("{other:?}"),
        }
    }

    /// What a start would find on the disk, with the audit log verified.
    ///
    /// # Panics
    /// While it is on, and when the disk holds anything but whole slots and a whole log.
    pub async fn on_disk(&self) -> BootState {
        assert!(self.running.is_none(), "the device is on");
        let id = DeviceId::parse(ID).expect("a device id");
        let stored = Stored::read(self.directory(), id, self.seed.clone()).await;
        stored.unwrap_or_else(|what| panic!("the device's directory: {what}")).boot
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.home.path().join("device")
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_clear().stdin(Stdio::null()).arg(verb).arg(self.directory());
        command
    }
}

impl Drop for DeviceProgram {
    fn drop(&mut self) {
        self.kill();
    }
}
