//! Exit codes, by class of outcome.

use std::process::ExitCode;

use zmon_domain::error::{Blame, ErrorCode, ErrorName, Step};

/// How a command ended, as its exit code tells a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitClass {
    /// 0: done.
    Ok,
    /// 2: the command line or a settings file is wrong; nothing was tried.
    Usage,
    /// 3: asked, and refused: by this program, the device or the station.
    Refused,
    /// 4: the other side could not be reached, or did not answer in time.
    Unreachable,
    /// 5: a file, database, key or audit chain of this side is missing, damaged or unsafe.
    Damaged,
}

impl ExitClass {
    /// The number the process ends with.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Unreachable => 4,
            Self::Damaged => 5,
        }
    }
}

impl From<ExitClass> for ExitCode {
    fn from(class: ExitClass) -> Self {
        Self::from(class.code())
    }
}

impl From<ErrorCode> for ExitClass {
    fn from(code: ErrorCode) -> Self {
        let is_network =
            matches!(code.name(), Some(ErrorName::NetworkError | ErrorName::ConnectionTestFailed));
        let is_own_ground = matches!(code.step(), Step::Start | Step::Store);
        match code.blame() {
            Blame::Environment if is_network => Self::Unreachable,
            Blame::Defect => Self::Damaged,
            // Something is to be done first: nothing is broken.
            Blame::Operator if matches!(code, ErrorCode::NotInitialised) => Self::Refused,
            Blame::Operator if matches!(code, ErrorCode::SettingsInvalid) => Self::Usage,
            Blame::Environment | Blame::Operator if is_own_ground => Self::Damaged,
            Blame::Environment
            | Blame::Operator
            | Blame::Malformed
            | Blame::Peer
            | Blame::Expired => Self::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_the_documented_numbers() {
        let all = [
            ExitClass::Ok,
            ExitClass::Usage,
            ExitClass::Refused,
            ExitClass::Unreachable,
            ExitClass::Damaged,
        ];
        assert_eq!(all.map(ExitClass::code), [0, 2, 3, 4, 5]);
    }

    #[test]
    fn classes_follow_the_blame_of_the_code() {
        let cases = [
            (ErrorCode::PairingCodeMismatch, ExitClass::Refused),
            (ErrorCode::NotPermitted, ExitClass::Refused),
            (ErrorCode::SessionReserved, ExitClass::Refused),
            (ErrorCode::AddressNotPermitted, ExitClass::Refused),
            (ErrorCode::DeviceUnreachable, ExitClass::Unreachable),
            (ErrorCode::StationUnreachable, ExitClass::Unreachable),
            (ErrorCode::Timeout, ExitClass::Unreachable),
            (ErrorCode::StorageCorrupt, ExitClass::Damaged),
            (ErrorCode::SchemaNewer, ExitClass::Damaged),
            (ErrorCode::KeyFileModeTooWide, ExitClass::Damaged),
            (ErrorCode::Internal, ExitClass::Damaged),
            (ErrorCode::NotInitialised, ExitClass::Refused),
            (ErrorCode::InterlockActive, ExitClass::Refused),
            (ErrorCode::SettingsInvalid, ExitClass::Usage),
        ];
        for (code, class) in cases {
            assert_eq!(ExitClass::from(code), class, "{code:?}");
        }
    }

    #[test]
    fn every_code_ends_a_command_with_a_failure() {
        for code in ErrorCode::ALL {
            assert_ne!(ExitClass::from(*code), ExitClass::Ok, "{code:?}");
        }
    }
}
