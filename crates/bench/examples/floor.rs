//! The least a program of this kind can be: TLS, HTTP, a database and nothing else.
//!
//! It is linked from the libraries that `device` is linked from, built in the same profile and measured in the
//! same run, so that what `device` weighs and how long it takes to start stand beside what the libraries alone do.
//! `cargo build --release --package zmon-bench --example floor` builds it.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "part of a benchmark: what cannot be set up ends it with the reason"
)]

use std::env;
use std::sync::Arc;

use axum::routing::get;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection, SqliteConnection};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A certificate comes with a window; the program at rest has none.
#[derive(Debug)]
struct NoWindow;

impl ResolvesServerCert for NoWindow {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(serve());
}

async fn serve() {
    let path = env::args_os().nth(1).expect("a file for the database");
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut database = SqliteConnection::connect_with(&options).await.expect("a database");
    sqlx::query("CREATE TABLE IF NOT EXISTS started (at INTEGER NOT NULL)")
        .execute(&mut database)
        .await
        .expect("a table");
    sqlx::query("INSERT INTO started VALUES (0)").execute(&mut database).await.expect("a row");

    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(NoWindow));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("an address");
    println!("ready");

    let router = axum::Router::new().route("/", get(|| async { "floor" }));
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(router.clone()));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let served = hyper::server::conn::http1::Builder::new();
            let _ended = served.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
