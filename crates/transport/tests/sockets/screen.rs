//! Plain HTTP on loopback: what it refuses to be.

use std::io::ErrorKind;
use std::net::SocketAddr;

use axum::Router;
use zmon_transport::screen;

#[tokio::test]
async fn plain_http_is_served_on_loopback_only() {
    for loopback in ["127.0.0.1:0", "127.0.0.9:0"] {
        let server = screen::serve(loopback.parse().unwrap(), Router::new()).await.unwrap();
        assert!(server.address().ip().is_loopback() && server.address().port() != 0);
        server.shutdown().await;
    }
    let everywhere: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let refused = screen::serve(everywhere, Router::new()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
}
