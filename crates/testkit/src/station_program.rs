//! The shipped `mock-central-station` as processes: one station under several names, behind one address.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rand_core::Rng;
use zmon_crypto::{Anchor, sha256};
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::ids::{InstanceName, OperatorId, SiteId, StationId};
use zmon_domain::role::{Actor, Role};
use zmon_persistence::{PrivateDir, STATION_DATABASE, SqlStationStore};
use zmon_station::ports::{LoginRow, OperatorRow, StationRecord, StationStore, StationWrite};
use zmon_transport::client::Endpoint;
use zmon_transport::tls::{certificates_from_pem, trusting_client};
use zmon_wire::ready::Ready;
use zmon_wire::{b64, strict};

use crate::clock::TestClock;
use crate::operator::Operator;
use crate::power::aside;
use crate::seed::Seed;
use crate::station::tls;
use crate::{PASSWORD, Relay, TestDatabase, disk};

/// What `init` calls a station and its site.
const STATION: &str = "station-1";
const SITE: &str = "site-1";
/// Who makes accounts while no process runs; its rows have a lane of their own.
const SETUP: &str = "setup";
/// The administrator.
const ADMINISTRATOR: &str = "admin";
/// Longest line of standard output that is read.
const LINE_MAX: usize = 65_536;
/// How long a technician of a test stays logged in.
const LOGIN: core::time::Duration = core::time::Duration::from_hours(8);

/// A station's directory, the processes that serve it, and the one address that everybody knows.
///
/// Each process listens at an address of its own, at the port of the common one.
pub struct StationProgram {
    home: tempfile::TempDir,
    binary: PathBuf,
    database: Option<Arc<TestDatabase>>,
    seed: Seed,
    hosts: Vec<IpAddr>,
    operators: Relay,
    devices: Relay,
    running: BTreeMap<String, Child>,
}

impl StationProgram {
    /// `mock-central-station init`, on SQLite without a database; nothing runs yet. Everybody connects to
    /// `front`, processes listen at `hosts`.
    ///
    /// # Panics
    /// When the program refuses.
    pub async fn init(
        binary: PathBuf,
        database: Option<Arc<TestDatabase>>,
        seed: Seed,
        front: IpAddr,
        hosts: &[IpAddr],
    ) -> Self {
        let operators = Relay::balancing(front, hosts).await;
        let devices = Relay::balancing(front, hosts).await;
        let home = disk::private("zmon-programs-");
        let program = Self {
            home,
            binary,
            database,
            seed,
            hosts: hosts.to_vec(),
            operators,
            devices,
            running: BTreeMap::new(),
        };
        let password = program.home.path().join("password");
        disk::write_private(&password, format!("{PASSWORD}\n").as_bytes());
        let mut command = program.command("init", &program.directory());
        let names = core::iter::once(&front).chain(hosts);
        for name in names {
            command.arg("--server-name").arg(name.to_string());
        }
        for (flag, place) in program.listen(front) {
            command.arg(flag).arg(place.to_string());
        }
        let made = command.arg("--password-file").arg(password).output().expect("the program runs");
        assert!(made.status.success(), "init: {made:?}");
        program
    }

    /// Makes technicians who are logged in, before anything runs: argon2 is no part of what is measured.
    ///
    /// # Panics
    /// When the database cannot be written.
    pub async fn technicians(&self, count: usize, clock: &TestClock) -> Vec<Operator> {
        let mut rng = self.seed.rng();
        let (mut record, mut tokens) = (StationRecord::default(), Vec::new());
        let now = clock.now();
        let wall = now.wall.expect("a station has a date");
        for number in 1..=count {
            let id = OperatorId::parse(&format!("tech-{number}")).expect("an operator's name");
            let mut token = [0; 32];
            rng.fill_bytes(&mut token);
            let row = AuditEvent::new(EventType::OperatorAdded, Actor::System);
            record.audit.push(row.with("operator", &id));
            record.writes.push(StationWrite::AddOperator(OperatorRow {
                id: id.clone(),
                role: Role::Technician,
                password_hash: "nobody knows it".to_owned(),
                disabled: false,
                one_time: false,
                created_at: wall,
            }));
            record.writes.push(StationWrite::AddLogin(LoginRow {
                token_hash: sha256(&token),
                operator: id,
                role: Role::Technician,
                expires_at: wall + LOGIN,
            }));
            tokens.push(b64::encode_url(&token));
        }
        let (dir, database) = (self.directory(), self.database.clone());
        aside(async move || {
            let store = store(&dir, database.as_deref()).await;
            store.commit(&now, &record).await.expect("a database").expect("new accounts");
        })
        .await;
        if self.database.is_none() {
            disk::closed(&self.directory().join(STATION_DATABASE)).await;
        }
        let stranger = self.stranger(clock);
        tokens.iter().map(|token| stranger.clone().with_token(token)).collect()
    }

    /// `mock-central-station run` under a name, at the host of that number; returns when it is ready.
    ///
    /// # Panics
    /// When it does not get ready, or there is no such host.
    pub fn start(&mut self, name: &str, host: usize) {
        let dir = self.directory_of(name);
        if !dir.exists() {
            copy(&self.directory(), &dir);
        }
        let mut command = self.command("run", &dir);
        for (flag, place) in self.listen(self.host(host)) {
            command.arg(flag).arg(place.to_string());
        }
        let log = File::options().create(true).append(true).open(self.log_file(name));
        let mut child = command
            .args(["--instance", name, "--log", "warn"])
            .stdout(Stdio::piped())
            .stderr(log.expect("a file is written"))
            .spawn()
            .expect("the program runs");
        let mut line = String::new();
        let output = child.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut line).expect("a ready line");
        let ready: Result<Ready, _> = strict::parse(line.trim_end().as_bytes(), LINE_MAX);
        ready.unwrap_or_else(|error| panic!("no ready line but {line:?}: {error}"));
        let before = self.running.insert(name.to_owned(), child);
        assert!(before.is_none(), "{name} runs already");
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// When it is not running, or the system refuses.
    pub fn kill(&mut self, name: &str) {
        let mut child = self.running.remove(name).expect("it runs");
        child.kill().expect("killed");
        child.wait().expect("gone");
    }

    /// Holds a process where it stands, connections and locks included, until [`StationProgram::resume`].
    ///
    /// # Panics
    /// When it is not running, or the system refuses.
    pub fn pause(&self, name: &str) {
        signal("-STOP", self.pid(name));
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// When it is not running, or the system refuses.
    pub fn resume(&self, name: &str) {
        signal("-CONT", self.pid(name));
    }

    /// Whether the process of a name has ended by itself or by another's hand; it does not run then.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn has_ended(&mut self, name: &str) -> bool {
        let Some(child) = self.running.get_mut(name) else { return true };
        let ended = child.try_wait().expect("the system says").is_some();
        if ended {
            self.running.remove(name);
        }
        ended
    }

    /// The process of a name.
    ///
    /// # Panics
    /// When it is not running.
    #[must_use]
    pub fn pid(&self, name: &str) -> u32 {
        self.running.get(name).expect("it runs").id()
    }

    /// The administrator's tablet.
    ///
    /// # Panics
    /// When the station refuses the login.
    pub async fn administrator(&self, clock: &TestClock) -> Operator {
        self.stranger(clock).log_in(ADMINISTRATOR, PASSWORD).await.expect("logged in")
    }

    /// A tablet that nobody is logged in at, which talks to whoever serves.
    #[must_use]
    pub fn stranger(&self, clock: &TestClock) -> Operator {
        self.tablet(self.operators.address(), clock)
    }

    /// The same, which talks to the process at the host of that number.
    ///
    /// # Panics
    /// When there is no such host.
    #[must_use]
    pub fn stranger_at(&self, host: usize, clock: &TestClock) -> Operator {
        let port = self.operators.address().port();
        self.tablet(SocketAddr::new(self.host(host), port), clock)
    }

    fn tablet(&self, at: SocketAddr, clock: &TestClock) -> Operator {
        let ca = certificates_from_pem(&self.anchor_pem()).expect("the anchor is PEM");
        let tls = trusting_client(&tls(clock), &ca).expect("the anchor is a CA");
        Operator::new(Endpoint::address(at.ip(), at.port()), tls)
    }

    /// The anchor that devices are given at imaging.
    ///
    /// # Panics
    /// Never after `init`.
    #[must_use]
    pub fn anchor(&self) -> Anchor {
        let ca = certificates_from_pem(&self.anchor_pem()).expect("the anchor is PEM");
        let ca = ca.first().expect("one certificate");
        Anchor::parse(ca, SiteId::parse(SITE).expect("a site id")).expect("an anchor")
    }

    /// The directory that `init` made; each process has a copy.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.home.path().join("station")
    }

    /// The copy that the process of a name serves.
    #[must_use]
    pub fn directory_of(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The wires to it, of operators and of devices.
    #[must_use]
    pub fn wires(&self) -> [&Relay; 2] {
        [&self.operators, &self.devices]
    }

    /// What a process has written to its log.
    #[must_use]
    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.log_file(name)).unwrap_or_default()
    }

    fn log_file(&self, name: &str) -> PathBuf {
        self.home.path().join(format!("{name}.log"))
    }

    fn anchor_pem(&self) -> Vec<u8> {
        fs::read(self.directory().join("anchor.pem")).expect("the anchor is there")
    }

    fn host(&self, number: usize) -> IpAddr {
        *self.hosts.get(number).expect("a host of init")
    }

    fn listen(&self, host: IpAddr) -> [(&'static str, SocketAddr); 2] {
        [("--listen", &self.operators), ("--device-listen", &self.devices)]
            .map(|(flag, front)| (flag, SocketAddr::new(host, front.address().port())))
    }

    fn command(&self, verb: &str, dir: &Path) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_clear().stdin(Stdio::null()).args(["--json", verb]).arg(dir);
        if let Some(database) = &self.database {
            command.arg("--database").arg(database.url());
        }
        command
    }
}

impl Drop for StationProgram {
    fn drop(&mut self) {
        for (name, child) in &mut self.running {
            // One that has ended by itself cannot be killed any more.
            let _gone = child.kill();
            let _status = child.wait();
            if std::thread::panicking() {
                let log = fs::read_to_string(self.home.path().join(format!("{name}.log")));
                let log = log.unwrap_or_default();
                let last: Vec<_> = log.lines().rev().take(20).collect();
                eprintln!("zmon-testkit: the last lines of {name}, newest first: {last:#?}");
            }
        }
        self.seed.tell_if_failing();
    }
}

fn signal(signal: &str, pid: u32) {
    let sent = Command::new("kill").args([signal, &pid.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "kill {signal} {pid}");
}

/// Its memory, before a process serves it.
async fn store(dir: &Path, database: Option<&TestDatabase>) -> SqlStationStore {
    let id = StationId::parse(STATION).expect("a station id");
    match database {
        Some(database) => {
            let setup = InstanceName::parse(SETUP).expect("a name");
            SqlStationStore::connect(&database.parsed(), &id, &setup).await.expect("a database")
        }
        None => {
            let dir = PrivateDir::open(dir).expect("a private directory");
            SqlStationStore::open(Arc::new(dir), &id).await.expect("a database")
        }
    }
}

/// A copy of a directory, modes included.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a new folder");
    let modes = fs::metadata(from).expect("a folder is read").permissions();
    fs::set_permissions(to, modes).expect("modes are set");
    for entry in fs::read_dir(from).expect("a folder is read") {
        let entry = entry.expect("a folder is read");
        let (path, copied) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &copied);
        } else {
            fs::copy(&path, &copied).expect("a file is copied");
        }
    }
}
