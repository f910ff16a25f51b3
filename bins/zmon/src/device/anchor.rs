//! `zmon device anchor …`.

use std::path::Path;

use zmon_cli::{Failure, Streams, files};
use zmon_crypto::{CertificateChain, sha256};
use zmon_domain::{ids::Thumbprint, limits};
use zmon_wire::{
    admin::Done,
    control::{ControlAnswer, ControlRequest},
};

use super::{Control, confirm, read_person, show, unexpected};
use crate::args::device::AnchorCommand;

/// The argument that names the certificate.
const SOURCE: &str = "FILE";

/// Carries out a command about the anchors of a device.
///
/// # Errors
/// A usage failure for a file that is not one certificate, or where nobody can be asked; `cancelled` for
/// an answer that is not the fingerprint; else what the device says.
pub(super) async fn run(
    control: &mut Control,
    command: AnchorCommand,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    match command {
        AnchorCommand::List => {
            let answer = control.ask(&ControlRequest::Anchors {}).await?;
            let ControlAnswer::Anchors(view) = answer else { return Err(unexpected()) };
            show::answer(streams, &view, show::anchors)
        }
        AnchorCommand::Import { file, site, fingerprint, person } => {
            let certificate = read(&file)?;
            let fingerprint = match fingerprint {
                Some(fingerprint) => fingerprint,
                None => {
                    let own = Thumbprint::from_bytes(sha256(&certificate));
                    confirm::fingerprint(&own, &site, streams)?;
                    own
                }
            };
            let (operator, pin) = read_person(&person)?;
            let done = format!("stations of {site} are believed from now on");
            let request =
                ControlRequest::ImportAnchor { operator, pin, certificate, site, fingerprint };
            control.done(&request).await?;
            if streams.is_json() {
                return Ok(streams.json(&Done::default())?);
            }
            Ok(streams.say(&done)?)
        }
    }
}

/// The one certificate of a file, DER.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let pem = files::read(SOURCE, path, limits::BODY_MAX.default)?;
    let refused = || Failure::usage(SOURCE, "must be one CA certificate in PEM form");
    let chain = CertificateChain::from_pem(&pem).map_err(|_| refused())?;
    if !chain.issuers().is_empty() {
        return Err(refused());
    }
    Ok(chain.leaf().to_vec())
}
