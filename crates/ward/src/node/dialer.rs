//! Station to device.

use core::time::Duration;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::sleep;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::limits;
use zmon_provisioning::ports::DeviceEndpoint;
use zmon_station::ports::{Claim, DeviceConnection, DeviceDialer, DialError, Target};
use zmon_wire::blink::{BlinkAnswer, BlinkRequest};
use zmon_wire::pake::{PakeConfirm, PakeStart, PakeStarted, WindowAnswer};
use zmon_wire::session::{DeliveryAnswer, SessionAnswer, SessionOpen};

use super::lan::{Lan, Place};
use crate::life::Life;
use crate::net::{Answer, Broken, Taped};

const REQUEST: Duration = limits::REQUEST_TIMEOUT.default;
const DELIVERY: Duration = limits::DELIVERY_TIMEOUT.default.saturating_add(Duration::from_secs(5));

/// Dials as the TLS dialer does: pinned, one answer for all that fails before a claim.
#[derive(Clone)]
pub(super) struct Dialer {
    pub(super) lan: Arc<Lan>,
    pub(super) life: Life,
}

impl Dialer {
    async fn connect(&self, target: &Target) -> Result<Place, DialError> {
        self.life.go_on().await;
        let place = self.lan.place((target.address.ip(), target.port));
        if let Some(place) = place.filter(|place| place.thumbprint16 == target.thumbprint16) {
            return Ok(place);
        }
        sleep(limits::CONNECT_TIMEOUT.default).await;
        self.life.go_on().await;
        Err(DialError::Unreachable { cause: "nobody there, or another key".to_owned() })
    }

    async fn ask<T, F>(
        &self,
        place: &Place,
        bound: Duration,
        claimed: bool,
        request: impl Fn(Arc<dyn DeviceEndpoint>) -> F + Send + Sync,
    ) -> Result<T, DialError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ErrorReport>> + Send + 'static,
    {
        let handle = || Some(request(Arc::clone(&place.endpoint)));
        let answer = self.lan.net.carry(place.index, bound, handle).await;
        self.life.go_on().await;
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(report)) if claimed => Err(DialError::Refused { report }),
            Ok(Err(_)) => Err(DialError::Refused { report: ErrorCode::ClaimRefused.into() }),
            Err(broken) => Err(unreachable(broken)),
        }
    }

    async fn open_session(
        &self,
        place: &Place,
        open: &SessionOpen,
    ) -> Result<SessionAnswer, DialError> {
        self.lan.tape.request(Taped::Open(open.clone()));
        let request = |device: Arc<dyn DeviceEndpoint>| {
            let open = open.clone();
            async move { device.session(open).await }
        };
        let answer = self.ask(place, REQUEST, false, request).await?;
        Ok(self.identity(answer))
    }

    async fn confirm(
        &self,
        place: &Place,
        confirm: &PakeConfirm,
    ) -> Result<SessionAnswer, DialError> {
        self.lan.tape.request(Taped::PakeConfirm(confirm.clone()));
        let request = |device: Arc<dyn DeviceEndpoint>| {
            let confirm = confirm.clone();
            async move { device.pake_confirm(confirm).await }
        };
        let answer = self.ask(place, REQUEST, false, request).await?;
        Ok(self.identity(answer))
    }

    fn identity(&self, answer: SessionAnswer) -> SessionAnswer {
        match self.lan.tape.answer(Answer::Identity(answer.identity.clone())) {
            Answer::Identity(identity) => SessionAnswer { identity },
            _ => answer,
        }
    }

    fn pinned(&self, target: &Target, place: Option<Place>, claim: Option<Claim>) -> Pinned {
        Pinned { dialer: self.clone(), target: target.clone(), place, claim }
    }
}

fn unreachable(broken: Broken) -> DialError {
    DialError::Unreachable { cause: format!("{broken:?}") }
}

#[async_trait]
impl DeviceDialer for Dialer {
    async fn open(
        &self,
        target: &Target,
        open: SessionOpen,
    ) -> Result<(SessionAnswer, Box<dyn DeviceConnection>), DialError> {
        let place = self.connect(target).await?;
        let answer = self.open_session(&place, &open).await?;
        Ok((answer, Box::new(self.pinned(target, Some(place), Some(Claim::Token(open))))))
    }

    async fn window(
        &self,
        target: &Target,
    ) -> Result<(WindowAnswer, Box<dyn DeviceConnection>), DialError> {
        let place = self.connect(target).await?;
        let request = |device: Arc<dyn DeviceEndpoint>| async move { device.window().await };
        let answer = self.ask(&place, REQUEST, false, request).await?;
        Ok((answer, Box::new(self.pinned(target, Some(place), None))))
    }

    fn again(&self, target: &Target, claim: Option<Claim>) -> Box<dyn DeviceConnection> {
        Box::new(self.pinned(target, None, claim))
    }
}

/// The connection of one pairing, opened again if it broke: by the same claim.
struct Pinned {
    dialer: Dialer,
    target: Target,
    place: Option<Place>,
    claim: Option<Claim>,
}

impl Pinned {
    async fn place(&mut self) -> Result<Place, DialError> {
        if let Some(place) = self.place.take() {
            return Ok(place);
        }
        let place = self.dialer.connect(&self.target).await?;
        match &self.claim {
            Some(Claim::Token(open)) => drop(self.dialer.open_session(&place, open).await?),
            Some(Claim::Code(confirm)) => drop(self.dialer.confirm(&place, confirm).await?),
            None => {}
        }
        Ok(place)
    }

    fn keep<T>(&mut self, place: Place, answer: &Result<T, DialError>) {
        if !matches!(answer, Err(DialError::Unreachable { .. })) {
            self.place = Some(place);
        }
    }
}

#[async_trait]
impl DeviceConnection for Pinned {
    async fn pake_start(&mut self, start: PakeStart) -> Result<PakeStarted, DialError> {
        let place = self.place().await?;
        self.dialer.lan.tape.request(Taped::PakeStart(start.clone()));
        let request = |device: Arc<dyn DeviceEndpoint>| {
            let start = start.clone();
            async move { device.pake_start(start).await }
        };
        let answer = self.dialer.ask(&place, REQUEST, false, request).await;
        self.keep(place, &answer);
        answer
    }

    async fn pake_confirm(&mut self, confirm: PakeConfirm) -> Result<SessionAnswer, DialError> {
        let place = self.place().await?;
        let answer = self.dialer.confirm(&place, &confirm).await;
        self.keep(place, &answer);
        let answer = answer?;
        self.claim = Some(Claim::Code(confirm));
        Ok(answer)
    }

    async fn blink(&mut self, request: BlinkRequest) -> Result<BlinkAnswer, DialError> {
        let place = self.place().await?;
        let ask = |device: Arc<dyn DeviceEndpoint>| {
            let request = request.clone();
            async move { device.blink(request).await }
        };
        let answer = self.dialer.ask(&place, REQUEST, self.claim.is_some(), ask).await;
        self.keep(place, &answer);
        answer
    }

    async fn deliver(&mut self, envelope: Vec<u8>) -> Result<DeliveryAnswer, DialError> {
        let place = self.place().await?;
        self.dialer.lan.tape.request(Taped::Envelope(envelope.clone()));
        let request = |device: Arc<dyn DeviceEndpoint>| {
            let envelope = envelope.clone();
            async move { device.configuration(envelope).await }
        };
        let answer = self.dialer.ask(&place, DELIVERY, self.claim.is_some(), request).await;
        self.keep(place, &answer);
        let answer = answer?;
        Ok(match self.dialer.lan.tape.answer(Answer::Status(answer.status.clone())) {
            Answer::Status(status) => DeliveryAnswer { status },
            _ => answer,
        })
    }
}
