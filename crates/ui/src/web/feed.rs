//! The stream of events that a page draws from.

use core::convert::Infallible;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use axum::extract::State;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use tokio::sync::watch;
use zeroize::Zeroizing;
use zmon_domain::settings::DeviceSettings;
use zmon_domain::time::{Now, is_expired};
use zmon_provisioning::link::LinkStatus;
use zmon_provisioning::{CertificateView, ServiceView};
use zmon_wire::screen::{ScreenCertificate, ScreenView, Validity};
use zmon_wire::strict;

use super::{ALIVE, Shared, assets, buttons};
use crate::ProvisioningProperties;

/// A page that lost the stream asks again after this long.
const RETRY: Duration = Duration::from_secs(1);

/// `GET` [`super::EVENTS`].
pub(super) async fn events(State(shared): State<Arc<Shared>>) -> Response {
    let feed = Feed::new(shared);
    let events = stream::unfold(feed, |mut feed| async {
        let event = feed.next().await?;
        Some((Ok::<_, Infallible>(event), feed))
    });
    let mut response = Sse::new(events).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What one page was told last.
struct Feed {
    properties: watch::Receiver<ProvisioningProperties>,
    views: watch::Receiver<ServiceView>,
    link: watch::Receiver<LinkStatus>,
    trend: watch::Receiver<Vec<u32>>,
    open: watch::Receiver<()>,
    shared: Arc<Shared>,
    digest: [u8; 32],
    screen: Zeroizing<String>,
    /// The PNG image whose SVG form was sent; none before the first event.
    image: Option<Arc<[u8]>>,
    waiting: VecDeque<Event>,
}

impl Feed {
    fn new(shared: Arc<Shared>) -> Self {
        Self {
            properties: shared.model.properties(),
            views: shared.parts.service.view(),
            link: shared.parts.service.link(),
            trend: shared.trend.clone(),
            open: shared.open.clone(),
            digest: assets::digest(),
            screen: Zeroizing::default(),
            image: None,
            waiting: VecDeque::new(),
            shared,
        }
    }

    /// The next event; `None` once the screen is gone.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            self.look().await;
            if !self.waiting.is_empty() {
                continue;
            }
            let clock = &self.shared.parts.clock;
            let pause = clock.sleep_until(clock.now().mono + ALIVE);
            tokio::select! {
                biased;
                _ = self.open.changed() => return None,
                changed = self.properties.changed() => changed.ok()?,
                changed = self.views.changed() => changed.ok()?,
                changed = self.link.changed() => changed.ok()?,
                changed = self.trend.changed() => changed.ok()?,
                () = pause => self.waiting.push_back(Event::default().event("alive").data("")),
            }
        }
    }

    /// Lines up what the page does not know yet.
    async fn look(&mut self) {
        let screen = self.view();
        if *screen != *self.screen {
            let event = Event::default().event("screen").data(&*screen);
            self.waiting.push_back(event.retry(RETRY));
            self.screen = screen;
        }
        let image = Arc::clone(&self.properties.borrow_and_update().qr_code_data);
        if self.image.as_ref() != Some(&image) {
            let svg = self.svg(&image).await;
            self.waiting.push_back(Event::default().event("qr").data(&*svg));
            self.image = Some(image);
        }
    }

    /// The image of the open window in a form that stays crisp at any size; empty without one.
    async fn svg(&self, image: &[u8]) -> Zeroizing<String> {
        if image.is_empty() {
            return Zeroizing::default();
        }
        match self.shared.parts.service.generate_qr_code().await.map(|data| data.svg()) {
            Ok(Ok(svg)) => svg,
            // The window closed meanwhile; the next event says so.
            Ok(Err(_)) | Err(_) => Zeroizing::default(),
        }
    }

    fn view(&mut self) -> Zeroizing<String> {
        let parts = &self.shared.parts;
        let shown = self.views.borrow_and_update().clone();
        let link = self.link.borrow_and_update().clone();
        let now = parts.clock.now();
        let settings = shown.settings.clone().unwrap_or_default();
        let DeviceSettings { unit, language, .. } = settings;
        let view = ScreenView {
            status: shown.status_view(parts.service.device_id(), &link, &now),
            device_serial: parts.serial.clone(),
            actions: buttons::offered(&shown, parts.simulates),
            certificate: shown.certificate.map(|held| certificate(held, &now)),
            error_trend: self.trend.borrow_and_update().clone(),
            language,
            measurement_unit: unit,
            assets: self.digest,
        };
        let json = strict::to_vec(&view).map(String::from_utf8);
        // A view of strings and numbers always has a JSON form.
        Zeroizing::new(json.ok().and_then(Result::ok).unwrap_or_default())
    }
}

fn certificate(held: CertificateView, now: &Now) -> ScreenCertificate {
    let validity = match (held.not_after, now.wall) {
        (Some(not_after), Some(wall)) if is_expired(wall, not_after) => Validity::Expired,
        (Some(_), Some(_)) => Validity::Valid,
        (None, _) | (Some(_), None) => Validity::Unknown,
    };
    ScreenCertificate { not_after: held.not_after, validity }
}
