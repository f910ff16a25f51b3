//! The other end of `examples/firmware`: a Central Station's session machine in memory. It answers
//! at once and keeps nothing; a real station commits every `record` before it acts.

use core::{error::Error, time::Duration};
use std::collections::VecDeque;

use getrandom::SysRng;
use rand_core::UnwrapErr;
use zmon_crypto::{Algorithms, Anchor, IdentityPublic, PairingToken};
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::{
    address::*, code::PairingCode, ids::*, role::Role, route::Route, settings::*, time::Now,
};
use zmon_protocol::device::{DeviceInput, DeviceProfile, DeviceReply, LinkError};
use zmon_protocol::station::outcome::{self, CertificateView};
use zmon_protocol::station::*;
use zmon_station::ca::{CaMaterial, CaParams, ServerName, random_serial};
use zmon_station::ports::{CertificateIssuer, ClientCertificateOrder};
use zmon_wire::{outcome::CommitRequest, qr::QrContent};

/// What fails here ends the example.
pub type Answer<T = ()> = Result<T, Box<dyn Error>>;

pub struct Station {
    ca: CaMaterial,
    names: CaParams,
    device: RegistryEntry,
    clock: fn() -> Now,
    session: Option<SessionMachine>,
    todo: VecDeque<StationAction>,
}

impl Station {
    /// A new station whose registry holds one device.
    pub fn new(clock: fn() -> Now, it: &DeviceProfile, key: &IdentityPublic) -> Answer<Self> {
        let (id, name) = (StationId::parse("cs-1")?, StationName::parse("Ward 3")?);
        let server = vec![ServerName::parse("10.1.1.1")?];
        let names = CaParams::new(id, name, SiteId::parse("st-mary")?, server);
        let now = clock().wall.ok_or("a station has a clock")?;
        let ca = CaMaterial::generate(&names, &mut UnwrapErr(SysRng), now)?;
        let device = RegistryEntry {
            device_id: it.device_id.clone(),
            serial: it.serial.clone(),
            identity_key: key.thumbprint(),
            decommissioned: false,
        };
        Ok(Self { ca, names, device, clock, session: None, todo: VecDeque::new() })
    }

    /// What imaging lays down in the device.
    pub fn anchor(&self) -> Answer<Anchor> {
        Ok(Anchor::parse(self.ca.anchor_der(), self.names.site_id.clone())?)
    }

    /// The operator's tablet has read the code on the monitor's screen.
    pub fn scan(&mut self, qr: &QrContent) -> Answer {
        let (label, bed) = (DeviceLabel::parse("ICU-MON-04")?, BedId::parse("ICU-3B")?);
        let settings = DeviceSettings { label: Some(label), bed: Some(bed), ..Default::default() };
        let request = OpenRequest {
            session_id: SessionId::generate(&mut UnwrapErr(SysRng)),
            device: DeviceRecord::Known(self.device.clone()),
            reservation: None,
            opening: Opening::Scanned(PairingToken::parse_base64url(qr.pairing_token.expose())?),
            code: PairingCode::parse_any(qr.pairing_code.expose())?,
            scanned_serial: Some(qr.device_serial.clone()),
            address: Some(qr.ip_address),
            operator: OperatorId::parse("olga")?,
            role: Role::Technician,
            delivery: Route::Push,
            pair: Some(PairDetails { settings, config_version: 1 }),
        };
        let now = (self.clock)();
        let open = |ctx: &SessionContext<'_>| {
            SessionMachine::open(ctx, &now, &mut UnwrapErr(SysRng), request)
        };
        let opened = self.with(open)?;
        self.install(opened)
    }

    /// What the station sends to the device next.
    pub fn next_request(&mut self) -> Answer<Option<DeviceInput>> {
        while let Some(action) = self.todo.pop_front() {
            match action {
                StationAction::SendSession { hello, claim_mac, .. } => {
                    let hello = hello.into_bytes();
                    return Ok(Some(DeviceInput::SessionOpen { hello, claim_mac }));
                }
                StationAction::Deliver { envelope, .. } => {
                    return Ok(Some(DeviceInput::Configuration { envelope }));
                }
                StationAction::Issue { device_id, csr_spki: spki, trust, .. } => {
                    let serial = random_serial(&mut UnwrapErr(SysRng));
                    let not_before = (self.clock)().wall.ok_or("no date")?;
                    let not_after = not_before + Duration::from_secs(90 * 86_400);
                    let order = ClientCertificateOrder {
                        spki,
                        device_id,
                        serial,
                        not_before,
                        not_after,
                        trust,
                    };
                    let ca = self.ca.issuer()?;
                    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
                    let chain = runtime.block_on(ca.issue(&order))?.chain;
                    self.input(SessionInput::Issued { chain, serial: order.serial })?;
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// What the device answered.
    pub fn answer(&mut self, reply: Result<DeviceReply, ErrorReport>) -> Answer {
        match reply? {
            DeviceReply::Identity(it) => self.input(SessionInput::Identity(it.into_bytes())),
            DeviceReply::Status(it) => self.input(SessionInput::Delivered(it.into_bytes())),
            _ => Ok(()),
        }
    }

    /// `POST /api/device/commit`: from here on the new certificate is the current one.
    pub fn answer_commit(&mut self, request: &CommitRequest) -> Result<Vec<u8>, LinkError> {
        let decide = |ctx: &SessionContext<'_>| {
            let session = self.session.as_ref().ok_or(ErrorCode::SessionUnknown)?;
            let view = CertificateView {
                serial: session.serial().ok_or(ErrorCode::SessionUnknown)?.clone(),
                device_id: session.device_id().clone(),
                session_id: session.session_id(),
                state: CertificateState::Pending,
                committed: false,
            };
            outcome::commit(ctx, &mut UnwrapErr(SysRng), request, &view, None)
        };
        let verdict =
            self.with(decide).map_err(|_| ErrorCode::Internal).and_then(|v| v.map_err(|e| e.code));
        Ok(verdict.map_err(LinkError::Refused)?.answer.into_bytes())
    }

    fn input(&mut self, input: SessionInput) -> Answer {
        let (now, session) = ((self.clock)(), self.session.clone().ok_or("no session")?);
        let step = self.with(|ctx| session.handle(ctx, &now, &mut UnwrapErr(SysRng), input))?;
        self.install(step)
    }

    fn install(&mut self, step: SessionTransition) -> Answer {
        step.reply.map_err(|refusal| refusal.report)?;
        self.todo.extend(step.actions);
        self.session = Some(step.next);
        Ok(())
    }

    fn with<T>(&self, work: impl FnOnce(&SessionContext<'_>) -> T) -> Answer<T> {
        let (names, signer) = (&self.names, self.ca.signer()?);
        let server = ServerParameters {
            url: ServerUrl::parse("https://10.1.1.1:8443")?,
            ca_certificate: self.ca.anchor_pem()?,
            server_certificate: Some(self.ca.server_certificate_pem()?),
        };
        let networks = vec![Network::parse("10.1.0.0/16")?];
        let policy = StationPolicy::new(NetworkPolicy { networks, ports: 1024..=65535 });
        Ok(work(&SessionContext {
            station_id: &names.station_id,
            name: &names.station_name,
            site_id: &names.site_id,
            signer: &*signer.key,
            signing_chain: &signer.chain,
            algorithms: &Algorithms::rustcrypto(),
            server: &server,
            policy: &policy,
            checkpoint: None,
            peer_checkpoint: None,
            polls: false,
        }))
    }
}
