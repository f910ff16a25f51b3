//! What is inside the envelope: JWS, anchor and profile, ids and code, freshness, client certificate.

use alloc::string::String;
use alloc::sync::Arc;

use zmon_crypto::envelope::client_key::{self, Binding};
use zmon_crypto::evidence::ChainVerified;
use zmon_crypto::jws::{Typ, Unverified, Verified};
use zmon_crypto::x509::{self, CertificateChain, ClientCertificate, ClientExpectation};
use zmon_crypto::{IdentityKey, SecretBytes, TlsKey, sha256};
use zmon_domain::code::PairingCode;
use zmon_domain::error::{ErrorCode, ErrorReport, FieldError};
use zmon_domain::ids::StationId;
use zmon_domain::limits;
use zmon_domain::time::UnixTime;
use zmon_wire::b64;
use zmon_wire::configuration::ConfigurationDocument;

use super::machine::Core;
use super::signer::{Signer, Standing};
use super::slot::{Loaded, Slot};
use super::state::{Claim, Proofs};
use super::step::Step;
use crate::checkpoint;
use crate::convert::wire_suite;

/// A configuration that may go into slot B once its station is believed, with the evidence.
#[derive(Clone)]
pub(super) struct Opened {
    pub(super) loaded: Arc<Loaded>,
    /// The same with everything that goes to the disk.
    pub(super) slot: Arc<Slot>,
    pub(super) proofs: Proofs,
    /// What was proved of who signed it.
    pub(super) standing: Standing,
    /// What is wrong with the station's audit log.
    pub(super) station_log: Option<ErrorCode>,
}

/// Runs every check on the opened plaintext, in the order of the protocol. Any failure is final.
pub(super) fn check(
    core: &Core,
    step: &mut Step<'_>,
    claim: &Claim,
    plaintext: &[u8],
) -> Result<Opened, ErrorReport> {
    let (verified, standing) = check_signer(core, step, claim, plaintext)?;
    let document = ConfigurationDocument::parse(verified.payload())
        .map_err(|error| error.report(ErrorCode::ConfigurationMalformed))?;
    check_binding(step, claim, &document)?;
    check_freshness(step, &document)?;
    let station_log = check_station_log(claim, &document)?;
    let (client_key, certificate, client) = check_client(step, claim, &document)?;
    let client_key = client_key.pkcs8().map_err(|error| error.code())?;
    let slot = Slot {
        generation: core.generation.saturating_add(1),
        session_id: claim.session_id,
        configuration_hash: sha256(verified.payload()),
        client_key,
        serial: *certificate.serial(),
        configuration: SecretBytes::copy_from(verified.payload()),
    };
    let loaded = Loaded::from_document(&slot, &document)
        .map_err(|field| report(ErrorCode::ConfigurationMalformed, field))?;
    if matches!(standing, Standing::Shown(_)) && loaded.credentials.server_pin.is_none() {
        // Without an anchor it is by this key that the device knows its station again.
        let field = FieldError::new("serverCertificate", "must be there: the device has no anchor");
        return Err(report(ErrorCode::ConfigurationMalformed, field));
    }
    let proofs = Proofs { _signature: verified.proof(), _client: client };
    let (loaded, slot) = (Arc::new(loaded), Arc::new(slot));
    Ok(Opened { loaded, slot, proofs, standing, station_log })
}

fn report(code: ErrorCode, field: FieldError) -> ErrorReport {
    ErrorReport::field(code, field)
}

/// JWS, then anchor and profile. A chain in the header is a renewed one of the same station; without
/// one the certificate of the hello is the record. An operator who confirms a station confirms the
/// certificate of its hello: there it must be that one.
fn check_signer(
    core: &Core,
    step: &Step<'_>,
    claim: &Claim,
    plaintext: &[u8],
) -> Result<(Verified, Standing), ErrorReport> {
    let jws = Unverified::parse(plaintext).map_err(|error| error.code())?;
    let renewed = if jws.has_x5c() {
        let chain = jws.x5c().map_err(|error| error.code())?;
        let signer = Signer::verify(step, &chain).map_err(|error| error.code())?;
        if signer.station_id() != claim.signer.station_id()
            || signer.site_id() != claim.signer.site_id()
            || !signer.is_anchored() && signer.fingerprint() != claim.signer.fingerprint()
        {
            return Err(ErrorCode::SigningProfileViolation.into());
        }
        if signer.not_before() < claim.signer.not_before() {
            return Err(ErrorCode::SigningCertificateRolledBack.into());
        }
        Some(signer)
    } else {
        None
    };
    let signer = renewed.as_ref().unwrap_or(&claim.signer);
    let verified = jws
        .verify_with(Typ::Config, signer.public_key(), step.ctx.algorithms)
        .map_err(|error| error.code())?;
    // The claim of an anchored station raised the floor to the hello's time, at which the path was valid.
    let known = if signer.is_anchored() { core.floor } else { signer.earliest(core) };
    let at = step.now.synced().unwrap_or(known);
    let standing = signer.verified_at(at).map_err(|error| error.code())?;
    Ok((verified, standing))
}

/// T, ids and code against the device's own record.
fn check_binding(
    step: &Step<'_>,
    claim: &Claim,
    document: &ConfigurationDocument,
) -> Result<(), ErrorReport> {
    let profile = step.ctx.profile;
    let public = step.ctx.identity.public();
    if document.session != *claim.transcript.as_bytes()
        || document.session_id != claim.session_id
        || document.station_id != claim.station_id
        || document.method != claim.begun.method()
    {
        return Err(ErrorCode::SessionMismatch.into());
    }
    if document.device_id != profile.device_id
        || document.device_serial != profile.serial
        || document.device_key != public.thumbprint()
        || document.suite != wire_suite(public.suite())
    {
        return Err(ErrorCode::DeviceMismatch.into());
    }
    let same = match (claim.begun.code(), &document.pairing_code) {
        // `PairingCode` compares in constant time.
        (Some(own), Some(text)) => {
            PairingCode::parse(text.expose(), profile.code_format).is_ok_and(|code| code == *own)
        }
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    if same { Ok(()) } else { Err(ErrorCode::PairingCodeMismatch.into()) }
}

/// `timestamp` and `expiresAt` mean something only to a synchronised clock (D14).
fn check_freshness(step: &Step<'_>, document: &ConfigurationDocument) -> Result<(), ErrorReport> {
    if document.expires_at < document.timestamp {
        let field = FieldError::new("expiresAt", "must not be before timestamp");
        return Err(report(ErrorCode::ConfigurationMalformed, field));
    }
    let Some(clock) = step.now.synced() else { return Ok(()) };
    let skew = limits::CLOCK_SKEW.default;
    let early = document.timestamp > clock + skew;
    let late = zmon_domain::time::is_expired(clock, document.expires_at + skew);
    if early || late { Err(ErrorCode::ConfigurationExpired.into()) } else { Ok(()) }
}

/// The station's checkpoint, kept with the configuration, goes on from the one in force (D16). The
/// station's signature vouches for it. A log that was set back is for people to look into, and no
/// reason to leave a monitor without its station.
fn check_station_log(
    claim: &Claim,
    document: &ConfigurationDocument,
) -> Result<Option<ErrorCode>, ErrorReport> {
    let kept = claim.begun.origin().active().and_then(|active| kept(active, &claim.station_id));
    let Some(stated) = &document.audit_checkpoint else {
        return Ok(kept.map(|_| ErrorCode::AuditRolledBack));
    };
    match checkpoint::vouched(stated, kept.as_deref()) {
        Ok(_) => Ok(None),
        Err(ErrorCode::AuditRolledBack) => Ok(Some(ErrorCode::AuditRolledBack)),
        Err(_) => {
            let field = FieldError::new("auditCheckpoint", "must be a checkpoint");
            Err(report(ErrorCode::ConfigurationMalformed, field))
        }
    }
}

/// The checkpoint of this station in the configuration in force.
fn kept(active: &Loaded, station: &StationId) -> Option<String> {
    let kept = active.checkpoint.as_ref().filter(|_| active.station_id == *station)?;
    checkpoint::vouched(kept, None).ok().map(|_| kept.clone())
}

/// Chain, key match, validity, EKU, name; and a key of the station only where both sides allow it.
fn check_client(
    step: &mut Step<'_>,
    claim: &Claim,
    document: &ConfigurationDocument,
) -> Result<(Arc<TlsKey>, ClientCertificate, ChainVerified), ErrorReport> {
    let chain = CertificateChain::from_base64_pem(document.client_certificate.as_str())
        .map_err(|_| ErrorCode::ClientCertificateInvalid)?;
    let issuers = chain.issuer_chain().ok_or(ErrorCode::ClientCertificateInvalid)?;
    let key = client_key(step, claim, document, chain.leaf())?;
    let expected = ClientExpectation {
        device_id: &step.ctx.profile.device_id,
        public_key: key.public(),
        anchors: step.ctx.anchors,
        trust: step.ctx.profile.trust.level(),
    };
    let clock = step.now.synced();
    let algorithms = step.ctx.algorithms;
    let certificate = x509::verify_client_chain(&chain, &issuers, &expected, clock, algorithms)
        .map_err(|error| error.code())?;
    let at: UnixTime = clock.unwrap_or(document.timestamp);
    let proof = certificate.verified_at(at).map_err(|error| error.code())?;
    Ok((key, certificate, proof))
}

/// The device's own key, or the one that the station has sealed to it for this certificate (D6).
fn client_key(
    step: &mut Step<'_>,
    claim: &Claim,
    document: &ConfigurationDocument,
    certificate: &[u8],
) -> Result<Arc<TlsKey>, ErrorReport> {
    match (&claim.tls, &document.client_private_key) {
        (Some(own), None) => Ok(Arc::clone(own)),
        (Some(_), Some(_)) => Err(ErrorCode::StationKeyNotAllowed.into()),
        (None, None) => Err(ErrorCode::StationKeyNotOffered.into()),
        (None, Some(sealed)) => {
            let binding = Binding {
                session_id: claim.session_id,
                transcript: &claim.transcript,
                keys: &claim.keys,
                certificate,
            };
            let opened = b64::decode_url(sealed.expose())
                .ok()
                .and_then(|sealed| client_key::open(&binding, &claim.kem, &sealed, step.rng).ok());
            opened.map(Arc::new).ok_or(ErrorCode::ClientKeyUnreadable.into())
        }
    }
}
