//! Makers whose devices a station believes (D9): a CA certificate in PEM form each, in files of their
//! own. They vouch for devices, and nothing that signs for the station may be among them.

use std::path::{Path, PathBuf};

use zmon_cli::Failure;
use zmon_crypto::{
    CertificateChain,
    x509::{FactoryAnchors, spki_of},
};
use zmon_domain::error::ErrorCode;
use zmon_persistence::{Protection, read_file};
use zmon_station::ca::CaMaterial;

use crate::{settings::FACTORY_ANCHORS, stored};

/// Longest file, in bytes.
const PEM_MAX: usize = 16_384;

/// Reads the makers' authorities; the paths are relative to the station's directory.
///
/// # Errors
/// A usage failure for a file that is absent, holds anything but one CA certificate, or an authority of
/// the station itself; `key_file_mode_too_wide` or `key_file_is_symlink` for one that others could change.
pub(crate) fn load(
    dir: &Path,
    files: &[PathBuf],
    material: &CaMaterial,
) -> Result<FactoryAnchors, Failure> {
    let mut anchors = FactoryAnchors::new();
    for file in files {
        let path = dir.join(file);
        let refused = |rule: &'static str, cause: &str| {
            Failure::usage(FACTORY_ANCHORS, rule).context(format!("{}: {cause}", path.display()))
        };
        let pem = read_file(&path, PEM_MAX, Protection::Public).map_err(|error| {
            if error.code() == ErrorCode::NotInitialised {
                return refused("must name files that exist", "it is not there");
            }
            stored(error)
        })?;
        let one = "must name files of one CA certificate in PEM form each";
        let chain =
            CertificateChain::from_pem(&pem).map_err(|error| refused(one, &error.to_string()))?;
        if !chain.issuers().is_empty() {
            return Err(refused(one, "more than one certificate"));
        }
        anchors.insert(chain.leaf()).map_err(|error| refused(one, &error.to_string()))?;
        for own in [material.anchor_der(), material.client_ca_der()] {
            if spki_of(own).is_ok_and(|spki| anchors.holds_key(&spki)) {
                let rule = "must name no authority of the station itself";
                return Err(refused(rule, "an anchor or client CA of this station"));
            }
        }
    }
    Ok(anchors)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use zmon_station::ports::{Clock, Entropy};

    use super::*;
    use crate::{
        keys,
        settings::SettingsFile,
        system::{SystemClock, SystemEntropy},
    };

    fn material() -> CaMaterial {
        let file = SettingsFile {
            station_id: "st-1".to_owned(),
            station_name: "Ward 3".to_owned(),
            site: "st-mary".to_owned(),
            ..SettingsFile::default()
        };
        let params = file.read().unwrap().authority().unwrap();
        let now = SystemClock.now().wall.unwrap();
        CaMaterial::generate(&params, &mut *SystemEntropy.generator(), now).unwrap()
    }

    #[test]
    fn a_maker_is_one_authority_a_file_and_never_the_station_s_own() {
        let dir = tempfile::tempdir().unwrap();
        let own = material();
        keys::create(dir.path(), &own, None).unwrap();
        let maker = material().anchor_pem().unwrap();
        let rule = |name: &str| {
            let failure = load(dir.path(), &[name.into()], &own).unwrap_err();
            let detail = failure.report().detail.unwrap();
            assert_eq!(detail.field(), FACTORY_ANCHORS);
            detail.rule().to_owned()
        };
        let file = dir.path().join("maker.pem");
        zmon_cli::files::create(&file, maker.as_bytes(), 0o644).unwrap();
        let both = ["maker.pem".into(), file.clone()];
        assert_eq!(load(dir.path(), &both[..1], &own).unwrap().len(), 1);
        assert!(load(dir.path(), &both, &own).is_err(), "the same twice");
        assert!(load(dir.path(), &[], &own).unwrap().is_empty());

        assert!(rule("absent.pem").contains("exist"));
        for name in ["anchor.pem", "client-ca.pem"] {
            assert!(rule(name).contains("no authority of the station itself"), "{name}");
        }
        assert!(rule("server.pem").contains("one CA certificate"));
        for text in [format!("{maker}{maker}"), String::new(), "no certificate".to_owned()] {
            fs::write(&file, text).unwrap();
            assert!(rule("maker.pem").contains("one CA certificate"));
        }
    }
}
