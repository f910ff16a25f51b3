//! A device directory, its parts, and records to commit.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use tempfile::TempDir;
use zmon_crypto::x509::CertificateChain;
use zmon_crypto::{SecretBytes, SoftIdentity, Suite, sha256, x509};
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::ids::{DeviceId, Serial, SessionId};
use zmon_domain::role::Actor;
use zmon_domain::time::{ClockQuality, Now, Tick, UnixTime};
use zmon_persistence::{FileKeyStore, PrivateDir, SqliteDeviceStore};
use zmon_protocol::device::{DeviceRecord, DeviceWrite, Slot};
use zmon_provisioning::ports::{KeyStore, SharedRng};

/// Stands for a client's private key: long enough to be found, found nowhere.
pub(crate) const PRIVATE_KEY: &[u8] = b"PRIVATE-KEY-0123456789abcdefghijklmnopqrstuvwxyz";
/// Part of every configuration that must not be readable on disk.
pub(crate) const SERVER_URL: &str = "https://monitoring.hospital.example:8443";

pub(crate) const WALL: i64 = 1_732_545_000;

/// A directory of the right mode, gone with the value.
pub(crate) struct Home {
    temp: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let home = Self { temp };
        drop(PrivateDir::create(&home.path()).unwrap());
        home
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.temp.path().join("zmon")
    }

    pub(crate) fn dir(&self) -> Arc<PrivateDir> {
        Arc::new(PrivateDir::open(&self.path()).unwrap())
    }

    /// A copy of everything as it lies on the medium now.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self { temp: tempfile::tempdir().unwrap() };
        copy_tree(&self.path(), &copy.path());
        copy
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// A second connection, as whoever tampers has one.
    pub(crate) async fn sql(&self, database: &str) -> SqliteConnection {
        let url = format!("sqlite://{}", self.file(database).display());
        SqliteConnection::connect(&url).await.unwrap()
    }

    /// How many files hold these bytes.
    pub(crate) fn count_files_with(&self, needle: &[u8]) -> usize {
        files(&self.path())
            .iter()
            .filter(|file| {
                // SQLite removes its log when the last connection closes, on a thread of its own.
                let bytes = std::fs::read(file).unwrap_or_default();
                bytes.windows(needle.len()).any(|window| window == needle)
            })
            .count()
    }
}

pub(crate) fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o700)).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            let copied = std::fs::copy(entry.path(), &target);
            assert!(copied.is_ok() || !entry.path().exists(), "{copied:?}");
        }
    }
}

pub(crate) fn files(path: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            all.extend(files(&entry.path()));
        } else {
            all.push(entry.path());
        }
    }
    all.sort();
    all
}

pub(crate) async fn run(connection: &mut SqliteConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap();
}

pub(crate) async fn number(connection: &mut SqliteConnection, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await.unwrap()
}

pub(crate) fn seeded(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

pub(crate) fn rng(seed: u64) -> SharedRng {
    SharedRng::new(seeded(seed))
}

pub(crate) fn device_id() -> DeviceId {
    DeviceId::parse("ZM-001").unwrap()
}

pub(crate) fn session(n: u8) -> SessionId {
    SessionId::from_bytes([n; 16])
}

pub(crate) fn at(seconds: i64) -> UnixTime {
    UnixTime::from_unix(seconds).unwrap()
}

pub(crate) fn now() -> Now {
    Now {
        mono: Tick::ZERO,
        wall: Some(at(WALL)),
        quality: ClockQuality::Synced,
        millis: Some(WALL * 1000 + 123),
    }
}

pub(crate) fn event(event: EventType) -> AuditEvent {
    AuditEvent::new(event, Actor::System).device(&device_id())
}

pub(crate) fn record(events: &[EventType], writes: Vec<DeviceWrite>) -> DeviceRecord {
    DeviceRecord { audit: events.iter().map(|name| event(*name)).collect(), writes }
}

pub(crate) fn identity(seed: u64) -> SoftIdentity {
    SoftIdentity::generate(Suite::P256, &mut seeded(seed)).unwrap()
}

/// A slot with a configuration that can be read back, for the bed `ICU-<generation>`.
pub(crate) fn slot(generation: u64) -> Slot {
    let key = identity(99);
    let der = x509::self_signed(&key, &mut seeded(98)).unwrap();
    let pem = CertificateChain::from_der([der]).unwrap().to_base64_pem();
    let thumbprint = "ab".repeat(32);
    let n = u8::try_from(generation).unwrap();
    let configuration = format!(
        r#"{{"schemaVersion":1,"serverUrl":"{SERVER_URL}","syncInterval":7,"caCertificate":"{pem}","clientCertificate":"{pem}","clientPrivateKey":null,"serverCertificate":null,"deviceId":"ZM-001","pairingCode":"ABC-123-XYZ","bedId":"ICU-{generation}","deviceLabel":"Monitor {generation}","measurementUnit":"METRIC","language":"ES","timestamp":"2024-11-25T14:25:00Z","expiresAt":"2024-11-25T15:25:00Z","session":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","sessionId":"{session}","stationId":"cs-1","deviceSerial":"SN-1","deviceKey":"{thumbprint}","suite":1,"method":1,"configVersion":{generation},"crit":[]}}"#,
        session = session(n),
    )
    .into_bytes();
    Slot {
        generation,
        session_id: session(n),
        configuration_hash: sha256(&configuration),
        configuration: SecretBytes::new(configuration),
        client_key: SecretBytes::copy_from(PRIVATE_KEY),
        serial: Serial::from_bytes(&[n, 1, 2, 3]).unwrap(),
    }
}

/// Key store and device store of one device over one directory.
pub(crate) struct Device {
    pub(crate) dir: Arc<PrivateDir>,
    pub(crate) keys: Arc<FileKeyStore>,
    pub(crate) store: SqliteDeviceStore,
}

impl Device {
    /// Makes identity and database.
    pub(crate) async fn create(home: &Home) -> Self {
        let dir = home.dir();
        let keys = FileKeyStore::create(Arc::clone(&dir), Suite::P256, &mut seeded(1)).unwrap();
        Self::with(dir, Arc::new(keys)).await
    }

    /// As after a restart.
    pub(crate) async fn open(home: &Home) -> Self {
        let dir = home.dir();
        let keys = FileKeyStore::open(Arc::clone(&dir)).unwrap();
        Self::with(dir, Arc::new(keys)).await
    }

    async fn with(dir: Arc<PrivateDir>, keys: Arc<FileKeyStore>) -> Self {
        let shared: Arc<dyn KeyStore> = Arc::clone(&keys) as Arc<dyn KeyStore>;
        let store = SqliteDeviceStore::open(Arc::clone(&dir), device_id(), shared, rng(2));
        let store = store.await.unwrap();
        Self { dir, keys, store }
    }
}
