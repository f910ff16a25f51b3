//! What the rows of a pairing are made of, each with the library that is linked.

#![expect(clippy::disallowed_types, reason = "a benchmark is a program")]

use core::hint::black_box;
use core::time::Duration;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;

use argon2::{Argon2, PasswordHasher};
use getrandom::SysRng;
use p256::ecdsa::signature::RandomizedSigner;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::Generate;
use rand_core::UnwrapErr;
use rustls::client::WebPkiServerVerifier;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection, Executor};
use zmon_bench::sample::{Cost, Samples, Stopwatch, in_turn, thread_time};
use zmon_crypto::{IdentityKey, Suite, TlsKey};
use zmon_domain::ids::{DeviceId, SiteId, StationId, StationName};
use zmon_domain::time::UnixTime;
use zmon_station::ca::{CaMaterial, CaParams, ServerName as CaName, random_serial};
use zmon_station::ports::{CertificateIssuer, ClientCertificateOrder};
use zmon_transport::provider;

/// Costs of one each.
pub(crate) struct Primitives {
    /// ECDSA P-256 signature by `p256`.
    pub(crate) sign: Cost,
    /// A new P-256 key by `p256`.
    pub(crate) generate: Cost,
    /// ECDSA P-256 verification by `ring`.
    pub(crate) verify: Cost,
    /// 4 KiB written and fdatasync.
    pub(crate) sync: Cost,
    /// One row, one transaction, SQLite in WAL mode with `synchronous=FULL`.
    pub(crate) commit: Cost,
    /// TLS 1.3, server `aws-lc-rs`, client `ring`, both authenticated; TCP connect included.
    pub(crate) mutual: Cost,
    /// TLS 1.3, only the server authenticated; TCP connect included.
    pub(crate) server_only: Cost,
    /// One record each way over an open connection.
    pub(crate) round_trip: Cost,
    /// The CPU time of the server alone in [`Primitives::mutual`].
    pub(crate) mutual_server: Cost,
    /// The CPU time of the client alone in [`Primitives::server_only`].
    pub(crate) anonymous_client: Cost,
    /// The CPU time of the server alone in [`Primitives::server_only`].
    pub(crate) anonymous_server: Cost,
    /// A client certificate by `rcgen`.
    pub(crate) issue: Cost,
    /// argon2id with 19 MiB and two passes.
    pub(crate) argon2: Cost,
    /// A program that does nothing, from spawn to its end; the CPU time is not this process's.
    pub(crate) spawn: Cost,
    /// An existing SQLite database opened and asked one question.
    pub(crate) open_database: Cost,
}

impl Primitives {
    /// Measures all of them.
    pub(crate) fn measure() -> Self {
        let key = SigningKey::generate_from_rng(&mut UnwrapErr(SysRng));
        let message = [7; 4096];
        let signature: Signature = key.sign_with_rng(&mut UnwrapErr(SysRng), &message);
        let (der, point) = (signature.to_der(), key.verifying_key().to_sec1_point(false));
        let ring = provider::ring().algorithms.ecdsa_p256_sha256();
        let dir = tempfile::tempdir().expect("a directory");
        let mut file = File::create(dir.path().join("file")).expect("a file");
        let argon = Argon2::default();
        let [sign, generate, verify, sync] = in_turn(
            300,
            [
                &mut || {
                    let _: Signature = key.sign_with_rng(&mut UnwrapErr(SysRng), &message);
                },
                &mut || {
                    black_box(SigningKey::generate_from_rng(&mut UnwrapErr(SysRng)));
                },
                &mut || {
                    ring.verify_signature(point.as_bytes(), &message, der.as_bytes())
                        .expect("verified");
                },
                &mut || {
                    file.write_all(&message).expect("written");
                    file.sync_data().expect("synced");
                },
            ],
        );
        let [argon2] = in_turn(
            10,
            [&mut || drop(argon.hash_password_with_salt(b"48392017", b"0123456789abcdef"))],
        );
        let [spawn] = in_turn(
            100,
            [&mut || {
                black_box(Command::new("true").status().expect("`true` is everywhere"));
            }],
        );
        let pki = Pki::new();
        let (mutual, server_only, round_trip) = handshakes(&pki);
        let (commit, open_database) = database(dir.path());
        Self {
            sign,
            generate,
            verify,
            sync,
            commit,
            mutual: mutual.whole.median(),
            server_only: server_only.whole.median(),
            round_trip: round_trip.median(),
            mutual_server: mutual.server.median(),
            anonymous_client: server_only.client.median(),
            anonymous_server: server_only.server.median(),
            issue: pki.issue,
            argon2,
            spawn,
            open_database,
        }
    }
}

/// A commit, and the opening of the database that has them.
fn database(dir: &std::path::Path) -> (Cost, Cost) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (mut samples, mut opened) = (Samples::default(), Samples::default());
    runtime.expect("a runtime").block_on(async {
        let options = SqliteConnectOptions::new()
            .filename(dir.join("commit.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let mut db = SqliteConnection::connect_with(&options).await.expect("a database");
        db.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, row BLOB)").await.expect("a table");
        for _ in 0..300 {
            let watch = Stopwatch::start();
            let mut transaction = db.begin_with("BEGIN IMMEDIATE").await.expect("begun");
            let insert =
                sqlx::query("INSERT INTO log (row) VALUES ($1)").bind([7_u8; 600].as_slice());
            insert.execute(&mut *transaction).await.expect("inserted");
            transaction.commit().await.expect("committed");
            samples.push(watch.cost());
        }
        db.close().await.expect("closed");
        for _ in 0..100 {
            let watch = Stopwatch::start();
            let mut db = SqliteConnection::connect_with(&options).await.expect("a database");
            db.execute("SELECT max(id) FROM log").await.expect("an answer");
            opened.push(watch.cost());
            db.close().await.expect("closed");
        }
    });
    (samples.median(), opened.median())
}

/// One kind of handshake, and the CPU time of each end.
#[derive(Default)]
struct Ends {
    whole: Samples,
    client: Samples,
    server: Samples,
}

impl Ends {
    /// Connects from this thread; the server has its own.
    fn measure(&mut self, address: SocketAddr, config: &Arc<ClientConfig>) -> Stream {
        let (watch, own) = (Stopwatch::start(), thread_time());
        let stream = connect(address, config);
        let (own, whole) = (thread_time().saturating_sub(own), watch.cost());
        let alone = |cpu| Cost { wall: Duration::ZERO, cpu };
        self.whole.push(whole);
        self.client.push(alone(own));
        self.server.push(alone(whole.cpu.saturating_sub(own)));
        stream
    }
}

/// Mutual, server-only, and a round trip afterwards.
fn handshakes(pki: &Pki) -> (Ends, Ends, Samples) {
    let (with, without) = (serve(pki.server(true)), serve(pki.server(false)));
    let (own, none) = (pki.client(true), pki.client(false));
    let (mut mutual, mut server_only) = (Ends::default(), Ends::default());
    let mut round_trip = Samples::default();
    for _ in 0..150 {
        let mut stream = mutual.measure(with, &own);
        round_trip.measure(|| echo(&mut stream));
        drop(server_only.measure(without, &none));
    }
    (mutual, server_only, round_trip)
}

type Stream = rustls::StreamOwned<ClientConnection, TcpStream>;

/// TCP, handshake, and a byte each way, which proves that the server took the client.
fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> Stream {
    let name = ServerName::from(address.ip());
    let tls = ClientConnection::new(Arc::clone(config), name).expect("a client");
    let tcp = TcpStream::connect(address).expect("connected");
    tcp.set_nodelay(true).expect("an option");
    let mut stream = rustls::StreamOwned::new(tls, tcp);
    echo(&mut stream);
    stream
}

fn echo(stream: &mut Stream) {
    stream.write_all(&[1]).expect("sent");
    stream.read_exact(&mut [0]).expect("answered");
}

/// Echoes on a thread for as long as the program lives.
fn serve(config: Arc<ServerConfig>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for tcp in listener.incoming() {
            let tcp = tcp.expect("accepted");
            tcp.set_nodelay(true).expect("an option");
            let tls = ServerConnection::new(Arc::clone(&config)).expect("a server");
            let mut stream = rustls::StreamOwned::new(tls, tcp);
            let mut byte = [0];
            while stream.read_exact(&mut byte).is_ok() {
                stream.write_all(&byte).expect("echoed");
            }
        }
    });
    address
}

/// The certificates of a station and one device.
struct Pki {
    ca: CaMaterial,
    key: TlsKey,
    chain: Vec<Vec<u8>>,
    issue: Cost,
}

impl Pki {
    fn new() -> Self {
        let mut rng = UnwrapErr(SysRng);
        let names = CaParams::new(
            StationId::parse("station-1").expect("an id"),
            StationName::parse("Ward 3").expect("a name"),
            SiteId::parse("st-mary").expect("a site"),
            vec![CaName::parse("127.0.0.1").expect("an address")],
        );
        #[expect(clippy::disallowed_methods, reason = "certificates want today's date")]
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = i64::try_from(now.expect("after 1970").as_secs()).expect("a date");
        let now = UnixTime::from_unix(now).expect("a date");
        let ca = CaMaterial::generate(&names, &mut rng, now).expect("an authority");
        let key = TlsKey::generate(&mut rng).expect("a key");
        let order = ClientCertificateOrder {
            spki: key.public().spki_der().to_vec(),
            device_id: DeviceId::parse("ZM-001").expect("an id"),
            serial: random_serial(&mut rng),
            not_before: now,
            not_after: now + Duration::from_secs(86_400),
            trust: zmon_wire::kind::TrustLevel::Anchored,
        };
        assert_eq!(key.public().suite(), Suite::P256);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let issuer = ca.issuer().expect("an issuer");
        let mut issued = Samples::default();
        for _ in 0..100 {
            issued.measure(|| drop(runtime.block_on(issuer.issue(&order)).expect("issued")));
        }
        let chain = runtime.block_on(issuer.issue(&order)).expect("issued").chain;
        Self { ca, key, chain, issue: issued.median() }
    }

    fn server(&self, mutual: bool) -> Arc<ServerConfig> {
        let provider = provider::aws_lc().tls;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3");
        let builder = if mutual {
            let roots = Arc::new(roots(self.ca.client_ca_der()));
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        } else {
            builder.with_no_client_auth()
        };
        let chain = certificates(&self.ca.server_chain());
        let key = private(self.ca.server_key().expose());
        let mut config = builder.with_single_cert(chain, key).expect("a key");
        config.send_tls13_tickets = 0;
        Arc::new(config)
    }

    fn client(&self, mutual: bool) -> Arc<ClientConfig> {
        let provider = provider::ring().tls;
        let roots = Arc::new(roots(self.ca.anchor_der()));
        let verifier =
            WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_webpki_verifier(verifier.expect("a verifier"));
        let mut config = if mutual {
            let key = private(self.key.pkcs8().expect("a key").expose());
            builder.with_client_auth_cert(certificates(&self.chain), key).expect("a key")
        } else {
            builder.with_no_client_auth()
        };
        config.resumption = rustls::client::Resumption::disabled();
        Arc::new(config)
    }
}

fn roots(der: &[u8]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(der.to_vec())).expect("a root");
    roots
}

fn certificates(chain: &[Vec<u8>]) -> Vec<CertificateDer<'static>> {
    chain.iter().map(|der| CertificateDer::from(der.clone())).collect()
}

fn private(pkcs8: &[u8]) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.to_vec()))
}
