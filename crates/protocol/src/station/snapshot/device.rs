//! A device that has proved who it is. Its proof is kept with it and checked again.

use alloc::boxed::Box;
use alloc::sync::Arc;

use zmon_crypto::jws::{Typ, Unverified};
use zmon_crypto::schedule::{SessionKeys, transcript};
use zmon_crypto::x509::csr;
use zmon_crypto::{IdentityPublic, KemPublic, TlsKey};
use zmon_domain::ids::Thumbprint;
use zmon_domain::limits;
use zmon_wire::identity::IdentityDocument;
use zmon_wire::pake::PakeConfirm;
use zmon_wire::session::SessionOpen;
use zmon_wire::strict;

use super::super::context::{DeviceTrust, RegistryEntry, SessionContext};
use super::super::io::Claim;
use super::super::state::{ClientKey, Core, Ground, Identified, Newcomer};
use super::SnapshotError;
use super::codec::{Reader, Writer};

const BY_TOKEN: u8 = 1;
const BY_CODE: u8 = 2;

pub(super) fn write(to: &mut Writer, device: &Identified) -> Result<(), SnapshotError> {
    to.text(&device.hello);
    to.bytes(&device.document);
    to.option(device.claim.as_ref(), |to, claim| match claim {
        Claim::Token(open) => {
            to.byte(BY_TOKEN);
            to.raw(&open.claim_mac);
        }
        Claim::Code(confirm) => {
            to.byte(BY_CODE);
            to.raw(&confirm.confirm_p);
        }
    });
    to.option(device.newcomer.as_ref(), |to, newcomer| {
        to.flag(newcomer.checkpoint.is_some());
        to.text(newcomer.ground.trust.as_str());
        to.option(newcomer.ground.certificate, |to, hash| to.raw(hash.as_bytes()));
    });
    let made = match &device.client {
        ClientKey::Requested(_) | ClientKey::Made(None) => None,
        ClientKey::Made(Some(key)) => Some(key.pkcs8()),
    };
    let made = made.transpose().map_err(|_| SnapshotError::Member("clientKey"))?;
    to.option(made, |to, key| to.bytes(key.expose()));
    to.raw(device.keys.expose().expose());
    Ok(())
}

pub(super) fn read(
    from: &mut Reader<'_>,
    ctx: &SessionContext<'_>,
    core: &Core,
) -> Result<Identified, SnapshotError> {
    let hello = from.str("hello")?;
    let bytes = from.bytes("identity")?;
    let (document, public, verified) = verify(ctx, bytes)?;
    let claim = from.option("claim", |from| match from.byte("claim")? {
        BY_TOKEN => {
            let (hello, claim_mac) = (hello.into(), from.array("claim")?);
            Ok(Claim::Token(SessionOpen { hello, claim_mac }))
        }
        BY_CODE => {
            let (session_id, confirm_p) = (core.session_id, from.array("claim")?);
            Ok(Claim::Code(PakeConfirm { session_id, confirm_p }))
        }
        _ => Err(SnapshotError::Member("claim")),
    })?;
    let newcomer = from.option("newcomer", |from| {
        let kept = from.flag("checkpoint")?;
        let trust = from.str("deviceTrust")?;
        let ground = Ground {
            trust: DeviceTrust::parse(trust).ok_or(SnapshotError::Member("deviceTrust"))?,
            certificate: from.option("factoryCertificate", |from| {
                from.array("factoryCertificate").map(Thumbprint::from_bytes)
            })?,
        };
        let entry = RegistryEntry {
            device_id: core.device_id.clone(),
            serial: document.device_serial.clone(),
            identity_key: public.thumbprint(),
            decommissioned: false,
        };
        let checkpoint = document.audit_checkpoint.clone().filter(|_| kept);
        Ok(Box::new(Newcomer { entry, checkpoint, ground }))
    })?;
    let made = from.option("clientKey", |from| {
        let key = TlsKey::from_pkcs8(from.bytes("clientKey")?);
        key.map(Arc::new).map_err(|_| SnapshotError::Member("clientKey"))
    })?;
    let wrong = |_| SnapshotError::Member("identity");
    let client = match &document.csr {
        Some(request) => {
            let key = csr::verify(request, ctx.algorithms).map_err(|_| wrong(()))?;
            ClientKey::Requested(key)
        }
        None => ClientKey::Made(made),
    };
    let keys = from.array::<{ SessionKeys::LEN }>("keys").map(zeroize::Zeroizing::new)?;
    let keys = SessionKeys::kept(keys.as_slice()).ok_or(SnapshotError::Member("keys"))?;
    Ok(Identified {
        kem: KemPublic::parse(&document.kem_key).map_err(|_| wrong(()))?,
        public,
        serial: document.device_serial,
        firmware: document.firmware_version,
        client,
        newcomer,
        trust: document.station_trust,
        transcript: transcript(hello.as_bytes(), bytes),
        hello: hello.into(),
        document: bytes.into(),
        claim,
        keys: Arc::new(keys),
        _signature: verified,
    })
}

/// The document with its key, and the proof that this key has signed it. Whose key it is was decided when
/// it came; the seal says that this is the one.
fn verify(
    ctx: &SessionContext<'_>,
    bytes: &[u8],
) -> Result<
    (IdentityDocument, IdentityPublic, zmon_crypto::evidence::SignatureVerified),
    SnapshotError,
> {
    let wrong = SnapshotError::Member("identity");
    let jws = Unverified::parse(bytes).map_err(|_| wrong)?;
    let document: IdentityDocument =
        strict::parse(jws.payload_unverified(), limits::BODY_MAX.default).map_err(|_| wrong)?;
    let public = IdentityPublic::parse(&document.identity_key).map_err(|_| wrong)?;
    let verified = jws.verify_with(Typ::Identity, &public, ctx.algorithms).map_err(|_| wrong)?;
    let proof = verified.proof();
    Ok((document, public, proof))
}
