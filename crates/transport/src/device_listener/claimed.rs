//! Who the peer of a connection has shown to be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Extensions, Request};

/// Whether a valid claim was made on this connection: one flag per connection, as an extension of
/// its requests. Only the session's own peer may learn why its configuration was refused (D24).
#[derive(Debug, Clone, Default)]
pub(super) struct Claimed(Arc<AtomicBool>);

impl Claimed {
    /// A new connection has claimed nothing.
    pub(super) fn begin(extensions: &mut Extensions) {
        extensions.insert(Self::default());
    }

    /// The flag of the request's connection.
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_default()
    }

    /// From now on the peer is the session's own.
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether a claim was made.
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
