//! The transition table: every (state, input) pair, as data. Tests hold the machine to it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::input::DeviceInput;

macro_rules! kinds {
    ($(#[$doc:meta])* $name:ident { $($(#[$item:meta])+ $variant:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$item])+ $variant,)+
        }

        impl $name {
            /// Every kind, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in the table.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)+
                }
            }
        }
    };
}

kinds! {
    /// A state of the device machine, as the table counts them. `ReadyToPair` to `InDoubt` are
    /// phases of a re-provisioning while slot A lives.
    StateKind {
        /// No configuration.
        NotProvisioned,
        /// A window is open.
        ReadyToPair,
        /// The window is claimed.
        Pairing,
        /// A configuration lies in slot B.
        Configuring,
        /// Slot B is being tested.
        Validating,
        /// Validating, after commit was marked sent (D13).
        InDoubt,
        /// Slot A lives, no session runs.
        Provisioned,
        /// The last pairing failed and there is no slot A.
        Error,
        /// An administrator wiped the configuration.
        Deprovisioned,
    }
}

kinds! {
    /// An input of the device machine without its content.
    InputKind {
        /// `Enter`
        Enter,
        /// `EnterRefused`
        EnterRefused,
        /// `OverrideInterlock`
        OverrideInterlock,
        /// `ListenerOpened`
        ListenerOpened,
        /// `ListenerFailed`
        ListenerFailed,
        /// `Announce`
        Announce,
        /// `Regenerate`
        Regenerate,
        /// `Exit`
        Exit,
        /// `Retry`
        Retry,
        /// `Reset`
        Reset,
        /// `Deprovision`
        Deprovision,
        /// `FactoryReset`
        FactoryReset,
        /// `Erased`
        Erased,
        /// `RetireAnswered`
        RetireAnswered,
        /// `Migrate`
        Migrate,
        /// `PostponeMigration`
        PostponeMigration,
        /// `MigrationRefused`
        MigrationRefused,
        /// `LinkProven`
        LinkProven,
        /// `LinkExpired`
        LinkExpired,
        /// `ManualRemoved`
        ManualRemoved,
        /// `Reprovision`
        Reprovision,
        /// `Renew`
        Renew,
        /// `Pulled`
        Pulled,
        /// `Fetched`
        Fetched,
        /// `SessionOpen`
        SessionOpen,
        /// `AskWindow`
        AskWindow,
        /// `PakeStart`
        PakeStart,
        /// `PakeConfirm`
        PakeConfirm,
        /// `Blink`
        Blink,
        /// `ConfirmStation`
        ConfirmStation,
        /// `RefuseStation`
        RefuseStation,
        /// `Configuration`
        Configuration,
        /// `ConfigurationRefused`
        ConfigurationRefused,
        /// `Junk`
        Junk,
        /// `Tested`
        Tested,
        /// `CommitAnswered`
        CommitAnswered,
        /// `OutcomeAnswered`
        OutcomeAnswered,
        /// `Timeout`
        Timeout,
    }
}

impl DeviceInput {
    /// The column of the table this input belongs to.
    #[must_use]
    pub fn kind(&self) -> InputKind {
        match self {
            Self::Enter { .. } => InputKind::Enter,
            Self::EnterRefused { .. } => InputKind::EnterRefused,
            Self::OverrideInterlock { .. } => InputKind::OverrideInterlock,
            Self::ListenerOpened { .. } => InputKind::ListenerOpened,
            Self::ListenerFailed => InputKind::ListenerFailed,
            Self::Announce { .. } => InputKind::Announce,
            Self::Regenerate { .. } => InputKind::Regenerate,
            Self::Exit { .. } => InputKind::Exit,
            Self::Retry { .. } => InputKind::Retry,
            Self::Reset { .. } => InputKind::Reset,
            Self::Deprovision { .. } => InputKind::Deprovision,
            Self::FactoryReset { .. } => InputKind::FactoryReset,
            Self::Erased(_) => InputKind::Erased,
            Self::RetireAnswered { .. } => InputKind::RetireAnswered,
            Self::Migrate { .. } => InputKind::Migrate,
            Self::PostponeMigration { .. } => InputKind::PostponeMigration,
            Self::MigrationRefused { .. } => InputKind::MigrationRefused,
            Self::LinkProven => InputKind::LinkProven,
            Self::LinkExpired { .. } => InputKind::LinkExpired,
            Self::ManualRemoved(_) => InputKind::ManualRemoved,
            Self::Reprovision { .. } => InputKind::Reprovision,
            Self::Renew { .. } => InputKind::Renew,
            Self::Pulled(_) => InputKind::Pulled,
            Self::Fetched(_) => InputKind::Fetched,
            Self::SessionOpen { .. } => InputKind::SessionOpen,
            Self::AskWindow => InputKind::AskWindow,
            Self::PakeStart { .. } => InputKind::PakeStart,
            Self::PakeConfirm { .. } => InputKind::PakeConfirm,
            Self::Blink { .. } => InputKind::Blink,
            Self::ConfirmStation { .. } => InputKind::ConfirmStation,
            Self::RefuseStation { .. } => InputKind::RefuseStation,
            Self::Configuration { .. } => InputKind::Configuration,
            Self::ConfigurationRefused { .. } => InputKind::ConfigurationRefused,
            Self::By(_, message) => message.kind(),
            Self::Junk { .. } => InputKind::Junk,
            Self::Tested(_) => InputKind::Tested,
            Self::CommitAnswered(_) => InputKind::CommitAnswered,
            Self::OutcomeAnswered(_) => InputKind::OutcomeAnswered,
            Self::Timeout => InputKind::Timeout,
        }
    }
}

/// The states an input may lead to, besides staying where it is.
#[must_use]
pub const fn successors(from: StateKind, input: InputKind) -> &'static [StateKind] {
    use StateKind as S;
    const STAY: &[S] = &[];
    const WINDOW: &[S] = &[S::ReadyToPair];
    const FAILED: &[S] = &[S::Provisioned, S::Error];
    const BACK: &[S] = &[S::NotProvisioned, S::Provisioned, S::Deprovisioned];
    const BASE: &[S] = &[S::NotProvisioned, S::Deprovisioned];
    match input {
        InputKind::Enter | InputKind::Migrate => match from {
            S::NotProvisioned | S::Error | S::Deprovisioned => WINDOW,
            S::ReadyToPair
            | S::Pairing
            | S::Configuring
            | S::Validating
            | S::InDoubt
            | S::Provisioned => STAY,
        },
        InputKind::Reprovision => match from {
            S::Provisioned => WINDOW,
            S::NotProvisioned
            | S::ReadyToPair
            | S::Pairing
            | S::Configuring
            | S::Validating
            | S::InDoubt
            | S::Error
            | S::Deprovisioned => STAY,
        },
        InputKind::Retry => match from {
            S::Provisioned | S::Error => WINDOW,
            S::NotProvisioned
            | S::ReadyToPair
            | S::Pairing
            | S::Configuring
            | S::Validating
            | S::InDoubt
            | S::Deprovisioned => STAY,
        },
        InputKind::Regenerate => match from {
            S::ReadyToPair => WINDOW,
            S::NotProvisioned
            | S::Pairing
            | S::Configuring
            | S::Validating
            | S::InDoubt
            | S::Provisioned
            | S::Error
            | S::Deprovisioned => STAY,
        },
        InputKind::ListenerFailed => match from {
            S::ReadyToPair | S::Pairing => FAILED,
            S::NotProvisioned
            | S::Configuring
            | S::Validating
            | S::InDoubt
            | S::Provisioned
            | S::Error
            | S::Deprovisioned => STAY,
        },
        InputKind::Exit | InputKind::Reset => match from {
            S::ReadyToPair | S::Pairing | S::Configuring | S::Validating => BACK,
            S::Error => BASE,
            S::NotProvisioned | S::InDoubt | S::Provisioned | S::Deprovisioned => STAY,
        },
        InputKind::Deprovision => match from {
            S::Provisioned | S::ReadyToPair | S::Pairing | S::Configuring | S::Validating => {
                &[S::Deprovisioned]
            }
            S::NotProvisioned | S::InDoubt | S::Error | S::Deprovisioned => STAY,
        },
        InputKind::FactoryReset => match from {
            S::NotProvisioned => STAY,
            S::ReadyToPair
            | S::Pairing
            | S::Configuring
            | S::Validating
            | S::InDoubt
            | S::Provisioned
            | S::Error
            | S::Deprovisioned => &[S::NotProvisioned],
        },
        InputKind::SessionOpen | InputKind::PakeConfirm => match from {
            S::ReadyToPair => &[S::Pairing],
            S::NotProvisioned
            | S::Pairing
            | S::Configuring
            | S::Validating
            | S::InDoubt
            | S::Provisioned
            | S::Error
            | S::Deprovisioned => STAY,
        },
        InputKind::Pulled => match from {
            S::Provisioned => &[S::Pairing],
            S::NotProvisioned
            | S::ReadyToPair
            | S::Pairing
            | S::Configuring
            | S::Validating
            | S::InDoubt
            | S::Error
            | S::Deprovisioned => STAY,
        },
        InputKind::Fetched => match from {
            S::Pairing => &[S::Configuring, S::Provisioned],
            S::NotProvisioned
            | S::ReadyToPair
            | S::Configuring
            | S::Validating
            | S::InDoubt
            | S::Provisioned
            | S::Error
            | S::Deprovisioned => STAY,
        },
        InputKind::ConfirmStation => match from {
            S::Pairing => &[S::Configuring],
            S::NotProvisioned
            | S::ReadyToPair
            | S::Configuring
            | S::Validating
            | S::InDoubt
            | S::Provisioned
            | S::Error
            | S::Deprovisioned => STAY,
        },
        InputKind::RefuseStation => match from {
            S::Pairing => FAILED,
            S::NotProvisioned
            | S::ReadyToPair
            | S::Configuring
            | S::Validating
            | S::InDoubt
            | S::Provisioned
            | S::Error
            | S::Deprovisioned => STAY,
        },
        InputKind::Configuration => match from {
            S::Pairing => &[S::Configuring, S::Provisioned, S::Error],
            S::NotProvisioned
            | S::ReadyToPair
            | S::Configuring
            | S::Validating
            | S::InDoubt
            | S::Provisioned
            | S::Error
            | S::Deprovisioned => STAY,
        },
        InputKind::Tested => match from {
            S::Validating => &[S::InDoubt, S::Provisioned, S::Error],
            S::NotProvisioned
            | S::ReadyToPair
            | S::Pairing
            | S::Configuring
            | S::InDoubt
            | S::Provisioned
            | S::Error
            | S::Deprovisioned => STAY,
        },
        InputKind::CommitAnswered | InputKind::OutcomeAnswered => match from {
            S::InDoubt => FAILED,
            S::NotProvisioned
            | S::ReadyToPair
            | S::Pairing
            | S::Configuring
            | S::Validating
            | S::Provisioned
            | S::Error
            | S::Deprovisioned => STAY,
        },
        InputKind::Timeout => match from {
            S::ReadyToPair | S::Validating => FAILED,
            S::Pairing => &[S::ReadyToPair, S::Provisioned, S::Error],
            S::Configuring => &[S::Validating],
            S::NotProvisioned | S::InDoubt | S::Provisioned | S::Error | S::Deprovisioned => STAY,
        },
        InputKind::EnterRefused
        | InputKind::OverrideInterlock
        | InputKind::Erased
        | InputKind::RetireAnswered
        | InputKind::PostponeMigration
        | InputKind::MigrationRefused
        | InputKind::LinkProven
        | InputKind::LinkExpired
        | InputKind::ManualRemoved
        | InputKind::ListenerOpened
        | InputKind::Announce
        | InputKind::Renew
        | InputKind::AskWindow
        | InputKind::PakeStart
        | InputKind::Blink
        | InputKind::ConfigurationRefused
        | InputKind::Junk => STAY,
    }
}

/// The table and the diagram as the Markdown of this crate's `STATES.md`.
#[must_use]
pub fn transition_table() -> String {
    let mut text = String::from(HEAD);
    text.push_str("| input \\ state |");
    for state in StateKind::ALL {
        text.push_str(&format!(" {} |", state.as_str()));
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(StateKind::ALL.len()));
    text.push('\n');
    for input in InputKind::ALL {
        text.push_str(&format!("| `{}` |", input.as_str()));
        for state in StateKind::ALL {
            let next: Vec<_> = successors(*state, *input).iter().map(|s| s.as_str()).collect();
            let cell = if next.is_empty() { String::from("·") } else { next.join(", ") };
            text.push_str(&format!(" {cell} |"));
        }
        text.push('\n');
    }
    text.push_str(DIAGRAM_HEAD);
    for from in StateKind::ALL {
        for to in StateKind::ALL {
            let inputs: Vec<_> = InputKind::ALL
                .iter()
                .filter(|input| successors(*from, **input).contains(to))
                .map(|input| input.as_str())
                .collect();
            if !inputs.is_empty() {
                let (from, to) = (from.as_str(), to.as_str());
                text.push_str(&format!("    {from} --> {to}: {}\n", inputs.join(", ")));
            }
        }
    }
    text.push_str("```\n");
    text
}

const HEAD: &str = "\
# States of the device machine

Rendered by `zmon_protocol::device::transition_table()`; a test compares. One cell names every state an
input may lead to from a state; `·` means that it stays, with the input refused, ignored or counted.
From `ReadyToPair` to `InDoubt` the public state is `Reprovisioning(phase)` while slot A lives, and every
failure leads to `Provisioned` with its `last_error`; without slot A it leads to `Error`. `InDoubt` is
publicly `Validating`: commit is marked sent, and only a signed answer of the station leads out (D13), or
the end of everything, `FactoryReset`, which tells the station.
A renewal (D23) asks from `Provisioned`, by `Renew`, when `Timeout` finds it due or when `LinkExpired` says
that it is, and stays there until `Pulled` brings the station's hello; in every other state a renewal that
falls due waits.
Without an anchor (D8) a `Configuration` that passed its checks stays in `Pairing`, in memory, until
`ConfirmStation`.

Three things run beside the states: statements about dead certificates that wait for their station (D21), the
erasure of a factory reset, during which every command is refused, and the migration of a manual configuration.

## Table

";

const DIAGRAM_HEAD: &str = "
## Diagram

```mermaid
stateDiagram-v2
    [*] --> NotProvisioned
    [*] --> Provisioned
    [*] --> InDoubt
    [*] --> Deprovisioned
";
