//! The pull route (D7): while the listener is open the device also asks a station for the messages of
//! its pairing, and answers them as the listener would.

use core::time::Duration;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use zmon_crypto::jws::{self, Typ};
use zmon_domain::address::ServerUrl;
use zmon_domain::ids::{DeviceId, Thumbprint};
use zmon_domain::limits;
use zmon_domain::route::Route;
use zmon_protocol::device::LinkCredentials;
use zmon_provisioning::ports::{
    DeviceEndpoint, DeviceStore, KeyStore, ListenError, Listener, SharedRng,
};
use zmon_wire::carry::{Carriage, Poll, PollAnswer, PollRequest, Reply, Return};
use zmon_wire::kind::V1;
use zmon_wire::strict;

use crate::client::{Ask, ClientTimes, Connection, Endpoint, JSON, reported};
use crate::paths;
use crate::tls::{TlsContext, nameless_client};

/// How often the last answer is sent once the window is closed.
const LAST_TRIES: u8 = limits::ATTEMPTS.default;

/// The installed anchors, DER; one more may be imported while the device runs (D8).
#[derive(Clone, Debug, Default)]
pub struct LiveAnchors(Arc<Mutex<Vec<Vec<u8>>>>);

impl LiveAnchors {
    /// Those that were there at the start.
    pub fn new(anchors: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self(Arc::new(Mutex::new(anchors.into_iter().collect())))
    }

    /// One more, for every window from now on.
    pub fn add(&self, anchor: Vec<u8>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(anchor);
    }

    fn all(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whom to ask, and as whom.
pub struct PullParts {
    /// TLS.
    pub tls: TlsContext,
    /// The station's listener for devices, from imaging or an administrator; without one the server of
    /// the active slot is asked, and nobody where there is no slot.
    pub station: Option<ServerUrl>,
    /// The installed anchors: the station's certificate must lead to one of them (D8).
    pub anchors: LiveAnchors,
    /// Where the active slot is.
    pub store: Arc<dyn DeviceStore>,
    /// The device.
    pub device_id: DeviceId,
    /// Its identity key signs every poll.
    pub keys: Arc<dyn KeyStore>,
    /// Randomness.
    pub rng: SharedRng,
    /// Pause between two polls.
    pub pause: Duration,
}

/// The station of one window, and what its certificate must lead to.
struct Asked {
    url: ServerUrl,
    roots: Vec<Vec<u8>>,
    pin: Option<Thumbprint>,
}

impl PullParts {
    /// Whom to ask in the window that opens now. A device without an anchor knows its station by the
    /// authority and the key that its active slot pins (D8); without a slot it knows none.
    async fn asked(&self) -> Option<Asked> {
        let anchors = self.anchors.all();
        match &self.station {
            Some(url) if !anchors.is_empty() => {
                return Some(Asked { url: url.clone(), roots: anchors, pin: None });
            }
            Some(_) => tracing::warn!("without an anchor the station in pull_url is not asked"),
            None => {}
        }
        let slot = match self.store.load().await {
            Ok(boot) => boot.slot_a?.credentials().ok()?,
            Err(error) => {
                tracing::warn!(%error, "no station is asked: the active slot cannot be read");
                return None;
            }
        };
        let LinkCredentials { server_url: url, ca, server_pin, .. } = slot;
        Some(if anchors.is_empty() {
            Asked { url, roots: ca, pin: Some(server_pin?) }
        } else {
            Asked { url, roots: anchors, pin: None }
        })
    }
}

/// A [`Listener`] that asks a station besides listening.
pub struct PullingListener {
    inner: Arc<dyn Listener>,
    parts: Arc<PullParts>,
    running: Mutex<Option<CancellationToken>>,
}

impl PullingListener {
    /// `inner`, and polls as long as it is open.
    pub fn new(inner: Arc<dyn Listener>, parts: PullParts) -> Self {
        Self { inner, parts: Arc::new(parts), running: Mutex::new(None) }
    }

    fn replace(&self, next: Option<CancellationToken>) {
        // One word: there is nothing a panic elsewhere could break.
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = core::mem::replace(&mut *running, next) {
            earlier.cancel();
        }
    }
}

impl fmt::Debug for PullingListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PullingListener")
            .field("station", &self.parts.station)
            .finish_non_exhaustive()
    }
}

impl Drop for PullingListener {
    fn drop(&mut self) {
        self.replace(None);
    }
}

#[async_trait]
impl Listener for PullingListener {
    async fn open(&self, endpoint: Arc<dyn DeviceEndpoint>) -> Result<u16, ListenError> {
        let port = self.inner.open(Arc::clone(&endpoint)).await?;
        let Some(asked) = self.parts.asked().await else {
            self.replace(None);
            return Ok(port);
        };
        let stop = CancellationToken::new();
        self.replace(Some(stop.clone()));
        let puller = Puller {
            parts: Arc::clone(&self.parts),
            asked,
            endpoint,
            stop,
            challenge: None,
            answer: None,
            last: None,
        };
        drop(tokio::spawn(puller.run()));
        Ok(port)
    }

    /// The answer under way is still sent: it tells the station how the session has ended.
    async fn close(&self) {
        self.replace(None);
        self.inner.close().await;
    }
}

/// The polls of one window.
struct Puller {
    parts: Arc<PullParts>,
    asked: Asked,
    endpoint: Arc<dyn DeviceEndpoint>,
    stop: CancellationToken,
    /// What the next poll must repeat.
    challenge: Option<[u8; 32]>,
    /// What the device has answered, until the station has it.
    answer: Option<Return>,
    /// The last message: one that comes again is not answered again at once.
    last: Option<Carriage>,
}

impl Puller {
    async fn run(mut self) {
        let mut late = 0;
        let mut stale = false;
        loop {
            let closed = self.stop.is_cancelled();
            if closed && (self.answer.is_none() || late >= LAST_TRIES) {
                return;
            }
            late += u8::from(closed);
            match self.poll().await {
                // Another challenge is in force: once more, at once.
                Ok(PollAnswer { challenge, fresh: false, .. }) => {
                    self.challenge = Some(challenge);
                    if !core::mem::replace(&mut stale, true) {
                        continue;
                    }
                }
                Ok(PollAnswer { challenge, carriage, .. }) => {
                    stale = false;
                    self.challenge = Some(challenge);
                    self.answer = None;
                    if let Some(carriage) = carriage.filter(|_| !self.stop.is_cancelled()) {
                        let again = self.last.as_ref() == Some(&carriage);
                        self.last = Some(carriage.clone());
                        self.answer = Some(self.deliver(carriage).await);
                        if !again {
                            continue;
                        }
                    }
                }
                Err(cause) => tracing::debug!(%cause, "the station was not asked"),
            }
            let closed = self.stop.is_cancelled();
            tokio::select! {
                () = self.stop.cancelled(), if !closed => {}
                () = sleep(self.parts.pause) => {}
            }
        }
    }

    /// The device's answer to a message, a refusal included.
    async fn deliver(&self, carriage: Carriage) -> Return {
        let Carriage { session_id, message, .. } = carriage;
        tracing::info!(message = message.name(), session = %session_id, "fetched from the station");
        // A message for another device is refused, and written down, by what is in it.
        let reply = self
            .endpoint
            .carried(Route::Pull, message)
            .await
            .unwrap_or_else(|report| Reply::Refused { code: report.code });
        Return { v: V1::default(), session_id, reply }
    }

    async fn poll(&self) -> Result<PollAnswer, String> {
        let (parts, asked) = (&self.parts, &self.asked);
        let text = |error: &dyn fmt::Display| error.to_string();
        let request = PollRequest { poll: self.signed()? };
        let body = strict::to_vec(&request).map_err(|error| text(&error))?;
        let tls = nameless_client(&parts.tls, &asked.roots, asked.pin, paths::PULL_ALPN)
            .map_err(|error| text(&error))?;
        let endpoint = Endpoint::url(&asked.url).map_err(|error| text(&error))?;
        let times = ClientTimes::default();
        let mut connection =
            Connection::open(&endpoint, tls, times.connect).await.map_err(|error| text(&error))?;
        let ask = Ask::post(paths::POLL, JSON, body);
        let answer = connection.send(ask, times.request).await.map_err(|error| text(&error))?;
        if !answer.status.is_success() {
            let code = reported(&answer).map(|report| report.code);
            return Err(code.map_or_else(|| answer.status.to_string(), |code| code.to_string()));
        }
        strict::parse(&answer.body, answer.body.len()).map_err(|error| text(&error))
    }

    fn signed(&self) -> Result<String, String> {
        let identity = self.parts.keys.identity();
        let mut nonce = [0; 32];
        self.parts.rng.fill(&mut nonce);
        let poll = Poll {
            v: V1::default(),
            device_id: self.parts.device_id.clone(),
            identity_key: identity.public().spki_der().to_vec(),
            nonce,
            challenge: self.challenge,
            answer: self.answer.clone(),
        };
        let payload = strict::to_vec(&poll).map_err(|error| error.to_string())?;
        jws::sign(Typ::Pull, None, &payload, identity, &mut *self.parts.rng.lock())
            .map_err(|error| error.to_string())
    }
}
