//! Where the vectors lie, and how they are written.

use std::path::PathBuf;

use zmon_crypto::Suite;

pub(super) fn path(suite: Suite) -> PathBuf {
    let name = match suite {
        Suite::P256 => "pairing-p256.json",
        Suite::Rsa2048 => "pairing-rsa2048.json",
    };
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/vectors").join(name)
}

pub(super) fn suites() -> impl Iterator<Item = Suite> {
    [Suite::P256, Suite::Rsa2048].into_iter().filter(|suite| suite.is_supported())
}
