//! The device's screen ([W §9.1], [W §9.2]): a page, its live state, its buttons.
//!
//! A router and no socket: `zmon-transport`'s `screen::serve` puts it on a loopback address, behind
//! the gate for names, origins, media type and size. The page is hand-written and embedded; it asks
//! no other server for anything. What it shows comes as one stream of events, so that it cannot mix
//! an old state with a new one.
//!
//! | route | what |
//! |---|---|
//! | `/` and the files beside it | the page, with an `ETag` |
//! | [`EVENTS`] | the state, the QR code, a sign of life |
//! | [`OPERATORS`] | who may be chosen at the PIN pad |
//! | [`PRESS`] | a pressed button |

mod answer;
mod assets;
mod buttons;
mod feed;
mod trend;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::map_response;
use axum::routing::{get, post};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use zmon_domain::ids::{DeviceSerial, OperatorId};
use zmon_domain::limits;
use zmon_domain::role::Role;
use zmon_provisioning::ports::{Authenticator, Clock};
use zmon_provisioning::{AuditedOperators, IProvisioningService};

use crate::ProvisioningViewModel;
use trend::Trend;

/// Events: `screen` (a `ScreenView`), `qr` (an SVG image, empty without a window), `alive`.
pub const EVENTS: &str = "/api/screen/events";
/// A `ScreenOperators`.
pub const OPERATORS: &str = "/api/screen/operators";
/// Takes a `ScreenRequest`; answers 204 or a problem document.
pub const PRESS: &str = "/api/screen/press";

/// A sign of life comes this often, so that a page notices a program that no longer speaks.
const ALIVE: Duration = Duration::from_secs(5);

/// Who may be chosen at the PIN pad.
#[async_trait]
pub trait LocalOperators: Send + Sync {
    /// Every local operator with its role.
    async fn operators(&self) -> Vec<(OperatorId, Role)>;
}

#[async_trait]
impl LocalOperators for AuditedOperators {
    async fn operators(&self) -> Vec<(OperatorId, Role)> {
        self.operators().await
    }
}

/// What the screen is composed of.
#[derive(Clone)]
#[non_exhaustive]
pub struct ScreenParts {
    /// The device.
    pub service: Arc<dyn IProvisioningService>,
    /// Who turns PINs into proofs, and writes down the wrong ones (D22).
    pub authenticator: Arc<dyn Authenticator>,
    /// Whom the PIN pad offers.
    pub operators: Arc<dyn LocalOperators>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The device's serial number.
    pub serial: DeviceSerial,
    /// Whether "Simulate Configuration" is offered.
    pub simulates: bool,
}

impl ScreenParts {
    /// The parts every device has.
    pub fn new(
        service: Arc<dyn IProvisioningService>,
        authenticator: Arc<dyn Authenticator>,
        operators: Arc<dyn LocalOperators>,
        clock: Arc<dyn Clock>,
        serial: DeviceSerial,
    ) -> Self {
        Self { service, authenticator, operators, clock, serial, simulates: false }
    }

    /// Offers "Simulate Configuration" ([W §9.3]): for development builds whose service simulates.
    #[must_use]
    pub fn with_simulation(mut self) -> Self {
        self.simulates = true;
        self
    }
}

/// A screen. Dropping it ends the streams of its pages; they say that the connection is lost.
pub struct Screen {
    router: Router,
    trend: AbortHandle,
    _open: watch::Sender<()>,
}

impl Screen {
    /// A screen of `parts`. Needs a tokio runtime.
    #[must_use]
    pub fn new(parts: ScreenParts) -> Self {
        let model =
            ProvisioningViewModel::new(Arc::clone(&parts.service), Arc::clone(&parts.clock));
        let (errors, trend) = watch::channel(Trend::quiet());
        let watched = Trend::watch(parts.service.link(), Arc::clone(&parts.clock), errors);
        let (open, opened) = watch::channel(());
        let shared = Arc::new(Shared { parts, model, trend, open: opened });
        let router = Router::new()
            .route(EVENTS, get(feed::events))
            .route(OPERATORS, get(buttons::operators))
            .route(PRESS, post(buttons::press))
            .with_state(shared)
            .merge(assets::routes())
            .fallback(answer::not_found)
            .method_not_allowed_fallback(answer::method_not_allowed)
            .layer(DefaultBodyLimit::max(limits::BODY_MAX.default))
            .layer(map_response(answer::protected));
        Self { router, trend: tokio::spawn(watched).abort_handle(), _open: open }
    }

    /// The screen's routes, for a listener.
    pub fn router(&self) -> Router {
        self.router.clone()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.trend.abort();
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Screen")
    }
}

/// What every handler has.
struct Shared {
    parts: ScreenParts,
    model: ProvisioningViewModel,
    trend: watch::Receiver<Vec<u32>>,
    open: watch::Receiver<()>,
}
