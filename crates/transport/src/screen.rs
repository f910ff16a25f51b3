//! Plain HTTP on loopback, for a browser that shows the device's own screen (D17).
//!
//! Whose page it is does not matter here. Every request passes the same gate: the listener's own
//! names only (T19), no page of another origin and nothing but JSON behind a button (T20), bounded
//! bodies (T21).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::header::X_CONTENT_TYPE_OPTIONS;
use http::{HeaderValue, Method};
use tokio::net::TcpListener;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::limits;

use crate::client::JSON;
use crate::problem;
use crate::server::{
    Fault, Hosted, Hosts, Scheme, Server, ServerLimits, Service, media_type_is, misdirected,
    read_body,
};

/// Serves `router` on a loopback address; port 0 asks for any free one.
///
/// # Errors
/// `InvalidInput` when the address is no loopback address; else why it cannot be bound.
pub async fn serve(address: SocketAddr, router: Router) -> io::Result<Server> {
    let listener = TcpListener::bind(address).await?;
    let names = [listener.local_addr()?.ip().to_string(), String::from("localhost")];
    let gated = router.layer(from_fn_with_state(Arc::new(Hosts::new(names)), gate));
    Server::start(listener, Hosted::plain(Service::new(gated, fault)), ServerLimits::screen())
}

async fn gate(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    let mut response = match misdirected(&hosts, Scheme::Http, request.headers()) {
        Some(refusal) => problem::of(&refusal),
        None => match whole(request).await {
            Ok(request) => next.run(request).await,
            Err(report) => problem::response(&report),
        },
    };
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The request with its body read; what changes something carries JSON, which no form can send.
async fn whole(request: Request) -> Result<Request, ErrorReport> {
    let (parts, body) = request.into_parts();
    let reads = matches!(parts.method, Method::GET | Method::HEAD);
    if !reads && !media_type_is(&parts.headers, JSON) {
        return Err(ErrorCode::MediaTypeUnsupported.into());
    }
    let body = read_body(body, limits::BODY_MAX.default).await?;
    Ok(Request::from_parts(parts, Body::from(body)))
}

fn fault(fault: Fault) -> Response {
    let code = match fault {
        Fault::Timeout => ErrorCode::Timeout,
        Fault::Panic => ErrorCode::Internal,
    };
    problem::response(&code.into())
}
