//! What a committed step causes: effects, events, and what waiting requests see.

use std::sync::Arc;

use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_protocol::station::{Claim, SessionPhase, StationAction, StationEvent as MachineEvent};
use zmon_wire::kind::TrustLevel;
use zmon_wire::pake::{PakeConfirm, PakeStart};
use zmon_wire::session::SessionOpen;

use super::Identified;
use super::driver::SessionDriver;
use super::effects::{self, Effect, IssueFacts};
use crate::events::StationEvent;
use crate::ports::DeviceConnection;

impl SessionDriver {
    pub(super) fn start(&mut self, actions: Vec<StationAction>) {
        for action in actions {
            let station = Arc::clone(&self.station);
            match action {
                StationAction::SendSession { target, hello, claim_mac, .. } => {
                    let open = SessionOpen { hello, claim_mac };
                    self.spawn_effect(effects::dial(station, target, open));
                }
                StationAction::AskWindow { target, .. } => {
                    self.spawn_effect(effects::ask_window(station, target));
                }
                StationAction::StartPake { hello, share_p } => {
                    let connection = self.connection.take();
                    let start = PakeStart { hello, share_p };
                    self.spawn_effect(effects::start_pake(connection, start));
                }
                StationAction::ConfirmPake { session_id, confirm_p } => {
                    let connection = self.connection(None);
                    let confirm = PakeConfirm { session_id, confirm_p };
                    self.spawn_effect(effects::confirm_pake(connection, confirm));
                }
                StationAction::Issue { session_id, device_id, csr_spki, trust } => {
                    let Some(facts) = self.facts(trust) else {
                        self.spawn_effect(core::future::ready(Effect::IssueFailed(
                            ErrorCode::Internal,
                        )));
                        continue;
                    };
                    self.spawn_effect(effects::issue(
                        station, session_id, device_id, csr_spki, facts,
                    ));
                }
                StationAction::Blink { claim, request } => {
                    let connection = self.connection(Some(claim));
                    self.blinks = true;
                    self.spawn_effect(effects::blink(connection, request));
                }
                StationAction::Deliver { claim, envelope, .. } => self.deliver(claim, envelope),
                StationAction::Hangup => self.connection = None,
                StationAction::Emit(event) => self.emit(&event),
                unknown @ (StationAction::Offer { .. } | _) => {
                    tracing::error!(?unknown, "the machine asks for something unknown")
                }
            }
        }
    }

    /// Sends the envelope, as soon as the connection is free.
    pub(super) fn deliver(&mut self, claim: Claim, envelope: Vec<u8>) {
        if self.blinks {
            self.delayed = Some((claim, envelope));
            return;
        }
        let connection = self.connection(Some(claim));
        self.spawn_effect(effects::deliver(connection, envelope));
    }

    /// The connection of the claim, or one that a session without it opens again.
    fn connection(&mut self, claim: Option<Claim>) -> Option<Box<dyn DeviceConnection>> {
        let target = self.machine.target().cloned();
        self.connection.take().or_else(|| {
            let target = effects::dialled(target?);
            Some(self.station.parts.dialer.again(&target, claim))
        })
    }

    /// What the certificate says; a device that was not identified gets none.
    fn facts(&self, trust: TrustLevel) -> Option<IssueFacts> {
        let (_, _, identity_key) = self.machine.identified()?;
        Some(IssueFacts {
            order: self.order?,
            identity_key: identity_key.to_vec(),
            config_version: self.machine.config_version()?,
            trust,
        })
    }

    fn spawn_effect(&mut self, effect: impl Future<Output = Effect> + Send + 'static) {
        let _task = self.effects.spawn(effect);
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what live views do not show, and what later machines may say, is not passed on"
    )]
    fn emit(&self, event: &MachineEvent) {
        match event {
            MachineEvent::Phase(phase) => self.moved(*phase, None),
            MachineEvent::Failed(report) => self.moved(SessionPhase::Failed, Some(report.code)),
            MachineEvent::Tested => self.view.send_modify(|view| view.tested = true),
            MachineEvent::Alarm(report) => self.station.emit(StationEvent::Alarm {
                device_id: Some(self.machine.device_id().clone()),
                code: report.code,
            }),
            _ => {}
        }
    }

    fn moved(&self, phase: SessionPhase, error: Option<ErrorCode>) {
        self.station.emit(StationEvent::Session {
            id: self.machine.session_id(),
            device_id: self.machine.device_id().clone(),
            operator: self.machine.operator().cloned(),
            phase,
            error,
        });
    }

    /// Shows waiting requests where the session is.
    pub(super) fn publish(&self, error: Option<ErrorReport>) {
        let phase = self.machine.phase();
        let answer = self.machine.answer();
        let envelope = self.machine.envelope().cloned();
        let words = self.machine.words();
        let identified = Identified::of(&self.machine, &self.station.now());
        let (route, message) = (self.machine.route(), self.machine.message().map(Arc::new));
        let (pair_by, blink) = (self.machine.pair_by(), self.machine.blink());
        self.view.send_modify(|view| {
            view.phase = phase;
            view.answer = answer;
            view.envelope = envelope;
            view.words = words;
            view.identified = view.identified.take().or(identified);
            view.route = route;
            view.message = message;
            view.pair_by = pair_by;
            view.blink = blink;
            if matches!(phase, SessionPhase::Failed | SessionPhase::Released) {
                view.error = error.or(view.error.take());
            }
        });
    }
}
