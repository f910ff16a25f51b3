//! The words that the table of errors is written in.

use core::{fmt, str::FromStr};

use super::FieldError;

macro_rules! words {
    ($(#[doc = $doc:literal])+ $name:ident, $field:literal { $($(#[doc = $variant_doc:literal])+ $variant:ident = $text:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[doc = $variant_doc])+ $variant,)+
        }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word used on the wire and in documents.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl FromStr for $name {
            type Err = FieldError;
            fn from_str(text: &str) -> Result<Self, FieldError> {
                let known = Self::ALL.iter().copied().find(|word| word.as_str() == text);
                known.ok_or(FieldError::new($field, "must be one of the words of the error table"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// The six errors of [W §7.1].
    ErrorName, "name" {
        /// QR code or pairing code expired.
        PairingCodeExpired = "pairing_code_expired",
        /// Pairing code not recognised or already used.
        InvalidPairingCode = "invalid_pairing_code",
        /// Configuration signature invalid or corrupted.
        ConfigurationValidationFailed = "configuration_validation_failed",
        /// Device cannot connect to the server with the new configuration.
        ConnectionTestFailed = "connection_test_failed",
        /// Certificates invalid or expired.
        CertificateValidationFailed = "certificate_validation_failed",
        /// Network connectivity issues during provisioning.
        NetworkError = "network_error",
    }
}

words! {
    /// What kind of cause it is: who has to act.
    Blame, "blame" {
        /// Bytes that break the grammar.
        Malformed = "malformed",
        /// A peer that breaks the protocol or cannot prove what it claims.
        Peer = "peer",
        /// Time ran out.
        Expired = "expired",
        /// A person asked for what is not possible or not allowed now.
        Operator = "operator",
        /// Network, disk, clock, policy: the surroundings.
        Environment = "environment",
        /// A defect of this software.
        Defect = "defect",
    }
}

words! {
    /// The step of a pairing or of its administration at which it failed.
    Step, "step" {
        /// Starting the program.
        Start = "start",
        /// Proving who the operator is.
        Authenticate = "authenticate",
        /// Entering or leaving provisioning mode.
        Enter = "enter",
        /// Showing the QR code and the pairing code.
        Display = "display",
        /// Scanning or typing the code on the tablet.
        Scan = "scan",
        /// Reaching the other side.
        Connect = "connect",
        /// Claiming the device with the code or token.
        Claim = "claim",
        /// Checking the device's identity.
        Identify = "identify",
        /// Issuing the certificate.
        Issue = "issue",
        /// Delivering the sealed configuration.
        Deliver = "deliver",
        /// Checking the configuration.
        Verify = "verify",
        /// Staging or installing the configuration.
        Apply = "apply",
        /// Testing the new connection.
        Test = "test",
        /// Committing the new certificate.
        Commit = "commit",
        /// Administering devices, operators or certificates.
        Administer = "administer",
        /// Reading or writing the database.
        Store = "store",
    }
}

words! {
    /// Where the cause lies.
    Side, "side" {
        /// On the monitor.
        Device = "device",
        /// On the Central Station.
        Station = "station",
        /// With the person.
        Operator = "operator",
        /// Between them.
        Network = "network",
    }
}
