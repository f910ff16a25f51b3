//! A pairing as it happens, for the page of the operator who started it.

use core::convert::Infallible;
use core::time::Duration;

use axum::extract::{Request, State};
use axum::response::IntoResponse;
use axum::response::sse::{Event, Sse};
use futures_util::stream;
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use tokio::time::sleep;
use zmon_station::ports::SessionPhase;
use zmon_station::{SessionFeed, SessionProgress};
use zmon_wire::page::{Progress, ProgressPhase};
use zmon_wire::problem::Problem;
use zmon_wire::strict;

use super::Api;
use super::answer::{Answer, Segment};
use super::gate::Caller;
use super::pairing::session;

/// The state is said again this often: a sign of life, and the seconds that are left.
pub(super) const ALIVE: Duration = Duration::from_secs(5);
/// A page that lost the stream asks again after this long.
pub(super) const RETRY: Duration = Duration::from_secs(1);

/// `GET /api/provisioning/pair/{sessionId}/events`.
pub(super) async fn events(State(api): State<Api>, id: Segment, request: Request) -> Answer {
    let caller = Caller::of(&request);
    let proof = caller.operator(&api).await?;
    let feed = api.station.follow(&proof, &session(id)?).await?;
    let follower = Follower { api, caller, feed, begun: false, over: false };
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
    feed: SessionFeed,
    begun: bool,
    over: bool,
}

impl Follower {
    /// The next event; `None` when the session, the login or the server has ended.
    async fn next(&mut self) -> Option<Event> {
        if self.over {
            return None;
        }
        if self.begun {
            tokio::select! {
                biased;
                () = self.api.closing.cancelled() => return None,
                moved = self.feed.changed() => if !moved { return None },
                // A login that has ended takes its streams with it.
                () = sleep(ALIVE) => drop(self.caller.operator(&self.api).await.ok()?),
            }
        }
        self.begun = true;
        let progress = self.feed.progress(&self.api.station.now());
        self.over = progress.phase.is_final();
        event(progress)
    }
}

fn event(progress: SessionProgress) -> Option<Event> {
    let text = strict::to_vec(&said(progress)).ok().and_then(|text| String::from_utf8(text).ok());
    if text.is_none() {
        tracing::error!("the progress of a session cannot be written");
    }
    Some(Event::default().event("session").retry(RETRY).data(text?))
}

fn said(progress: SessionProgress) -> Progress {
    let (device_serial, firmware_version) = progress.device.unzip();
    Progress {
        session_id: progress.session_id,
        device_id: progress.device_id,
        phase: phase(progress.phase),
        delivery: progress.route,
        tested: progress.tested,
        device_serial,
        firmware_version,
        seconds_left: progress.pair_within.map(|left| left.as_secs()),
        words: progress.words.map(|words| words.join(" ")),
        problem: progress.error.as_ref().map(Problem::new),
    }
}

const fn phase(phase: SessionPhase) -> ProgressPhase {
    match phase {
        SessionPhase::Dialling => ProgressPhase::Dialling,
        SessionPhase::Identified => ProgressPhase::Identified,
        SessionPhase::Issuing => ProgressPhase::Issuing,
        SessionPhase::Delivering => ProgressPhase::Delivering,
        SessionPhase::AwaitingCommit => ProgressPhase::AwaitingCommit,
        SessionPhase::Paired => ProgressPhase::Paired,
        SessionPhase::Failed => ProgressPhase::Failed,
        SessionPhase::Released | _ => ProgressPhase::Released,
    }
}
