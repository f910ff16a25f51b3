//! A station around its machine: registry entry, certificates, commit and outcome.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zmon_crypto::schedule::pull_id;
use zmon_crypto::token::PairingToken;
use zmon_crypto::x509::validity_of;
use zmon_crypto::{Algorithms, IdentityPublic};
use zmon_domain::address::{Network, NetworkPolicy, ServerUrl};
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::code::PairingCode;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::{BedId, DeviceLabel, OperatorId, Serial, SessionId, StationId, StationName};
use zmon_domain::role::Role;
use zmon_domain::route::Route;
use zmon_domain::settings::{DeviceSettings, Language, MeasurementUnit, SyncInterval};
use zmon_domain::time::{Now, UnixTime};
use zmon_protocol::PullMethod;
use zmon_protocol::device::Pulled;
use zmon_protocol::station::outcome::{self, CertificateView, Change, Verdict};
use zmon_protocol::station::renew::{self, Replaced};
use zmon_protocol::station::{
    CertificateState, DeviceRecord, OpenRequest, Opening, PairDetails, PullOrder, Refusal,
    RegistryEntry, Reservation, ServerParameters, SessionContext, SessionInput, SessionMachine,
    SessionTransition, StationAction, StationEvent, StationPolicy, StationWrite, TypedTries,
};
use zmon_wire::outcome::CommitRequest;
use zmon_wire::qr::QrContent;

use super::ca::TestCa;
use super::clock::{Clock, start};

pub(crate) struct Station {
    pub(crate) ca: TestCa,
    pub(crate) id: StationId,
    name: StationName,
    server: ServerParameters,
    pub(crate) policy: StationPolicy,
    /// Its own latest checkpoint, and the device's that it keeps.
    pub(crate) checkpoint: Option<String>,
    pub(crate) peer_checkpoint: Option<String>,
    algorithms: Algorithms,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) registry: Option<RegistryEntry>,
    pub(crate) reservation: Option<Reservation>,
    /// What the store says about the operator's typed codes.
    pub(crate) tries: TypedTries,
    /// Whether the device has polled lately.
    pub(crate) polls: bool,
    /// How the operator wants the messages to go.
    pub(crate) delivery: Route,
    /// The session a device opened by itself, while it keeps the device.
    pub(crate) pulled: Option<SessionId>,
    /// Counter of recoveries.
    pub(crate) counter: u64,
    pub(crate) not_after: BTreeMap<Serial, UnixTime>,
    pub(crate) machine: Option<SessionMachine>,
    /// Whether another process takes the session up before every input.
    pub(crate) reborn: bool,
    /// The phases in which one has.
    pub(crate) reborn_in: BTreeSet<&'static str>,
    pub(crate) certificates: BTreeMap<Serial, CertificateView>,
    pub(crate) identity: Option<IdentityPublic>,
    pub(crate) audit: Vec<AuditEvent>,
    pub(crate) writes: Vec<StationWrite>,
    pub(crate) events: Vec<StationEvent>,
    pub(crate) actions: VecDeque<StationAction>,
}

pub(crate) fn operator() -> OperatorId {
    OperatorId::parse("olga").unwrap()
}

pub(crate) fn details(bed: &str) -> PairDetails {
    PairDetails {
        settings: DeviceSettings {
            label: Some(DeviceLabel::parse("ICU-MON-04").unwrap()),
            bed: Some(BedId::parse(bed).unwrap()),
            unit: MeasurementUnit::Metric,
            language: Language::EN,
            sync_interval: SyncInterval::from_secs(10).unwrap(),
        },
        config_version: 1,
    }
}

impl Station {
    pub(crate) fn new(seed: u64) -> Self {
        let ca = TestCa::new("north", "cs-1", start());
        let server = ServerParameters {
            url: ServerUrl::parse("https://10.1.1.1:8443").unwrap(),
            ca_certificate: ca.anchor_pem.clone(),
            server_certificate: Some(ca.server_pem.clone()),
        };
        let networks = NetworkPolicy {
            networks: vec![Network::parse("10.1.0.0/16").unwrap()],
            ports: 1024..=65535,
        };
        Self {
            ca,
            id: StationId::parse("cs-1").unwrap(),
            name: StationName::parse("Central Station North").unwrap(),
            server,
            policy: StationPolicy::new(networks),
            checkpoint: None,
            peer_checkpoint: None,
            algorithms: Algorithms::rustcrypto(),
            rng: ChaCha20Rng::seed_from_u64(seed ^ 0x5a5a),
            registry: None,
            reservation: None,
            tries: TypedTries::default(),
            polls: false,
            delivery: Route::Push,
            pulled: None,
            counter: 0,
            not_after: BTreeMap::new(),
            machine: None,
            reborn: false,
            reborn_in: BTreeSet::new(),
            certificates: BTreeMap::new(),
            identity: None,
            audit: Vec::new(),
            writes: Vec::new(),
            events: Vec::new(),
            actions: VecDeque::new(),
        }
    }

    pub(crate) fn context(&self) -> SessionContext<'_> {
        SessionContext {
            station_id: &self.id,
            name: &self.name,
            site_id: &self.ca.site,
            signer: &self.ca.signer,
            signing_chain: &self.ca.signing_chain,
            algorithms: &self.algorithms,
            server: &self.server,
            policy: &self.policy,
            checkpoint: self.checkpoint.as_deref(),
            peer_checkpoint: self.peer_checkpoint.as_deref(),
            polls: self.polls,
        }
    }

    /// The request a tablet's scan of this QR code leads to.
    pub(crate) fn request(&mut self, qr: &QrContent, pair: Option<PairDetails>) -> OpenRequest {
        let device = match &self.registry {
            Some(entry) => DeviceRecord::Known(entry.clone()),
            None => DeviceRecord::Unknown(qr.device_id.clone()),
        };
        OpenRequest {
            session_id: SessionId::generate(&mut self.rng),
            device,
            reservation: self.reservation.clone(),
            opening: Opening::Scanned(
                PairingToken::parse_base64url(qr.pairing_token.expose()).unwrap(),
            ),
            code: PairingCode::parse_any(qr.pairing_code.expose()).unwrap(),
            scanned_serial: Some(qr.device_serial.clone()),
            address: Some(qr.ip_address),
            operator: operator(),
            role: Role::Technician,
            delivery: self.delivery,
            pair,
        }
    }

    /// The typed code of a registered device, and where it listens.
    pub(crate) fn typed_request(
        &mut self,
        code: &str,
        port: u16,
        pair: Option<PairDetails>,
    ) -> OpenRequest {
        OpenRequest {
            session_id: SessionId::generate(&mut self.rng),
            device: DeviceRecord::Known(self.registry.clone().expect("a registered device")),
            reservation: self.reservation.clone(),
            opening: Opening::Typed { port: Some(port) },
            code: PairingCode::parse_any(code).unwrap(),
            scanned_serial: None,
            address: Some(super::address()),
            operator: operator(),
            role: Role::Technician,
            delivery: self.delivery,
            pair,
        }
    }

    pub(crate) fn open(&mut self, now: &Now, request: OpenRequest) -> Result<(), Refusal> {
        let mut rng = self.rng.clone();
        let transition = SessionMachine::open(&self.context(), now, &mut rng, request);
        self.rng = rng;
        self.install(transition)
    }

    pub(crate) fn input(&mut self, now: &Now, input: SessionInput) -> Result<(), Refusal> {
        let mut machine = self.machine.clone().expect("a session runs");
        if self.reborn {
            machine = self.reborn(&machine, now);
        }
        let mut rng = self.rng.clone();
        let transition = machine.handle(&self.context(), now, &mut rng, input);
        self.rng = rng;
        self.install(transition)
    }

    /// The same session in another process.
    pub(crate) fn reborn(&mut self, machine: &SessionMachine, now: &Now) -> SessionMachine {
        // The device may have no clock; the station has.
        let at = Clock { elapsed: now.mono.elapsed(), ..Clock::new() }.now();
        let Some(snapshot) = machine.snapshot(&at).unwrap() else { return machine.clone() };
        self.reborn_in.insert(machine.phase().as_str());
        let next = SessionMachine::restore(&self.context(), &at, snapshot.expose()).unwrap();
        let again = next.snapshot(&at).unwrap().unwrap();
        assert!(again.ct_eq(&snapshot), "nothing is lost in {:?}", machine.phase());
        next
    }

    /// `POST /api/device/renew` and `POST /api/provisioning/recover`
    pub(crate) fn pull(
        &mut self,
        now: &Now,
        method: PullMethod,
        pull: &[u8],
    ) -> Result<Pulled, ErrorReport> {
        let key = self.identity.clone().expect("the device identified itself once");
        let document = renew::verify(&self.context(), pull, &key)?;
        let serial = renew::asked_about(pull)?;
        let view = self.certificates.get(&serial).ok_or(ErrorCode::SessionUnknown)?;
        let replaced = Replaced {
            serial: &serial,
            device_id: &view.device_id,
            state: view.state,
            not_after: self.not_after[&serial],
        };
        let counter = renew::permit(&document, method, &replaced, now.wall.unwrap())?;
        if counter.is_some_and(|counter| counter <= self.counter) {
            return Err(ErrorCode::RecoveryReplayed.into());
        }
        if self.pulled.is_some() {
            drop(self.input(now, SessionInput::Cancel { operator: None }));
        }
        let order = PullOrder {
            session_id: SessionId::generate(&mut self.rng),
            device: self.registry.clone().unwrap(),
            reservation: self.reservation.clone(),
            pull_id: pull_id(pull),
            method,
            serial,
            counter,
            details: details("ICU-3B"),
        };
        let mut rng = self.rng.clone();
        let transition = SessionMachine::pull(&self.context(), now, &mut rng, order);
        self.rng = rng;
        self.install(transition).map_err(|refusal| refusal.report)?;
        self.counter = counter.unwrap_or(self.counter);
        let Some(StationAction::Offer { hello, ikm }) = self.actions.pop_back() else {
            panic!("a pull is answered by an offer");
        };
        Ok(Pulled { hello: hello.into_bytes(), ikm })
    }

    fn install(&mut self, transition: SessionTransition) -> Result<(), Refusal> {
        let SessionTransition { next, record, actions, reply } = transition;
        for write in &record.writes {
            self.write(write);
        }
        self.audit.extend(record.audit);
        self.writes.extend(record.writes);
        self.machine = Some(next);
        for action in actions {
            match action {
                StationAction::Emit(event) => self.events.push(event),
                action => self.actions.push_back(action),
            }
        }
        reply
    }

    fn write(&mut self, write: &StationWrite) {
        match write {
            StationWrite::Reserve { session_id, operator, .. } => {
                let free = self.reservation.is_none() && self.pulled.is_none();
                assert!(free, "one reservation per device");
                match operator.clone() {
                    Some(operator) => {
                        self.reservation = Some(Reservation { session_id: *session_id, operator });
                    }
                    None => self.pulled = Some(*session_id),
                }
            }
            StationWrite::Release { session_id, .. } if self.pulled == Some(*session_id) => {
                self.pulled = None;
            }
            StationWrite::Release { session_id, .. }
                if self.reservation.as_ref().is_some_and(|held| held.session_id == *session_id) =>
            {
                self.reservation = None;
            }
            StationWrite::SpendTry { .. } => {
                self.tries.window += 1;
                self.tries.hour += 1;
            }
            StationWrite::InsertPending { serial, device_id, session_id, chain } => {
                self.not_after.insert(*serial, validity_of(&chain[0]).unwrap().not_after());
                let minted = self.certificates.values().any(|view| view.session_id == *session_id);
                assert!(!minted, "one certificate per session");
                let view = CertificateView {
                    serial: *serial,
                    device_id: device_id.clone(),
                    session_id: *session_id,
                    state: CertificateState::Pending,
                    committed: false,
                };
                assert!(self.certificates.insert(*serial, view).is_none());
            }
            StationWrite::PeerCheckpoint { checkpoint, .. } => {
                self.peer_checkpoint = Some(checkpoint.clone());
            }
            StationWrite::AbortPending { serial } => {
                let view = self.certificates.get_mut(serial).expect("it was inserted");
                if view.state == CertificateState::Pending {
                    view.state = CertificateState::Revoked;
                }
            }
            _ => {}
        }
    }

    pub(crate) fn current(&self) -> Option<Serial> {
        let mut current =
            self.certificates.values().filter(|view| view.state == CertificateState::Current);
        let serial = current.next().map(|view| view.serial);
        assert!(current.next().is_none(), "exactly one certificate is current");
        serial
    }

    /// `POST /api/device/commit`
    pub(crate) fn commit(&mut self, request: &CommitRequest) -> Result<Vec<u8>, ErrorReport> {
        let view = self.certificates[&request.serial].clone();
        let current = self.current();
        let mut rng = self.rng.clone();
        let verdict = outcome::commit(&self.context(), &mut rng, request, &view, current.as_ref())?;
        self.rng = rng;
        Ok(self.settle(&view.serial, verdict))
    }

    /// `POST /api/provisioning/outcome`
    pub(crate) fn answer(&mut self, ask: &[u8]) -> Result<Vec<u8>, ErrorReport> {
        let key = self.identity.clone().expect("the device identified itself once");
        let ask = outcome::verify_ask(&self.context(), ask, &key)?;
        let view = self.certificates.get(&ask.serial).cloned();
        let mut rng = self.rng.clone();
        let verdict = outcome::answer(&self.context(), &mut rng, &ask, view.as_ref())?;
        self.rng = rng;
        Ok(self.settle(&ask.serial, verdict))
    }

    fn settle(&mut self, serial: &Serial, verdict: Verdict) -> Vec<u8> {
        let Verdict { change, audit, answer } = verdict;
        assert_eq!(change == Change::None, audit.is_empty(), "a row for every change");
        self.audit.extend(audit);
        match change {
            Change::None => {}
            Change::Commit { supersedes } => {
                if let Some(old) = supersedes {
                    self.certificates.get_mut(&old).unwrap().state = CertificateState::Superseded;
                }
                let view = self.certificates.get_mut(serial).unwrap();
                view.state = CertificateState::Current;
                view.committed = true;
            }
            Change::Abort => {
                self.certificates.get_mut(serial).unwrap().state = CertificateState::Revoked;
            }
            other => panic!("the test bed does not know {other:?}"),
        }
        answer.into_bytes()
    }

    pub(crate) fn rows(&self, event: EventType) -> Vec<&AuditEvent> {
        self.audit.iter().filter(|row| row.event == event).collect()
    }
}
