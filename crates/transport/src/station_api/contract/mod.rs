//! Every operation of a station's listeners.

mod devices;
mod operators;

use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use http::Method;
use http::header::CONTENT_TYPE;
use zmon_domain::error::{ErrorCode, ErrorReport, FieldError};

use super::gate::Behind;
use super::interpose::Ordered;
use crate::contract::Operation;
use crate::paths::{OUTCOME_ALPN, PULL_ALPN, RECOVERY_ALPN};

/// The operations of one listener.
#[derive(Debug)]
#[non_exhaustive]
pub struct Listener {
    /// A word for it.
    pub name: &'static str,
    /// The ALPN name (RFC 7301) under which it is reached, if it needs one.
    pub protocol: Option<&'static [u8]>,
    /// What it serves.
    pub operations: Vec<Operation>,
}

/// What each of a station's listeners serves.
pub fn listeners() -> [Listener; 5] {
    let named =
        |name, protocol, operations| Listener { name, protocol: Some(protocol), operations };
    [
        Listener { name: "operators", protocol: None, operations: operators::operations() },
        Listener { name: "devices", protocol: None, operations: devices::operations() },
        named("outcome", OUTCOME_ALPN, devices::outcome()),
        named("recovery", RECOVERY_ALPN, devices::recovery()),
        named("pull", PULL_ALPN, devices::pull()),
    ]
}

/// What one service may be asked and answer.
pub(super) struct Contract(Vec<Operation>);

impl Contract {
    pub(super) fn of(behind: Behind) -> Self {
        Self(match behind {
            Behind::Operators => operators::operations(),
            Behind::Certificates => devices::operations(),
            Behind::Strangers => {
                [devices::outcome(), devices::recovery(), devices::pull()].concat()
            }
        })
    }

    /// The operation of a request; none for a path or method that nobody serves, and for pages.
    pub(super) fn operation(&self, request: &Request) -> Option<&Operation> {
        let path = request.extensions().get::<MatchedPath>()?.as_str();
        let method = match *request.method() {
            Method::HEAD => Method::GET,
            ref method => method.clone(),
        };
        let asked = |operation: &&Operation| operation.path == path && operation.method == method;
        self.0.iter().find(asked)
    }
}

/// A query string where none is known.
pub(super) fn unasked(operation: &Operation, request: &Request) -> Option<ErrorReport> {
    let query = request.uri().query().unwrap_or_default();
    let refused = operation.query.is_empty() && !query.is_empty();
    let rule = FieldError::new("query", "must hold known names only");
    refused.then(|| ErrorReport::field(ErrorCode::RequestMalformed, rule))
}

/// Whether an answer is one that the operation may have, or no answer of the station's.
pub(super) fn kept(operation: &Operation, response: &Response) -> bool {
    if response.extensions().get::<Ordered>().is_some() {
        return true;
    }
    let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    operation.allows(response.status().as_u16(), media_type)
}
