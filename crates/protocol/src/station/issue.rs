//! `pair`, the certificate, and the sealed configuration: made once per session.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use zmon_crypto::envelope::client_key::{self, Binding};
use zmon_crypto::envelope::{self, SealInput};
use zmon_crypto::jws::Typ;
use zmon_crypto::x509::{self, CertificateChain};
use zmon_crypto::{IdentityKey, TlsKey, sha256};
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::{MessageId, OperatorId, Serial};
use zmon_domain::role::Actor;
use zmon_wire::b64;
use zmon_wire::configuration::ConfigurationDocument;
use zmon_wire::kind::{True, V1};
use zmon_wire::pair::{PairAnswer, PairedConfiguration};
use zmon_wire::pem::PemBase64;
use zmon_wire::secret::SecretText;

use super::context::PairDetails;
use super::io::{StationAction, StationWrite};
use super::open;
use super::state::{ClientKey, Core, Delivering, Identified, Issued, Newcomer, State};
use super::step::{Outcome, Step, done};
use super::{deliver, end};
use crate::convert::wire_suite;

/// The operator says what the device is to become.
pub(super) fn pair(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    operator: &OperatorId,
    details: PairDetails,
) -> Outcome {
    if let Some(refusal) = core.refuses(Some(operator)) {
        return (state, Err(refusal));
    }
    match state {
        State::Failed(failed) => {
            let report = failed.report.clone();
            (State::Failed(failed), Err(report.into()))
        }
        State::Released => (state, Err(ErrorCode::SessionExpired.into())),
        State::Dialling(_) | State::Identified(_) if core.details.is_none() => {
            core.details = Some(details);
            step.write(StationWrite::Progress { session_id: core.session_id });
            match state {
                State::Identified(device) => done(begin(core, step, device)),
                State::Dialling(_)
                | State::Issuing(_)
                | State::Delivering(_)
                | State::AwaitingCommit(_)
                | State::Paired(_)
                | State::Failed(_)
                | State::Released => done(state),
            }
        }
        State::Dialling(_)
        | State::Identified(_)
        | State::Issuing(_)
        | State::Delivering(_)
        | State::AwaitingCommit(_)
        | State::Paired(_) => {
            // The same request again is the same request; another one is a conflict.
            let same = core.details.as_ref().is_some_and(|own| own.settings == details.settings);
            let reply = if same { Ok(()) } else { Err(ErrorCode::IdempotencyConflict.into()) };
            (state, reply)
        }
    }
}

/// Asks for the certificate, of the device's key or of one that is made here (D6).
pub(super) fn begin(core: &mut Core, step: &mut Step<'_>, mut device: Box<Identified>) -> State {
    if let ClientKey::Made(made) = &mut device.client {
        match TlsKey::generate(step.rng) {
            Ok(key) => *made = Some(Arc::new(key)),
            Err(error) => {
                return end::fail(core, step, State::Issuing(device), error.code().into());
            }
        }
    }
    ask(core, step, device)
}

/// Asks for the certificate of a session: the same one, however often.
pub(super) fn ask(core: &mut Core, step: &mut Step<'_>, device: Box<Identified>) -> State {
    let csr_spki = match &device.client {
        ClientKey::Requested(key) => key.spki_der().to_vec(),
        ClientKey::Made(Some(key)) => key.public().spki_der().to_vec(),
        ClientKey::Made(None) => {
            return end::fail(core, step, State::Issuing(device), ErrorCode::Internal.into());
        }
    };
    step.act(StationAction::Issue {
        session_id: core.session_id,
        device_id: core.device_id.clone(),
        csr_spki,
        trust: device.trust,
    });
    State::Issuing(device)
}

/// The certificate is signed: it becomes durable as pending before the envelope leaves (D13).
pub(super) fn issued(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    chain: Vec<Vec<u8>>,
    serial: Serial,
) -> Outcome {
    let mut device = match state {
        State::Issuing(device) => device,
        State::Dialling(_)
        | State::Identified(_)
        | State::Delivering(_)
        | State::AwaitingCommit(_)
        | State::Paired(_)
        | State::Failed(_)
        | State::Released => return done(state),
    };
    if let Err(code) = check_level(step, &chain) {
        return done(end::fail(core, step, State::Issuing(device), code.into()));
    }
    let sealed = match seal(core, step, &device, &chain) {
        Ok(sealed) => sealed,
        Err(report) => return done(end::fail(core, step, State::Issuing(device), report)),
    };
    // From here on only the device has it.
    if let ClientKey::Made(made) = &mut device.client {
        *made = None;
    }
    if let Some(newcomer) = device.newcomer.take() {
        register(core, step, *newcomer);
    }
    step.write(StationWrite::InsertPending {
        serial,
        device_id: core.device_id.clone(),
        session_id: core.session_id,
        chain,
    });
    for event in [EventType::CertificateIssued, EventType::ConfigurationDelivered] {
        let row = AuditEvent::new(event, Actor::System)
            .configuration_hash(sealed.hash)
            .with("serial", serial)
            .with("stationTrust", device.trust);
        step.row(core, row);
    }
    let issued = Issued {
        device,
        serial,
        envelope: Arc::from(sealed.envelope),
        configuration_hash: sealed.hash,
        answer: Arc::new(sealed.answer),
        pending_until: step.now.mono + step.ctx.policy.pending_lifetime,
    };
    if !core.pushes {
        // It is fetched; what becomes of it the record will tell.
        return done(deliver::wait(issued));
    }
    let delivering = Delivering { issued, attempt: 1, retry_at: None, committed: false };
    deliver::send(core, step, &delivering);
    done(State::Delivering(Box::new(delivering)))
}

/// A device that no manifest names is registered with its first certificate, and with its ground.
fn register(core: &Core, step: &mut Step<'_>, newcomer: Newcomer) {
    let Newcomer { entry, checkpoint, ground } = newcomer;
    let row = AuditEvent::new(EventType::DeviceRegistered, core.actor())
        .with("deviceSerial", &entry.serial)
        .with("identityKey", entry.identity_key);
    step.row(core, ground.on(row));
    let device_id = entry.device_id.clone();
    step.write(StationWrite::AddDevice(entry));
    if let Some(checkpoint) = checkpoint {
        step.write(StationWrite::PeerCheckpoint { device_id, checkpoint });
    }
}

/// A real station hands out no certificate of a simulated authority, whoever its issuer is (D20).
fn check_level(step: &Step<'_>, chain: &[Vec<u8>]) -> Result<(), ErrorCode> {
    let simulated = |der: &Vec<u8>| x509::is_simulated(der).map_err(|_| ErrorCode::Internal);
    let own = step.ctx.signing_chain.first().map(simulated).transpose()?;
    for certificate in chain {
        if Some(simulated(certificate)?) != own {
            return Err(ErrorCode::SimulatedCertificate);
        }
    }
    Ok(())
}

/// The CA did not sign.
pub(super) fn failed(
    core: &mut Core,
    step: &mut Step<'_>,
    state: State,
    code: ErrorCode,
) -> Outcome {
    match state {
        State::Issuing(_) => done(end::fail(core, step, state, code.into())),
        State::Dialling(_)
        | State::Identified(_)
        | State::Delivering(_)
        | State::AwaitingCommit(_)
        | State::Paired(_)
        | State::Failed(_)
        | State::Released => done(state),
    }
}

struct Sealed {
    envelope: Vec<u8>,
    hash: [u8; 32],
    answer: PairAnswer,
}

fn seal(
    core: &Core,
    step: &mut Step<'_>,
    device: &Identified,
    chain: &[Vec<u8>],
) -> Result<Sealed, ErrorReport> {
    let client_key = sealed_key(core, step, device, chain)?;
    let document = document(core, step, device, chain, client_key)?;
    let payload = document.to_json().map_err(|_| ErrorCode::Internal)?;
    let signed = open::sign(step, Typ::Config, &payload)?;
    let (_, signature) = signed.rsplit_once('.').ok_or(ErrorCode::Internal)?;
    let input = SealInput {
        suite: device.public.suite(),
        kem_public: &device.kem,
        session_id: core.session_id,
        message_id: MessageId::generate(step.rng),
        transcript: &device.transcript,
        keys: &device.keys,
    };
    let envelope =
        envelope::seal(&input, signed.as_bytes(), step.rng).map_err(|error| error.code())?;
    let configuration = PairedConfiguration {
        server_url: document.server_url,
        ca_certificate: document.ca_certificate,
        client_certificate: document.client_certificate,
        client_private_key: document.client_private_key,
        signature: String::from(signature),
    };
    let answer = PairAnswer { success: True, configuration };
    Ok(Sealed { envelope, hash: sha256(&payload), answer })
}

/// `clientPrivateKey`: the key that was made here, sealed to the device for this certificate (D6).
fn sealed_key(
    core: &Core,
    step: &mut Step<'_>,
    device: &Identified,
    chain: &[Vec<u8>],
) -> Result<Option<SecretText>, ErrorReport> {
    let key = match &device.client {
        ClientKey::Requested(_) => return Ok(None),
        ClientKey::Made(made) => made.as_ref().ok_or(ErrorCode::Internal)?,
    };
    let binding = Binding {
        session_id: core.session_id,
        transcript: &device.transcript,
        keys: &device.keys,
        certificate: chain.first().ok_or(ErrorCode::Internal)?,
    };
    let sealed = client_key::seal(&binding, &device.kem, key, step.rng);
    let sealed = sealed.map_err(|error| error.code())?;
    Ok(Some(SecretText::from_string(b64::encode_url(&sealed))))
}

fn document(
    core: &Core,
    step: &Step<'_>,
    device: &Identified,
    chain: &[Vec<u8>],
    client_private_key: Option<SecretText>,
) -> Result<ConfigurationDocument, ErrorReport> {
    let ctx = step.ctx;
    let details = core.details.as_ref().ok_or(ErrorCode::Internal)?;
    let chain =
        CertificateChain::from_der(chain.iter().cloned()).map_err(|_| ErrorCode::Internal)?;
    let pem = |text: &str| {
        PemBase64::from_pem(text)
            .map_err(|field| ErrorReport::field(ErrorCode::SettingsInvalid, field))
    };
    let timestamp = step.wall()?;
    let settings = &details.settings;
    Ok(ConfigurationDocument {
        schema_version: V1::default(),
        server_url: ctx.server.url.clone(),
        sync_interval: settings.sync_interval,
        ca_certificate: pem(&ctx.server.ca_certificate)?,
        client_certificate: pem(&chain.to_pem())?,
        client_private_key,
        server_certificate: ctx.server.server_certificate.as_deref().map(pem).transpose()?,
        device_id: core.device_id.clone(),
        pairing_code: core.code.as_ref().map(|code| SecretText::new(&code.display())),
        bed_id: settings.bed.clone(),
        device_label: settings.label.clone(),
        measurement_unit: settings.unit,
        language: settings.language,
        timestamp,
        expires_at: timestamp + ctx.policy.payload_lifetime,
        session: *device.transcript.as_bytes(),
        session_id: core.session_id,
        station_id: ctx.station_id.clone(),
        device_serial: device.serial.clone(),
        device_key: device.public.thumbprint(),
        suite: wire_suite(device.public.suite()),
        method: core.method,
        config_version: details.config_version,
        audit_checkpoint: ctx.checkpoint.map(String::from),
        crit: Vec::new(),
    })
}
