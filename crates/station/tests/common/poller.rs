//! A device that asks for its messages (D7).

use std::sync::Arc;

use zmon_crypto::IdentityKey;
use zmon_crypto::jws::Typ;
use zmon_station::ports::DialError;
use zmon_wire::carry::{Carriage, Message, Poll, PollAnswer, Reply, Return};
use zmon_wire::kind::V1;
use zmon_wire::session::{DeliveryAnswer, SessionAnswer};
use zmon_wire::strict;

use super::device::FakeDevice;
use super::world::World;

/// The device's answer to whatever a station says.
pub(crate) async fn answer(device: &FakeDevice, message: Message) -> Reply {
    let reply = match message {
        Message::Session(open) => {
            device.answer_hello(&open).map(|identity| Reply::Identity(SessionAnswer { identity }))
        }
        Message::Window {} => device.answer_window().map(Reply::Window),
        Message::PakeStart(start) => device.answer_start(&start).map(Reply::Share),
        Message::PakeConfirm(confirm) => device
            .answer_confirm(&confirm)
            .map(|identity| Reply::Identity(SessionAnswer { identity })),
        Message::Blink(blink) => device.answer_blink(&blink).await.map(Reply::Blinking),
        Message::Configuration { envelope } => device
            .answer_configuration(envelope)
            .await
            .map(|status| Reply::Status(DeliveryAnswer { status })),
    };
    reply.unwrap_or_else(|error| {
        let DialError::Refused { report } = error else { panic!("{error}") };
        Reply::Refused { code: report.code }
    })
}

/// A device that asks.
pub(crate) struct Poller<'a> {
    world: &'a World,
    device: Arc<FakeDevice>,
    pub(crate) challenge: Option<[u8; 32]>,
    answer: Option<Return>,
}

impl<'a> Poller<'a> {
    pub(crate) fn new(world: &'a World, device: &Arc<FakeDevice>) -> Self {
        Self { world, device: Arc::clone(device), challenge: None, answer: None }
    }

    pub(crate) fn signed(&self) -> String {
        let poll = Poll {
            v: V1::default(),
            device_id: self.device.id.clone(),
            identity_key: self.device.identity.public().spki_der().to_vec(),
            nonce: [7; 32],
            challenge: self.challenge,
            answer: self.answer.clone(),
        };
        self.device.sign(Typ::Pull, &strict::to_vec(&poll).unwrap())
    }

    pub(crate) async fn poll(&mut self) -> Option<Carriage> {
        let answer = self.world.station.poll(self.signed().as_bytes()).await.unwrap();
        let PollAnswer { challenge, fresh, carriage } = answer;
        assert_eq!(fresh, self.challenge.is_some());
        self.challenge = Some(challenge);
        if fresh {
            self.answer = None;
        }
        carriage
    }

    /// Polls and answers until nothing waits any more; how many messages there were.
    pub(crate) async fn serve(&mut self) -> usize {
        let mut served = 0;
        while let Some(carriage) = self.poll().await {
            served += 1;
            let Carriage { session_id, message, .. } = carriage;
            let reply = answer(&self.device, message).await;
            self.answer = Some(Return { v: V1::default(), session_id, reply });
        }
        served
    }
}
