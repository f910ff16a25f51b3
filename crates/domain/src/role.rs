//! Roles, what each may do, and the proof that an operator was authenticated ([W §8], [W §10.1], D22).

use core::{fmt, str::FromStr};

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

macro_rules! actions {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal: $technician:literal $administrator:literal $auditor:literal;)+) => {
        /// What an operator may ask for. The table of who may is [`permits`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Action {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Action {
            /// Every action.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The word used in logs, in snake case.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }

        /// The role matrix: whether a role may ask for an action.
        #[must_use]
        pub const fn permits(role: Role, action: Action) -> bool {
            let (technician, administrator, auditor) = match action {
                $(Action::$name => ($technician, $administrator, $auditor),)+
            };
            match role {
                Role::Technician => technician,
                Role::Administrator => administrator,
                Role::Auditor => auditor,
            }
        }
    };
}

actions! {
    /// Open a provisioning window on a device ([W §10.1]).      technician administrator auditor
    EnterProvisioning = "enter_provisioning": true true false;
    /// Open a window on a device that is provisioned ([W §8]).
    Reprovision = "reprovision": true true false;
    /// Make a new code and token in an open window ([W §9.1]).
    Regenerate = "regenerate": true true false;
    /// Close a window without pairing ([W §9.1]).
    Cancel = "cancel": true true false;
    /// Try again after a failure ([W §7.2]).
    Retry = "retry": true true false;
    /// Clear the state of a failed provisioning ([W §7.2]).
    Reset = "reset": true true false;
    /// Run a simulated provisioning ([W §9.3], D20).
    Simulate = "simulate": true true false;
    /// Remove a device's configuration ([I §2.1]).
    Deprovision = "deprovision": false true false;
    /// Erase a device ([W §7.2]).
    FactoryReset = "factory_reset": false true false;
    /// Import an anchor on a device (D8).
    ImportAnchor = "import_anchor": false true false;
    /// Go on although the clinical interlock objects (D22).
    OverrideInterlock = "override_interlock": false true false;
    /// Claim a device by its QR code and pair it, on the station ([W §11.3]).
    Pair = "pair": true true false;
    /// End another operator's reservation of a device (D11).
    ReleaseReservation = "release_reservation": false true false;
    /// See devices, sessions and certificates.
    ReadRegistry = "read_registry": true true true;
    /// Lay down devices in the registry (D9).
    ImportRegistry = "import_registry": false true false;
    /// Add, change or remove operators.
    ManageOperators = "manage_operators": false true false;
    /// Revoke a certificate.
    RevokeCertificate = "revoke_certificate": false true false;
    /// Read, verify and export the audit log. Nobody may change it: there is no such action.
    ReadAudit = "read_audit": false true true;
}

impl fmt::Display for Action {
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
    /// The program itself: timers, start, stop.
    System,
    /// The other party of a session, or whoever connects.
    Peer,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator { id, role } => write!(f, "{role}:{id}"),
            Self::System => f.write_str("system"),
            Self::Peer => f.write_str("peer"),
        }
    }
}

impl FromStr for Actor {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        match (text, text.split_once(':')) {
            ("system", _) => Ok(Self::System),
            ("peer", _) => Ok(Self::Peer),
            (_, Some((role, id))) => {
                Ok(Self::Operator { id: OperatorId::parse(id)?, role: role.parse()? })
            }
            (_, None) => Err(FieldError::new("actor", "must be system, peer or role:operator")),
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
    fn technicians_provision_but_neither_remove_nor_erase() {
        for action in [Action::EnterProvisioning, Action::Reprovision, Action::Cancel, Action::Pair]
        {
            assert!(permits(Role::Technician, action));
        }
        for action in
            [Action::Deprovision, Action::FactoryReset, Action::ManageOperators, Action::ReadAudit]
        {
            assert!(!permits(Role::Technician, action));
        }
    }

    #[test]
    fn administrators_may_everything_there_is_and_auditors_only_read() {
        for action in Action::ALL {
            assert!(permits(Role::Administrator, *action), "{action}");
            let reads = matches!(action, Action::ReadAudit | Action::ReadRegistry);
            assert_eq!(permits(Role::Auditor, *action), reads, "{action}");
        }
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
        for actor in [Actor::System, Actor::Peer] {
            assert_eq!(actor.to_string().parse(), Ok(actor));
        }
        for bad in ["", "root", "root:x", "technician:", "technician:a b"] {
            assert!(bad.parse::<Actor>().is_err(), "{bad}");
        }
        assert_eq!("Technician".parse::<Role>().unwrap_err().field(), "role");
    }

    #[test]
    fn names_of_actions_are_unique() {
        let names: alloc::collections::BTreeSet<_> =
            Action::ALL.iter().map(|action| action.as_str()).collect();
        assert_eq!(names.len(), Action::ALL.len());
    }
}
