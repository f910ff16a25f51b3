//! A batch as it goes on, for the pages of those who look at it.

use core::convert::Infallible;
use core::time::Duration;
use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::response::IntoResponse;
use axum::response::sse::{Event, Sse};
use futures_util::stream;
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::sleep;
use zmon_domain::batch::BatchState;
use zmon_domain::ids::BatchId;
use zmon_station::StationEvent;
use zmon_wire::batch::{BatchItemView, BatchView};
use zmon_wire::strict;

use super::Api;
use super::answer::{Answer, Segment};
use super::batches::named;
use super::gate::Caller;
use super::progress::{ALIVE, RETRY};

/// Changes that come close together are told together.
const GATHER: Duration = Duration::from_millis(100);

/// `GET /api/batches/{batchId}/events`.
pub(super) async fn events(State(api): State<Api>, id: Segment, request: Request) -> Answer {
    let caller = Caller::of(&request);
    let proof = caller.operator(&api).await?;
    let id = named(id)?;
    // From before the first look, so that nothing is missed.
    let moves = api.station.events();
    api.station.batch(&proof, &id).await?;
    let follower =
        Follower { api, caller, id, moves, told: BTreeMap::new(), begun: false, over: false };
    let events = stream::unfold(follower, |mut follower| async {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    let mut response = Sse::new(events).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

struct Follower {
    api: Api,
    caller: Caller,
    id: BatchId,
    moves: Receiver<StationEvent>,
    /// What this page was told of each item.
    told: BTreeMap<u32, BatchItemView>,
    begun: bool,
    over: bool,
}

impl Follower {
    /// The next event; `None` when the batch, the login or the server has ended, or the store fails.
    async fn next(&mut self) -> Option<Event> {
        if self.over {
            return None;
        }
        if self.begun {
            let closing = self.api.closing.clone();
            tokio::select! {
                biased;
                () = closing.cancelled() => return None,
                () = self.moved() => {}
                () = sleep(ALIVE) => {}
            }
        }
        self.begun = true;
        // A login that has ended takes its streams with it.
        let proof = self.caller.operator(&self.api).await.ok()?;
        let mut view = self.api.station.batch(&proof, &self.id).await.ok()?;
        // Nothing moves any more in a closed batch without an item at work.
        self.over = view.state == BatchState::Closed && view.counts.pairing == 0;
        view.items.retain(|item| self.told.get(&item.row) != Some(item));
        self.told.extend(view.items.iter().map(|item| (item.row, item.clone())));
        event(&view)
    }

    /// Waits until the batch has moved, or something has that was missed.
    async fn moved(&mut self) {
        loop {
            match self.moves.recv().await {
                Ok(StationEvent::Batch { id }) if id == self.id => break,
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => break,
                // The station is gone: so is the server, soon.
                Err(RecvError::Closed) => core::future::pending().await,
            }
        }
        sleep(GATHER).await;
    }
}

fn event(view: &BatchView) -> Option<Event> {
    let text = strict::to_vec(view).ok().and_then(|text| String::from_utf8(text).ok());
    if text.is_none() {
        tracing::error!("a batch cannot be written");
    }
    Some(Event::default().event("batch").retry(RETRY).data(text?))
}
