//! What the callback is told: changed properties, the six signals of [I §2.1], the link.
//!
//! Nothing queues up behind a slow callback: properties and link are told as they are when it returns,
//! and of too many signals only the status is left.

use std::collections::VecDeque;

use serde::Serialize;
use tokio::sync::watch;
use zmon_provisioning::EventStream;
use zmon_provisioning::link::LinkStatus;
use zmon_transport::control::event_view;
use zmon_ui::ProvisioningProperties;
use zmon_wire::control::{EventView, LinkView};
use zmon_wire::strict;

use crate::live::{Live, State};
use crate::properties;

/// One event: an object with one member, its name. Nothing in it is secret.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Event {
    /// Properties have other values.
    PropertiesChanged {
        /// Which, by the names of [W §11.2].
        names: Vec<&'static str>,
    },
    /// The link to the station.
    LinkChanged(LinkView),
    /// A signal of [I §2.1].
    #[serde(untagged)]
    Signal(EventView),
}

impl Event {
    /// The JSON text.
    pub(crate) fn json(&self) -> Vec<u8> {
        // Strings and numbers always have a JSON form.
        strict::to_vec(self).unwrap_or_default()
    }
}

/// The events of a device, across every opening of it.
pub(crate) struct Feed {
    state: watch::Receiver<State>,
    following: Option<Following>,
    waiting: VecDeque<Event>,
}

/// One opening. It holds no part of the device itself, which is free to end.
struct Following {
    signals: EventStream,
    properties: watch::Receiver<ProvisioningProperties>,
    told: ProvisioningProperties,
    link: watch::Receiver<LinkStatus>,
}

impl Feed {
    pub(crate) fn new(state: watch::Receiver<State>) -> Self {
        Self { state, following: None, waiting: VecDeque::new() }
    }

    /// The next event; `None` once the device has ended.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            match &mut self.following {
                None => self.follow().await?,
                Some(following) => tokio::select! {
                    biased;
                    changed = self.state.changed() => {
                        changed.ok()?;
                        self.following = None;
                    }
                    event = following.next() => match event {
                        Some(event) => self.waiting.push_back(event),
                        // What comes next is another state.
                        None => {
                            self.following = None;
                            self.state.changed().await.ok()?;
                        }
                    },
                },
            }
        }
    }

    /// Follows the device as soon as it serves: all its properties are news.
    async fn follow(&mut self) -> Option<()> {
        let following = match &*self.state.borrow_and_update() {
            State::Open(live) => Some(Following::new(live)),
            State::Reopening => None,
            State::Ended(_) => return None,
        };
        if following.is_none() {
            return self.state.changed().await.ok();
        }
        let names = ProvisioningProperties::NAMES.to_vec();
        self.waiting.push_back(Event::PropertiesChanged { names });
        self.following = following;
        Some(())
    }
}

impl Following {
    fn new(live: &Live) -> Self {
        let mut properties = live.properties();
        let told = properties.borrow_and_update().clone();
        Self { signals: live.signals(), properties, told, link: live.link() }
    }

    /// `None` once the service is gone.
    async fn next(&mut self) -> Option<Event> {
        loop {
            tokio::select! {
                biased;
                signal = self.signals.next() => {
                    if let Some(view) = event_view(&signal?) {
                        return Some(Event::Signal(view));
                    }
                }
                changed = self.properties.changed() => {
                    changed.ok()?;
                    let now = self.properties.borrow_and_update().clone();
                    let names = properties::changed(&self.told, &now);
                    self.told = now;
                    if !names.is_empty() {
                        return Some(Event::PropertiesChanged { names });
                    }
                }
                changed = self.link.changed() => {
                    changed.ok()?;
                    return Some(Event::LinkChanged((&*self.link.borrow_and_update()).into()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use zmon_domain::state::ProvisioningStatus;

    use super::*;

    #[test]
    fn an_event_is_an_object_with_one_member() {
        let text = |event: Event| String::from_utf8(event.json()).unwrap();
        let names = vec!["expirationTime"];
        let changed = text(Event::PropertiesChanged { names });
        assert_eq!(changed, r#"{"propertiesChanged":{"names":["expirationTime"]}}"#);
        let status = ProvisioningStatus::Provisioned;
        let signal = text(Event::Signal(EventView::StatusChanged { status }));
        assert_eq!(signal, format!(r#"{{"statusChanged":{{"status":"{status}"}}}}"#));
        let link = text(Event::LinkChanged(LinkView::default()));
        assert!(link.starts_with(r#"{"linkChanged":{"connected":false,"#), "{link}");
    }

    #[tokio::test]
    async fn a_device_that_has_ended_tells_nothing() {
        let (state, receiver) = watch::channel(State::Reopening);
        let mut feed = Feed::new(receiver);
        state.send_replace(State::Ended(None));
        assert!(feed.next().await.is_none());
        let (state, receiver) = watch::channel(State::Reopening);
        drop(state);
        assert!(Feed::new(receiver).next().await.is_none());
    }
}
