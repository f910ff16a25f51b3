//! `device identity`: who the device is, and the row for the station's registry.

use std::sync::Arc;

use zmon_cli::{Failure, Streams, files};
use zmon_crypto::{Suite, x509::csr};
use zmon_persistence::{FileKeyStore, PrivateDir};
use zmon_provisioning::ports::KeyStore;
use zmon_wire::{control::IdentityView, kind, manifest::ManifestRow};

use crate::{args::Identity, compose::system_rng, settings::SettingsFile, stored};

/// Shows the identity; works beside a running device.
///
/// # Errors
/// `not_initialised`, what the key files say, or a usage failure for a file that exists.
pub(crate) fn run(args: &Identity, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let profile = SettingsFile::load(&args.dir)?.profile()?;
    let dir = Arc::new(PrivateDir::open_shared(&args.dir).map_err(stored)?);
    let keys = FileKeyStore::open(dir).map_err(stored)?;
    let public = keys.identity().public();
    if args.manifest {
        let mut row = ManifestRow::new(profile.device_id, profile.serial, public.thumbprint());
        row.bed_id.clone_from(&args.bed);
        row.device_label.clone_from(&args.label);
        row.ip_address = args.address;
        row.port = args.port;
        return Ok(streams.json(&row)?);
    }
    if let Some(file) = &args.csr {
        let request = csr::create(keys.identity(), &profile.device_id, &mut *system_rng().lock());
        let request = request.map_err(|error| Failure::new(error.code()))?;
        files::create_named("--csr", file, &request)?;
    }
    let view = IdentityView {
        device_id: profile.device_id,
        device_serial: profile.serial,
        firmware_version: profile.firmware,
        suite: match public.suite() {
            Suite::P256 => kind::Suite::P256,
            Suite::Rsa2048 => kind::Suite::Rsa2048,
        },
        identity_key: public.thumbprint(),
        ip_address: None,
    };
    if streams.is_json() {
        return Ok(streams.json(&view)?);
    }
    streams.say(&format!("device        {}", view.device_id))?;
    streams.say(&format!("serial        {}", view.device_serial))?;
    streams.say(&format!("firmware      {}", view.firmware_version))?;
    streams.say(&format!("identity key  {}", view.identity_key))?;
    Ok(())
}
