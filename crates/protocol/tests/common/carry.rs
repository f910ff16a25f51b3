//! The network between the machines when neither dials: somebody carries one message at a time (D7).

use zmon_domain::error::ErrorReport;
use zmon_domain::ids::WindowId;
use zmon_domain::route::Route;
use zmon_protocol::device::{DeviceInput, DeviceReply};
use zmon_protocol::station::{Refusal, SessionInput};
use zmon_wire::blink::BlinkRequest;
use zmon_wire::carry::Message;
use zmon_wire::pake::{PakeConfirm, PakeStart};
use zmon_wire::session::SessionOpen;

use super::Pair;

/// What becomes of one message on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trip {
    /// It arrives, and so does its answer.
    Whole,
    /// It is fetched and never arrives.
    QuestionLost,
    /// The device answers, and the answer never arrives.
    AnswerLost,
    /// Message and answer arrive twice.
    Twice,
}

impl Pair {
    /// The message that waits at the station.
    pub(crate) fn message(&self) -> Option<Message> {
        self.station.machine.as_ref().and_then(|machine| machine.message())
    }

    /// Takes the message that waits.
    pub(crate) fn fetch_message(&mut self, route: Route) -> Result<Message, Refusal> {
        let now = self.now();
        self.station.input(&now, SessionInput::Fetched(route))?;
        Ok(self.message().expect("what was fetched"))
    }

    /// Hands a message to the device.
    pub(crate) fn bring(
        &mut self,
        route: Route,
        message: Message,
    ) -> Result<DeviceReply, ErrorReport> {
        let input = match message {
            Message::Session(SessionOpen { hello, claim_mac }) => {
                DeviceInput::SessionOpen { hello: hello.into_bytes(), claim_mac }
            }
            Message::Window {} => DeviceInput::AskWindow,
            Message::PakeStart(PakeStart { hello, share_p }) => {
                DeviceInput::PakeStart { hello: hello.into_bytes(), share_p }
            }
            Message::PakeConfirm(PakeConfirm { session_id, confirm_p }) => {
                DeviceInput::PakeConfirm { session_id, confirm_p }
            }
            Message::Blink(request) => {
                self.last_blink = Some(request.clone());
                let BlinkRequest { session_id, number, mac } = request;
                DeviceInput::Blink { session_id, number, mac }
            }
            Message::Configuration { envelope } => {
                self.last_envelope = Some(envelope.clone());
                DeviceInput::Configuration { envelope }
            }
        };
        self.tell(DeviceInput::By(route, Box::new(input)))
    }

    /// Brings the device's answer back; one that says nothing yet follows with the end of the session.
    pub(crate) fn bring_back(&mut self, answer: Result<DeviceReply, ErrorReport>) {
        let input = match answer {
            Ok(DeviceReply::Identity(identity)) => SessionInput::Identity(identity.into_bytes()),
            Ok(DeviceReply::Window(_, window_id)) => self.window(window_id),
            Ok(DeviceReply::Share { share_v, confirm_v }) => {
                SessionInput::Share { share_v, confirm_v }
            }
            Ok(DeviceReply::Blinking { seconds }) => SessionInput::Blinked(seconds),
            Ok(DeviceReply::Status(status)) => SessionInput::Delivered(status.into_bytes()),
            Ok(_) => {
                self.delivered = true;
                return;
            }
            Err(report) if self.message().is_some_and(|m| m.name() == "configuration") => {
                SessionInput::DeliveryFailed(report.code)
            }
            Err(report) if self.message().is_some_and(|m| m.name() == "blink") => {
                SessionInput::BlinkFailed(report.code)
            }
            Err(report) => SessionInput::DialFailed(report.code),
        };
        let now = self.now();
        drop(self.station.input(&now, input));
        self.settle();
    }

    fn window(&self, window_id: WindowId) -> SessionInput {
        SessionInput::Window { window_id, tries: self.station.tries }
    }

    /// One message there and its answer back.
    pub(crate) fn trip(&mut self, route: Route, fate: Trip) {
        let Ok(message) = self.fetch_message(route) else { return };
        if fate == Trip::QuestionLost {
            return;
        }
        let answer = self.bring(route, message.clone());
        match fate {
            Trip::Twice => {
                let again = self.bring(route, message.clone());
                // A configuration may have been applied in between.
                if message.name() != "configuration" {
                    assert_eq!(again, answer, "the same answer");
                }
                assert_eq!(again.is_ok(), answer.is_ok());
                self.bring_back(answer);
                self.bring_back(again);
            }
            Trip::AnswerLost => {}
            Trip::Whole | Trip::QuestionLost => self.bring_back(answer),
        }
        self.settle();
    }

    /// Whole trips until the configuration waits, but does not go.
    pub(crate) fn carry(&mut self, route: Route) {
        for _ in 0..8 {
            match self.message() {
                Some(message) if message.name() != "configuration" => {
                    self.trip(route, Trip::Whole);
                }
                Some(_) | None => return,
            }
        }
        panic!("the messages come to no end");
    }
}
