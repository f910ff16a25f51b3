//! The types of signed messages and who signs them.

/// Which of a party's keys signs a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// The station's configuration-signing key, vouched for by a certificate chain.
    Station,
    /// A device's (or station's) identity key, vouched for by the verifier's record.
    Identity,
}

/// The `typ` of every signed message. Mandatory and exact (§3 of the protocol).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Typ {
    /// Station → device: opens a session.
    Hello,
    /// Station → device: the configuration, inside the envelope.
    Config,
    /// Station → device: the station's record of a session's end.
    Outcome,
    /// Device → station: who it is, answering a hello.
    Identity,
    /// Device → station: how a delivery ended.
    Status,
    /// Device → station: asks for the outcome while in doubt.
    Ask,
    /// Device → station: polls for a delivery.
    Pull,
    /// Device → station: its last words before a wipe.
    Retire,
    /// Either: heads of the audit lanes.
    Checkpoint,
}

impl Typ {
    /// Every type, for tables and tests.
    pub const ALL: [Self; 9] = [
        Self::Hello,
        Self::Config,
        Self::Outcome,
        Self::Identity,
        Self::Status,
        Self::Ask,
        Self::Pull,
        Self::Retire,
        Self::Checkpoint,
    ];

    /// The value of the header member.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hello => "zp-hello+jws",
            Self::Config => "zp-config+jws",
            Self::Outcome => "zp-outcome+jws",
            Self::Identity => "zp-identity+jws",
            Self::Status => "zp-status+jws",
            Self::Ask => "zp-ask+jws",
            Self::Pull => "zp-pull+jws",
            Self::Retire => "zp-retire+jws",
            Self::Checkpoint => "zp-checkpoint+jws",
        }
    }

    /// Which key signs it.
    #[must_use]
    pub const fn signer(self) -> Signer {
        match self {
            Self::Hello | Self::Config | Self::Outcome => Signer::Station,
            Self::Identity
            | Self::Status
            | Self::Ask
            | Self::Pull
            | Self::Retire
            | Self::Checkpoint => Signer::Identity,
        }
    }

    /// Whether a header with (`present`) or without `x5c` is in order.
    ///
    /// A hello must carry the chain. A configuration or outcome may: the device already knows the
    /// signer from the hello, unless the station's certificate was renewed in between. A message
    /// of an identity key must not: nothing vouches for that key but the verifier's record.
    pub(crate) const fn accepts_chain(self, present: bool) -> bool {
        match self {
            Self::Hello => present,
            Self::Config | Self::Outcome => true,
            Self::Identity
            | Self::Status
            | Self::Ask
            | Self::Pull
            | Self::Retire
            | Self::Checkpoint => !present,
        }
    }
}
