//! Between the words of `zmon-wire` and those of `zmon-crypto`.

use zmon_crypto::Suite;
use zmon_wire::kind;

/// The suite as messages name it.
pub(crate) const fn wire_suite(suite: Suite) -> kind::Suite {
    match suite {
        Suite::P256 => kind::Suite::P256,
        Suite::Rsa2048 => kind::Suite::Rsa2048,
    }
}
