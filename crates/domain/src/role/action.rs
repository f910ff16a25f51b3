//! What may be asked for, and by whom: the one table of roles and actions (D22).

use alloc::{format, string::String};
use core::fmt;

use super::Role;

macro_rules! actions {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal: $technician:literal $administrator:literal $auditor:literal $anyone:literal;)+) => {
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

        /// Whether whoever stands at the device may ask for an action, without a PIN.
        #[must_use]
        pub const fn permits_anyone(action: Action) -> bool {
            match action {
                $(Action::$name => $anyone,)+
            }
        }
    };
}

actions! {
    // Columns: technician, administrator, auditor, anyone at the device without a PIN.
    /// Open a provisioning window on a device ([W §10.1]).
    EnterProvisioning = "enter_provisioning": true true false false;
    /// Open a window on a device that is provisioned ([W §8]).
    Reprovision = "reprovision": true true false false;
    /// Ask the station for a new certificate now (D23).
    Renew = "renew": true true false false;
    /// Make a new code and token in an open window ([W §9.1]).
    Regenerate = "regenerate": true true true true;
    /// Close a window without pairing ([W §9.1]).
    Cancel = "cancel": true true true true;
    /// Try again after a failure ([W §7.2]).
    Retry = "retry": true true false false;
    /// Clear the state of a failed provisioning ([W §7.2]).
    Reset = "reset": true true false false;
    /// Run a simulated provisioning ([W §9.3], D20).
    Simulate = "simulate": true true false false;
    /// Confirm at the device the station of a pairing without an anchor (D8).
    ConfirmStation = "confirm_station": true true false false;
    /// Remove a device's configuration ([I §2.1]).
    Deprovision = "deprovision": false true false false;
    /// Take a device from its manual configuration to provisioning, or put it off ([W §14]).
    Migrate = "migrate": true true false false;
    /// Erase a device ([W §7.2]).
    FactoryReset = "factory_reset": false true false false;
    /// Import an anchor on a device (D8).
    ImportAnchor = "import_anchor": false true false false;
    /// Go on although the clinical interlock objects (D22).
    OverrideInterlock = "override_interlock": false true false false;
    /// Claim a device by its QR code and pair it, on the station ([W §11.3]).
    Pair = "pair": true true false false;
    /// End another operator's reservation of a device (D11).
    ReleaseReservation = "release_reservation": false true false false;
    /// Open a batch of pairings, scan devices for it, pause, resume, retry and close it ([W §1]).
    RunBatch = "run_batch": true true false false;
    /// See devices, sessions, batches and certificates.
    ReadRegistry = "read_registry": true true true false;
    /// Lay down devices in the registry (D9).
    ImportRegistry = "import_registry": false true false false;
    /// Write down that a device stands at another bed, or has another label.
    MoveDevice = "move_device": true true false false;
    /// Let a device whose audit log was lost begin a new one (D16).
    AcceptAuditLog = "accept_audit_log": false true false false;
    /// Give a registered device another identity key (D21).
    RekeyDevice = "rekey_device": false true false false;
    /// Let a device enrol once by EST (RFC 7030).
    PermitEnrolment = "permit_enrolment": false true false false;
    /// Add, change or remove operators.
    ManageOperators = "manage_operators": false true false false;
    /// Revoke a certificate.
    RevokeCertificate = "revoke_certificate": false true false false;
    /// Read, verify and export the audit log. Nobody may change it: there is no such action.
    ReadAudit = "read_audit": false true true false;
}

/// The role matrix for people: one row per action (`docs/ROLES.md`).
#[must_use]
pub fn markdown() -> String {
    let word = |may: bool| if may { "yes" } else { "–" };
    let mut table = String::from(
        "| action | technician | administrator | auditor | without a PIN, at the device |\n\
         |---|---|---|---|---|\n",
    );
    for action in Action::ALL {
        let may = |role| word(permits(role, *action));
        table.push_str(&format!(
            "| `{action}` | {} | {} | {} | {} |\n",
            may(Role::Technician),
            may(Role::Administrator),
            may(Role::Auditor),
            word(permits_anyone(*action)),
        ));
    }
    table
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let anyone = permits_anyone(*action);
            assert_eq!(permits(Role::Auditor, *action), reads || anyone, "{action}");
        }
    }

    #[test]
    fn without_a_pin_one_may_end_a_window_and_renew_its_code_and_no_more() {
        let anyone: alloc::vec::Vec<_> =
            Action::ALL.iter().copied().filter(|action| permits_anyone(*action)).collect();
        assert_eq!(anyone, [Action::Regenerate, Action::Cancel]);
        for (action, role) in anyone.iter().flat_map(|action| Role::ALL.map(|role| (action, role)))
        {
            assert!(permits(role, *action), "{action} {role}");
        }
    }

    #[test]
    fn names_of_actions_are_unique() {
        let names: alloc::collections::BTreeSet<_> =
            Action::ALL.iter().map(|action| action.as_str()).collect();
        assert_eq!(names.len(), Action::ALL.len());
    }

    #[test]
    fn the_rendered_matrix_has_a_row_for_each_action() {
        let table = markdown();
        for action in Action::ALL {
            assert_eq!(table.matches(&format!("| `{action}` |")).count(), 1, "{action}");
        }
        assert!(table.contains("| `cancel` | yes | yes | yes | yes |\n"));
        assert!(table.contains("| `override_interlock` | – | yes | – | – |\n"));
    }
}
