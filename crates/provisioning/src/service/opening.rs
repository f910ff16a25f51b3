//! Ways into provisioning mode.

/// Which command opens the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Opening {
    /// A first pairing ([W §2.1]), or another try at it.
    Enter,
    /// A new configuration for a provisioned device ([W §8]).
    Reprovision,
}
