//! Factory chain of a device (D9): `factory.pem`, the maker's certificate of the identity key and what
//! leads from there to the maker's authority. The device shows it; only stations judge it.

use serde::Serialize;
use zmon_cli::{Failure, Streams, files};
use zmon_crypto::{CertificateChain, IdentityPublic, sha256, x509::spki_of};
use zmon_domain::{
    audit::{AuditEvent, EventType},
    error::ErrorCode,
    ids::Thumbprint,
    role::Actor,
    time::ClockQuality,
};
use zmon_persistence::PrivateDir;
use zmon_protocol::device::DeviceRecord;

use crate::{args::FactoryChain, compose::Disk, settings::SettingsFile, stored};

const FILE: &str = "factory.pem";
/// Longest chain file, in bytes.
const PEM_MAX: usize = 65_536;
/// The argument that names the chain.
const SOURCE: &str = "FILE";

/// What `factory-chain` reports.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    success: bool,
    directory: &'a str,
    certificates: usize,
}

/// Lays the factory chain of a device down, in place of one that is there, with its row.
///
/// # Errors
/// A usage failure for a file that is no chain of this device's identity key; `state_conflict` while the
/// device runs.
pub(crate) async fn run(args: FactoryChain, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let profile = SettingsFile::load(&args.dir)?.profile()?;
    let pem = files::read(SOURCE, &args.file, PEM_MAX)?;
    let chain = CertificateChain::from_pem(&pem).map_err(|_| {
        Failure::usage(SOURCE, "must be a certificate chain in PEM form, leaf first")
    })?;
    let disk = Disk::open(&args.dir, &profile, ClockQuality::Synced).await?;
    if !is_for(&chain, disk.keys.identity().public()) {
        return Err(Failure::usage(SOURCE, "must begin with a certificate of the identity key")
            .next("Show the maker's authority what `device identity DIR --csr FILE` writes."));
    }
    let fingerprint = Thumbprint::from_bytes(sha256(chain.leaf()));
    let row = AuditEvent::new(EventType::FactoryChainInstalled, Actor::System)
        .device(&profile.device_id)
        .with("factoryCertificate", fingerprint);
    let record = DeviceRecord { audit: vec![row], ..DeviceRecord::default() };
    disk.record(&disk.clock.now(), &record).await?;
    disk.dir.replace_file(FILE, chain.to_pem().as_bytes()).map_err(stored)?;

    let directory = args.dir.display().to_string();
    let certificates = chain.iter().count();
    if streams.is_json() {
        return Ok(streams.json(&Report { success: true, directory: &directory, certificates })?);
    }
    Ok(streams.say(&format!("{directory} shows a factory chain of {certificates} from now on"))?)
}

/// The factory chain of a device; none where none was laid down, or where it is for a key that the
/// device has given up (D21): nobody would believe it.
///
/// # Errors
/// `key_file_mode_too_wide`, `key_file_is_symlink` or `key_store_unavailable` for a file that others can
/// reach or that is none, `storage_corrupt` for one that is no chain; each with the path.
pub(crate) fn load(
    dir: &PrivateDir,
    identity: &IdentityPublic,
) -> Result<Option<CertificateChain>, Failure> {
    let pem = match dir.read_file(FILE, PEM_MAX) {
        Ok(pem) => pem,
        Err(error) if error.code() == ErrorCode::NotInitialised => return Ok(None),
        Err(error) => return Err(stored(error)),
    };
    let chain = CertificateChain::from_pem(&pem).map_err(|error| {
        let path = dir.path().join(FILE);
        Failure::new(ErrorCode::StorageCorrupt).context(format!("{}: {error}", path.display()))
    })?;
    if is_for(&chain, identity) {
        return Ok(Some(chain));
    }
    tracing::warn!("{FILE} is for another identity key and is not shown");
    Ok(None)
}

fn is_for(chain: &CertificateChain, identity: &IdentityPublic) -> bool {
    spki_of(chain.leaf()).is_ok_and(|spki| spki == identity.spki_der())
}
