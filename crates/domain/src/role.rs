//! Roles, what each may do, and the proof that an operator was authenticated ([W §8], [W §10.1], D22).

mod action;

use core::{fmt, str::FromStr};

pub use action::{Action, markdown, permits, permits_anyone};

use crate::{
    error::{ErrorCode, FieldError},
    ids::OperatorId,
    time::Tick,
};

/// What an operator is, on the station and on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Pairs devices.
    Technician,
    /// Does what a technician does, and administers operators, anchors and devices.
    Administrator,
    /// Reads, and changes nothing.
    Auditor,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Technician, Self::Administrator, Self::Auditor];

    /// The word used on the wire: `technician`, `administrator` or `auditor`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Technician => "technician",
            Self::Administrator => "administrator",
            Self::Auditor => "auditor",
        }
    }
}

impl FromStr for Role {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(FieldError::new("role", "must be technician, administrator or auditor"))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Who did something, for the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// An authenticated operator.
    Operator {
        /// The account.
        id: OperatorId,
        /// Its role at that time.
        role: Role,
    },
    /// Someone at the device who gave no PIN, for what needs none ([`permits_anyone`]); of a station, whoever works
    /// on its machine as the owner of its files.
    Local,
    /// The program itself: timers, start, stop.
    System,
    /// The other party of a session, or whoever connects.
    Peer,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator { id, role } => write!(f, "{role}:{id}"),
            Self::Local => f.write_str("local"),
            Self::System => f.write_str("system"),
            Self::Peer => f.write_str("peer"),
        }
    }
}

impl FromStr for Actor {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        match (text, text.split_once(':')) {
            ("local", _) => Ok(Self::Local),
            ("system", _) => Ok(Self::System),
            ("peer", _) => Ok(Self::Peer),
            (_, Some((role, id))) => {
                Ok(Self::Operator { id: OperatorId::parse(id)?, role: role.parse()? })
            }
            (_, None) => {
                Err(FieldError::new("actor", "must be local, system, peer or role:operator"))
            }
        }
    }
}

/// Evidence that an operator was authenticated, needed by every privileged method.
///
/// Its fields are private and its only origin is [`danger::authenticated`], so that a method which
/// takes a proof cannot be reached with a made-up role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorProof {
    id: OperatorId,
    role: Role,
    expires: Tick,
}

impl OperatorProof {
    /// The operator's account.
    #[must_use]
    pub const fn id(&self) -> &OperatorId {
        &self.id
    }

    /// The operator's role.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The last tick at which the proof counts.
    #[must_use]
    pub const fn expires(&self) -> Tick {
        self.expires
    }

    /// The operator, for the audit log.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor::Operator { id: self.id.clone(), role: self.role }
    }

    /// Whether the proof still counts and its role may ask for `action`.
    ///
    /// # Errors
    /// [`ErrorCode::ProofExpired`] or [`ErrorCode::NotPermitted`].
    pub fn authorise(&self, action: Action, now: Tick) -> Result<Actor, ErrorCode> {
        if now > self.expires {
            return Err(ErrorCode::ProofExpired);
        }
        if !permits(self.role, action) {
            return Err(ErrorCode::NotPermitted);
        }
        Ok(self.actor())
    }
}

/// The one place where a proof can be made.
pub mod danger {
    use super::{OperatorId, OperatorProof, Role, Tick};

    /// Asserts that this operator has just been authenticated.
    ///
    /// Called by authenticator adapters after they compared the secret, and by test kits; nowhere
    /// else. `clippy.toml` lists it, so each call carries its reason.
    #[must_use]
    pub const fn authenticated(id: OperatorId, role: Role, expires: Tick) -> OperatorProof {
        OperatorProof { id, role, expires }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use core::time::Duration;

    use super::*;

    #[expect(
        clippy::disallowed_methods,
        reason = "the tests of proofs stand in for an authenticator"
    )]
    fn proof(role: Role) -> OperatorProof {
        let expires = Tick::new(Duration::from_secs(60));
        danger::authenticated(OperatorId::parse("tess").unwrap(), role, expires)
    }

    #[test]
    fn a_proof_counts_until_its_last_tick() {
        let proof = proof(Role::Technician);
        let last = proof.expires();
        assert_eq!(proof.authorise(Action::Retry, last), Ok(proof.actor()));
        let late = last + Duration::from_nanos(1);
        assert_eq!(proof.authorise(Action::Retry, late), Err(ErrorCode::ProofExpired));
    }

    #[test]
    fn a_proof_of_the_wrong_role_is_refused() {
        for (role, action) in
            [(Role::Technician, Action::Deprovision), (Role::Auditor, Action::EnterProvisioning)]
        {
            assert_eq!(proof(role).authorise(action, Tick::ZERO), Err(ErrorCode::NotPermitted));
        }
        assert_eq!(proof(Role::Auditor).id().as_str(), "tess");
        assert_eq!(proof(Role::Auditor).role(), Role::Auditor);
    }

    #[test]
    fn roles_and_actors_round_trip() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
            let actor = proof(role).actor();
            assert_eq!(actor.to_string().parse(), Ok(actor));
        }
        for actor in [Actor::Local, Actor::System, Actor::Peer] {
            assert_eq!(actor.to_string().parse(), Ok(actor));
        }
        for bad in ["", "root", "root:x", "technician:", "technician:a b"] {
            assert!(bad.parse::<Actor>().is_err(), "{bad}");
        }
        assert_eq!("Technician".parse::<Role>().unwrap_err().field(), "role");
    }
}
