//! The table of errors: one row per cause, no cell empty.

use core::{fmt, str::FromStr};

use super::{Blame, ErrorName, FieldError, Side, Step};

macro_rules! name {
    (-) => {
        None
    };
    ($name:ident) => {
        Some(ErrorName::$name)
    };
}

macro_rules! yes {
    (yes) => {
        true
    };
    (no) => {
        false
    };
}

struct Row {
    code: &'static str,
    name: Option<ErrorName>,
    blame: Blame,
    step: Step,
    side: Side,
    http_status: u16,
    retryable: bool,
    message: &'static str,
    next: &'static str,
}

macro_rules! errors {
    ($($variant:ident = $code:literal: $name:tt, $blame:ident, $step:ident, $side:ident, $status:literal, $retry:tt, $message:literal, $next:literal;)+) => {
        /// One cause of failure, by a name that never changes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $(#[doc = $message] $variant,)+
        }

        impl ErrorCode {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            const fn row(self) -> Row {
                match self {
                    $(Self::$variant => Row {
                        code: $code,
                        name: name!($name),
                        blame: Blame::$blame,
                        step: Step::$step,
                        side: Side::$side,
                        http_status: $status,
                        retryable: yes!($retry),
                        message: $message,
                        next: $next,
                    },)+
                }
            }
        }
    };
}

// variant = code: name in [W §7.1], blame, step, side, HTTP status, retryable, message, next action
errors! {
    // Under pairing_code_expired.
    PairingCodeExpired = "pairing_code_expired": PairingCodeExpired, Expired, Claim, Device, 410, no,
        "The pairing code has expired.",
        "Regenerate the QR code on the monitor and scan it again.";
    PairingTokenStale = "pairing_token_stale": PairingCodeExpired, Expired, Claim, Device, 410, no,
        "The scanned QR code is no longer the one on the screen.",
        "Scan the QR code that the monitor shows now.";
    // Under invalid_pairing_code.
    InvalidPairingCode = "invalid_pairing_code": InvalidPairingCode, Operator, Claim, Operator, 403, no,
        "The pairing code is not valid for this device.",
        "Compare the code with the monitor's screen and enter it again.";
    PairingCodeMalformed = "pairing_code_malformed": InvalidPairingCode, Malformed, Scan, Operator, 422, no,
        "This is not a pairing code.",
        "Enter the code as the monitor shows it, for example ABC-123-XYZ.";
    PairingCodeTypo = "pairing_code_typo": InvalidPairingCode, Operator, Scan, Operator, 422, no,
        "The pairing code is mistyped: one symbol is wrong or two are swapped.",
        "Compare the code with the monitor's screen and enter it again.";
    TypedTriesExhausted = "typed_tries_exhausted": InvalidPairingCode, Operator, Claim, Device, 409, no,
        "The pairing code has been tried too often and is void.",
        "Regenerate the code on the monitor and enter the new one.";
    PairingCodeConsumed = "pairing_code_consumed": InvalidPairingCode, Operator, Claim, Device, 409, no,
        "The pairing code has already been used.",
        "Regenerate the QR code on the monitor and scan it again.";
    PairingCodeMismatch = "pairing_code_mismatch": InvalidPairingCode, Peer, Verify, Station, 403, no,
        "The configuration carries another pairing code than this monitor's.",
        "Start the pairing again on the monitor.";
    PairingTokenMalformed = "pairing_token_malformed": InvalidPairingCode, Malformed, Scan, Operator, 422, no,
        "The pairing token is not one that a monitor makes.",
        "Scan the QR code on the monitor again.";
    PairingTokenInvalid = "pairing_token_invalid": InvalidPairingCode, Peer, Claim, Device, 403, no,
        "The pairing token was not made by this monitor in this window.",
        "Regenerate the QR code on the monitor and scan it again.";
    ClaimRefused = "claim_refused": InvalidPairingCode, Peer, Claim, Device, 403, no,
        "The device refused the request.",
        "Scan the QR code that the monitor shows now, or read the monitor's log.";
    ClaimMacInvalid = "claim_mac_invalid": InvalidPairingCode, Peer, Claim, Station, 403, no,
        "The station could not prove that it has read the QR code.",
        "Regenerate the QR code on the monitor and scan it again.";
    BlinkRefused = "blink_refused": InvalidPairingCode, Peer, Claim, Station, 403, no,
        "The request to blink does not belong to this pairing.",
        "Scan the monitor again.";
    SessionUnknown = "session_unknown": InvalidPairingCode, Peer, Claim, Station, 404, no,
        "There is no such pairing session.",
        "Start the pairing again on the monitor.";
    SessionBusy = "session_busy": InvalidPairingCode, Operator, Claim, Device, 409, no,
        "The device is already pairing in another session.",
        "Wait for the other session to end, or cancel it on the monitor.";
    SessionExpired = "session_expired": InvalidPairingCode, Expired, Claim, Device, 410, no,
        "The pairing session has ended.",
        "Start the pairing again on the monitor.";
    // Under configuration_validation_failed.
    EnvelopeMalformed = "envelope_malformed": ConfigurationValidationFailed, Malformed, Deliver, Station, 400, no,
        "The configuration envelope is damaged.",
        "Start the pairing again on the monitor.";
    EnvelopeMacInvalid = "envelope_mac_invalid": ConfigurationValidationFailed, Peer, Deliver, Station, 403, no,
        "The configuration envelope does not belong to this session.",
        "Start the pairing again on the monitor.";
    EnvelopeOpenFailed = "envelope_open_failed": ConfigurationValidationFailed, Peer, Deliver, Station, 403, no,
        "The configuration envelope cannot be opened.",
        "Start the pairing again on the monitor.";
    TooManyOpens = "too_many_opens": ConfigurationValidationFailed, Peer, Deliver, Station, 429, no,
        "Too many configuration envelopes could not be opened in this session.",
        "Start the pairing again on the monitor.";
    SignatureInvalid = "signature_invalid": ConfigurationValidationFailed, Peer, Verify, Station, 403, no,
        "The signature of the configuration is not valid.",
        "Do not use this station; call the administrator.";
    JwsMalformed = "jws_malformed": ConfigurationValidationFailed, Malformed, Verify, Station, 400, no,
        "A signed message is damaged.",
        "Start the pairing again on the monitor.";
    SchemaUnsupported = "schema_unsupported": ConfigurationValidationFailed, Environment, Verify, Station, 422, no,
        "The configuration has a form that this firmware does not know.",
        "Update the monitor's firmware or the station.";
    ConfigurationMalformed = "configuration_malformed": ConfigurationValidationFailed, Malformed, Verify, Station, 422, no,
        "The configuration breaks a rule.",
        "Correct the named field on the station and pair again.";
    SessionMismatch = "session_mismatch": ConfigurationValidationFailed, Peer, Verify, Station, 409, no,
        "The configuration was made for another session.",
        "Start the pairing again on the monitor.";
    DeviceMismatch = "device_mismatch": ConfigurationValidationFailed, Peer, Verify, Station, 409, no,
        "The message was made for another device.",
        "Check that the scanned monitor is the intended one and pair again.";
    ConfigurationExpired = "configuration_expired": ConfigurationValidationFailed, Expired, Verify, Station, 410, no,
        "The configuration has expired.",
        "Check the clocks of station and monitor and pair again.";
    ConfigurationReplayed = "configuration_replayed": ConfigurationValidationFailed, Peer, Deliver, Station, 409, no,
        "This configuration was delivered before.",
        "Start the pairing again on the monitor.";
    HelloMalformed = "hello_malformed": ConfigurationValidationFailed, Malformed, Claim, Station, 400, no,
        "The station's hello is damaged.",
        "Update the station, or call the administrator.";
    HelloStale = "hello_stale": ConfigurationValidationFailed, Expired, Claim, Station, 410, no,
        "The station's hello is too old or from the future.",
        "Check the clocks of station and monitor and pair again.";
    SuiteUnsupported = "suite_unsupported": ConfigurationValidationFailed, Environment, Identify, Device, 422, no,
        "The other side uses a kind of key that is not supported here.",
        "Update the monitor's firmware or the station.";
    StationKeyNotAllowed = "station_key_not_allowed": ConfigurationValidationFailed, Operator, Identify, Device, 409, no,
        "The station makes the client keys, and this monitor does not take its key from a station.",
        "Set station_made_keys alike on station and monitor, then pair again.";
    StationKeyNotOffered = "station_key_not_offered": ConfigurationValidationFailed, Operator, Identify, Station, 409, no,
        "The monitor takes its client key from the station, and this station makes none.",
        "Set station_made_keys alike on station and monitor, then pair again.";
    ProximityNotAllowed = "proximity_not_allowed": ConfigurationValidationFailed, Operator, Identify, Station, 403, no,
        "The monitor holds no anchor, and this station serves anchored monitors only.",
        "Lay the hospital's anchor down on the monitor, or let an administrator allow proximity on the station.";
    ProximityNeedsScan = "proximity_needs_scan": ConfigurationValidationFailed, Operator, Claim, Device, 403, no,
        "A monitor without an anchor cannot be paired by a typed code.",
        "Scan the QR code that the monitor shows.";
    // Under certificate_validation_failed.
    StationNotAnchored = "station_not_anchored": CertificateValidationFailed, Peer, Verify, Station, 403, no,
        "The station's certificate does not lead to an anchor of this monitor.",
        "Check that this is your hospital's station; an administrator can import its anchor.";
    SigningProfileViolation = "signing_profile_violation": CertificateValidationFailed, Peer, Verify, Station, 403, no,
        "The station's certificate may not sign configurations.",
        "Call the administrator of the station.";
    SiteMismatch = "site_mismatch": CertificateValidationFailed, Peer, Verify, Station, 403, no,
        "The station belongs to another site than the monitor's anchor.",
        "Pair with a station of this site.";
    SigningCertificateExpired = "signing_certificate_expired": CertificateValidationFailed, Expired, Verify, Station, 403, no,
        "The station's signing certificate is not valid now.",
        "Check the clocks, then renew the station's signing certificate.";
    SigningCertificateRolledBack = "signing_certificate_rolled_back": CertificateValidationFailed, Peer, Verify, Station, 403, no,
        "The station uses an older signing certificate than the monitor has seen.",
        "Renew the station's signing certificate; find out who holds the old one.";
    ClientCertificateInvalid = "client_certificate_invalid": CertificateValidationFailed, Peer, Verify, Station, 422, no,
        "The client certificate in the configuration is not valid.",
        "Call the administrator of the station.";
    ClientKeyMismatch = "client_key_mismatch": CertificateValidationFailed, Peer, Verify, Station, 422, no,
        "The client certificate does not belong to the monitor's key.",
        "Start the pairing again on the monitor.";
    CertificateExpired = "certificate_expired": CertificateValidationFailed, Expired, Connect, Device, 403, no,
        "A certificate is expired or not valid yet.",
        "Check the clocks, then re-provision the monitor.";
    CertificateRevoked = "certificate_revoked": CertificateValidationFailed, Operator, Connect, Device, 403, no,
        "The device's certificate has been revoked.",
        "Re-provision the monitor.";
    CertificateNotExpired = "certificate_not_expired": CertificateValidationFailed, Peer, Connect, Device, 409, no,
        "The device's certificate has not expired, so there is nothing to recover.",
        "Check the monitor's clock, then renew the certificate instead.";
    RecoveryUnavailable = "recovery_unavailable": CertificateValidationFailed, Environment, Connect, Station, 403, no,
        "An expired certificate may not be recovered here.",
        "Re-provision the monitor, or let an administrator allow recovery on station and monitor.";
    RecoveryReplayed = "recovery_replayed": CertificateValidationFailed, Peer, Connect, Device, 409, no,
        "This request for recovery, or a later one, was used before.",
        "Renew the certificate again on the monitor; if nobody repeated a request, call the administrator.";
    EnrolmentUnavailable = "enrolment_unavailable": CertificateValidationFailed, Environment, Connect, Station, 403, no,
        "The station gives this device no certificate by enrolment: it may not, or the device was not paired with its present key.",
        "Pair the monitor, or let an administrator allow enrolment on the station.";
    ServerUntrusted = "server_untrusted": CertificateValidationFailed, Peer, Test, Station, 502, no,
        "The server's certificate was not issued by the authority that the configuration names.",
        "Check the server URL; if the server's authority was renewed, re-provision the monitor.";
    ServerCertificateExpired = "server_certificate_expired": CertificateValidationFailed, Expired, Test, Station, 502, no,
        "The server's certificate is expired or not valid yet.",
        "Check the clocks, then renew the server's certificate.";
    SimulatedCertificate = "simulated_certificate": CertificateValidationFailed, Peer, Verify, Station, 403, no,
        "The certificate was made by a simulated station.",
        "Pair with a real station; a simulated one serves development only.";
    ServerPinMismatch = "server_pin_mismatch": CertificateValidationFailed, Peer, Test, Station, 502, no,
        "The server has another key than the configuration pins.",
        "Check the server URL; if the server's key was renewed, re-provision the monitor.";
    DeviceKeyMismatch = "device_key_mismatch": CertificateValidationFailed, Peer, Identify, Device, 403, no,
        "The device has another key than the QR code or the registry says.",
        "Check that the scanned monitor is the intended one and call the administrator.";
    FactoryChainMissing = "factory_chain_missing": CertificateValidationFailed, Operator, Identify, Device, 403, no,
        "The monitor shows no certificate of its manufacturer.",
        "Import the device's manifest row, or lay its factory chain down on the monitor, then pair again.";
    FactoryChainInvalid = "factory_chain_invalid": CertificateValidationFailed, Peer, Identify, Device, 403, no,
        "The monitor's factory certificate does not lead to a manufacturer that this station trusts.",
        "Check that the monitor is genuine; an administrator can import its manifest row.";
    FactoryCertificateExpired = "factory_certificate_expired": CertificateValidationFailed, Expired, Identify, Device, 403, no,
        "The monitor's factory certificate is expired or not valid yet.",
        "Check the station's clock; an administrator can import the monitor's manifest row.";
    FactoryDeviceMismatch = "factory_device_mismatch": CertificateValidationFailed, Peer, Identify, Device, 403, no,
        "The monitor's factory certificate is another device's.",
        "Call the administrator: this monitor is not what it says.";
    FactoryKeyMismatch = "factory_key_mismatch": CertificateValidationFailed, Peer, Identify, Device, 403, no,
        "The monitor's factory certificate is for another key.",
        "Lay the factory chain of the monitor's present key down, or import its manifest row.";
    IdentityInvalid = "identity_invalid": CertificateValidationFailed, Peer, Identify, Device, 403, no,
        "The device could not prove its identity.",
        "Scan the QR code again; if it fails again, call the administrator.";
    CsrInvalid = "csr_invalid": CertificateValidationFailed, Peer, Identify, Device, 422, no,
        "The device's certificate request is not valid.",
        "Update the monitor's firmware and pair again.";
    ClientKeyUnreadable = "client_key_unreadable": CertificateValidationFailed, Peer, Verify, Station, 422, no,
        "The client key in the configuration cannot be opened.",
        "Start the pairing again on the monitor.";
    // Under connection_test_failed.
    ConnectionTestFailed = "connection_test_failed": ConnectionTestFailed, Environment, Test, Network, 502, yes,
        "The monitor cannot connect to the station with the new configuration.",
        "Check the server URL and the network between monitor and station, then retry.";
    ConnectionRefusedByStation = "connection_refused_by_station": ConnectionTestFailed, Peer, Test, Station, 403, no,
        "The station refused the new connection.",
        "Read the station's log, then pair again.";
    CommitAborted = "commit_aborted": ConnectionTestFailed, Peer, Commit, Station, 409, no,
        "The station has aborted this pairing.",
        "Start the pairing again on the monitor.";
    // Under network_error.
    NetworkError = "network_error": NetworkError, Environment, Connect, Network, 502, yes,
        "The network failed during provisioning.",
        "Check the network connection, then retry.";
    DeviceUnreachable = "device_unreachable": NetworkError, Environment, Connect, Network, 502, yes,
        "The station cannot reach the device.",
        "Check that the monitor shows its QR code and is on the network, then scan again, or send a courier.";
    DeviceNotRunning = "device_not_running": NetworkError, Environment, Connect, Device, 502, yes,
        "No device program answers on this machine.",
        "Start the device, or name the directory in which it runs.";
    StationUnreachable = "station_unreachable": NetworkError, Environment, Connect, Network, 502, yes,
        "The monitor cannot reach the station.",
        "Check the server URL and the network, then retry.";
    Timeout = "timeout": NetworkError, Environment, Connect, Network, 504, yes,
        "The other side did not answer in time.",
        "Check the network connection, then retry.";
    AddressNotPermitted = "address_not_permitted": NetworkError, Operator, Scan, Station, 422, no,
        "The device's address lies outside the networks or ports that the station may use.",
        "Check the address in the QR code, send a courier, or let the administrator add the network.";
    // Without a name: operation.
    NotInProvisioningMode = "not_in_provisioning_mode": -, Operator, Display, Device, 409, no,
        "The monitor is not in provisioning mode.",
        "Enter provisioning mode on the monitor first.";
    AlreadyInProvisioningMode = "already_in_provisioning_mode": -, Operator, Enter, Device, 409, no,
        "The monitor is already in provisioning mode.",
        "Use the QR code on the screen, or cancel first.";
    NotPermitted = "not_permitted": -, Operator, Authenticate, Operator, 403, no,
        "Your role does not permit this.",
        "Ask someone with the needed role.";
    AuthenticationFailed = "authentication_failed": -, Operator, Authenticate, Operator, 401, no,
        "Name or secret is wrong.",
        "Check both and try again.";
    AuthenticationLocked = "authentication_locked": -, Operator, Authenticate, Operator, 429, yes,
        "Too many wrong attempts; this account waits.",
        "Wait, then try again.";
    ProofExpired = "proof_expired": -, Expired, Authenticate, Operator, 401, no,
        "Your authentication has expired.",
        "Authenticate again.";
    PasswordChangeRequired = "password_change_required": -, Operator, Authenticate, Operator, 403, no,
        "This password was made for you and opens nothing but its own change.",
        "Set a password of your own: zmon operator password.";
    PinTooWeak = "pin_too_weak": -, Operator, Authenticate, Operator, 422, no,
        "The new PIN or password is too weak.",
        "Choose a longer one that is not a simple sequence.";
    InterlockActive = "interlock_active": -, Environment, Enter, Device, 409, yes,
        "The monitor is in clinical use.",
        "Wait until no patient is admitted and no alarm is active, or let an administrator override.";
    SimulationUnavailable = "simulation_unavailable": -, Environment, Enter, Device, 501, no,
        "This build cannot simulate a provisioning.",
        "Use a development build.";
    SimulatedConfiguration = "simulated_configuration": -, Operator, Start, Device, 409, no,
        "The stored configuration is a simulated one and this run is not, or the other way round.",
        "Start the monitor as it was started when it was configured, or initialise a new directory.";
    StateConflict = "state_conflict": -, Operator, Enter, Device, 409, no,
        "This is not possible in the present state.",
        "Look at the state on the screen and choose one of its actions.";
    NoOperators = "no_operators": -, Operator, Authenticate, Device, 409, no,
        "There is no operator on this monitor yet.",
        "Make the first administrator: zmon device operator first.";
    ConfirmationMismatch = "confirmation_mismatch": -, Operator, Administer, Operator, 422, no,
        "What was typed to confirm is not this device's identifier.",
        "Type the device identifier exactly as the screen shows it.";
    AnchorInvalid = "anchor_invalid": -, Operator, Administer, Operator, 422, no,
        "The certificate cannot be an anchor of this monitor.",
        "Take the anchor.pem of the station's site; the detail says what is wrong with this one.";
    AnchorFingerprintMismatch = "anchor_fingerprint_mismatch": -, Operator, Administer, Operator, 422, no,
        "The certificate has another fingerprint than the one that was confirmed.",
        "Compare the fingerprint with the one that the station's administrator names, and take the right file.";
    ErasePending = "erase_pending": -, Environment, Administer, Device, 409, yes,
        "The monitor is being erased.",
        "Wait until it is done; if it does not end, read the monitor's log.";
    ManualConfigurationMissing = "manual_configuration_missing": -, Operator, Enter, Device, 409, no,
        "There is no manual configuration on this monitor.",
        "Enter provisioning mode without it.";
    ManualConfigurationInvalid = "manual_configuration_invalid": -, Operator, Enter, Device, 422, no,
        "The manual configuration is not whole or not valid.",
        "Correct the named file, or enter provisioning mode without migrating.";
    Cancelled = "cancelled": -, Operator, Enter, Operator, 409, no,
        "The pairing was cancelled.",
        "Start the pairing again on the monitor.";
    ProximityWithAnchor = "proximity_with_anchor": -, Operator, Enter, Device, 409, no,
        "The monitor is set to trust by proximity, and it holds an anchor.",
        "Remove proximity from the monitor's settings: an anchor needs no confirmation.";
    ProximityRefused = "proximity_refused": -, Operator, Verify, Operator, 409, no,
        "The operator at the monitor did not confirm the station.",
        "If the words differed, call the administrator: somebody is between station and monitor.";
    ProximityTimedOut = "proximity_timed_out": -, Expired, Verify, Operator, 410, no,
        "Nobody confirmed the station at the monitor in time.",
        "Start the pairing again, and compare the four words at the monitor.";
    WordsMismatch = "words_mismatch": -, Operator, Verify, Operator, 422, no,
        "These are not the four words of this pairing.",
        "Type the words that the station shows; if they differ from the monitor's, refuse the station.";
    SessionReserved = "session_reserved": -, Operator, Scan, Station, 409, no,
        "Another operator is pairing this device.",
        "Ask the operator named here, or wait until the reservation ends.";
    BatchUnknown = "batch_unknown": -, Operator, Scan, Station, 404, no,
        "There is no such batch.",
        "List the batches and choose one of them.";
    BatchPaused = "batch_paused": -, Operator, Scan, Station, 409, no,
        "The batch is paused.",
        "Resume the batch, then scan the monitor again.";
    BatchClosed = "batch_closed": -, Operator, Scan, Station, 409, no,
        "The batch is closed.",
        "Open a new batch for the monitors that are left.";
    DeviceNotInBatch = "device_not_in_batch": -, Operator, Scan, Station, 409, no,
        "The device is not in this batch.",
        "Compare the monitor with the manifest of the batch.";
    DeviceInOtherBatch = "device_in_other_batch": -, Operator, Scan, Station, 409, no,
        "The device is in another open batch.",
        "Scan it for that batch, or close that batch first.";
    BatchItemTaken = "batch_item_taken": -, Operator, Scan, Station, 409, no,
        "This device was scanned for this batch before.",
        "Look at its item in the batch: wait for it, or retry it if it has failed.";
    ListenerFailed = "listener_failed": -, Environment, Enter, Device, 503, yes,
        "The monitor cannot open its provisioning port.",
        "Check the configured ports, then retry.";
    DeviceFailed = "device_failed": -, Environment, Connect, Device, 502, yes,
        "The device could not do its part because of a fault of its own.",
        "Read the monitor's log and mend it, then retry.";
    StationFailed = "station_failed": -, Environment, Connect, Station, 502, yes,
        "The station could not do its part because of a fault of its own.",
        "Read the station's log and mend it, then retry.";
    // Without a name: storage and keys.
    AuditUnavailable = "audit_unavailable": -, Environment, Store, Device, 503, yes,
        "The audit log cannot be written, so nothing was done.",
        "Free disk space or repair the database, then retry.";
    StorageUnavailable = "storage_unavailable": -, Environment, Store, Device, 503, yes,
        "The database cannot be read or written.",
        "Check disk space and file modes, then retry.";
    StorageCorrupt = "storage_corrupt": -, Environment, Store, Device, 500, no,
        "The database is damaged.",
        "Keep a copy for analysis, then restore a backup or initialise again.";
    SchemaNewer = "schema_newer": -, Operator, Start, Device, 500, no,
        "The database was written by a newer version.",
        "Start the newer version, or restore an older backup.";
    StationSetBack = "station_set_back": -, Environment, Start, Station, 500, no,
        "The station's database is older than what the station had written before.",
        "Put the newer database back, or restore a backup with zmon station restore; if the rest is lost, zmon station accept.";
    KeyStoreUnavailable = "key_store_unavailable": -, Environment, Start, Device, 500, no,
        "The key store cannot be used.",
        "Check the key files and their directory.";
    KeyFileModeTooWide = "key_file_mode_too_wide": -, Operator, Start, Device, 500, no,
        "A key file or its directory can be read by others.",
        "Set the file's mode to 0600 and its directory's to 0700; if others may have read it, make new keys.";
    KeyFileIsSymlink = "key_file_is_symlink": -, Operator, Start, Device, 500, no,
        "A key file is not a regular file.",
        "Put the file itself in its place.";
    CourierUnavailable = "courier_unavailable": -, Operator, Enter, Device, 409, no,
        "This monitor has no folder for a courier, or it cannot be used.",
        "Let the administrator name a folder in the monitor's settings, or check the medium.";
    NothingToCarry = "nothing_to_carry": -, Operator, Connect, Operator, 404, no,
        "There is no message to carry.",
        "Fetch the next message on the other side first.";
    NotInitialised = "not_initialised": -, Operator, Start, Operator, 409, no,
        "The directory has not been initialised.",
        "Run the init command first.";
    SettingsInvalid = "settings_invalid": -, Operator, Start, Operator, 422, no,
        "The configuration file or a flag breaks a rule.",
        "Correct the named setting and start again.";
    // Without a name: registry and administration.
    DeviceUnknown = "device_unknown": -, Operator, Identify, Station, 404, no,
        "The device is not in the registry.",
        "Import the device's manifest row, then pair again.";
    DeviceDecommissioned = "device_decommissioned": -, Operator, Identify, Station, 409, no,
        "The device has been taken out of service.",
        "Let an administrator put it back into service.";
    DeviceKeyConflict = "device_key_conflict": -, Peer, Identify, Device, 409, no,
        "This device or serial number is known under another key.",
        "Call the administrator: one of the two devices is not what it says.";
    AuditCheckpointInvalid = "audit_checkpoint_invalid": -, Peer, Identify, Device, 403, no,
        "The audit checkpoint was not made by the one who sent it.",
        "Call the administrator: do not use this device or station before it has been examined.";
    AuditRolledBack = "audit_rolled_back": -, Peer, Identify, Device, 409, no,
        "The audit log has lost or changed rows that it had shown before.",
        "Call the administrator: the device or station was set back or copied; examine it first.";
    OperatorUnknown = "operator_unknown": -, Operator, Administer, Operator, 404, no,
        "There is no such operator.",
        "Check the name.";
    OperatorExists = "operator_exists": -, Operator, Administer, Operator, 409, no,
        "An operator of this name exists already.",
        "Choose another name.";
    LastAdministrator = "last_administrator": -, Operator, Administer, Operator, 409, no,
        "The only administrator cannot be removed.",
        "Add another administrator first.";
    CertificateUnknown = "certificate_unknown": -, Operator, Administer, Operator, 404, no,
        "There is no certificate with this serial number.",
        "Check the serial number in the list of certificates.";
    PreconditionFailed = "precondition_failed": -, Operator, Administer, Operator, 412, no,
        "What was to be changed has been changed by somebody else meanwhile.",
        "Look at it again, then repeat the change if it is still right.";
    // Without a name: requests.
    IdempotencyConflict = "idempotency_conflict": -, Peer, Deliver, Station, 409, no,
        "The same message identifier was used for another message.",
        "Start the pairing again on the monitor.";
    RequestMalformed = "request_malformed": -, Malformed, Connect, Operator, 400, no,
        "The request breaks a rule.",
        "Correct the named field and send the request again.";
    RequestTooLarge = "request_too_large": -, Malformed, Connect, Operator, 413, no,
        "The request is too large.",
        "Send less at a time.";
    RouteUnknown = "route_unknown": -, Malformed, Connect, Operator, 404, no,
        "There is no such address on this server.",
        "Check the path of the request.";
    MethodNotAllowed = "method_not_allowed": -, Malformed, Connect, Operator, 405, no,
        "The address does not take this method.",
        "Check the method of the request.";
    MediaTypeUnsupported = "media_type_unsupported": -, Malformed, Connect, Operator, 415, no,
        "The request has a content type that is not taken here.",
        "Send application/json, or what the documentation says.";
    TooManyRequests = "too_many_requests": -, Environment, Connect, Operator, 429, yes,
        "Too many requests at a time.",
        "Wait a little, then retry.";
    Internal = "internal": -, Defect, Store, Device, 500, no,
        "An internal error occurred.",
        "Report it with the log; the state was not changed.";
}

impl ErrorCode {
    /// The stable code, in snake case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().code
    }

    /// Which of the six errors of [W §7.1] it belongs to; none for what concerns operation and
    /// administration.
    #[must_use]
    pub const fn name(self) -> Option<ErrorName> {
        self.row().name
    }

    /// What kind of cause it is.
    #[must_use]
    pub const fn blame(self) -> Blame {
        self.row().blame
    }

    /// The step that failed.
    #[must_use]
    pub const fn step(self) -> Step {
        self.row().step
    }

    /// Whether the cause lies with whoever reports it: its own files, keys, database or program. Its
    /// [`side`](Self::side) is then the device's unless the report says otherwise.
    #[must_use]
    pub const fn is_own_ground(self) -> bool {
        matches!(self.step(), Step::Start | Step::Store) && matches!(self.side(), Side::Device)
    }

    /// What the code of a peer on side `peer` is called on this one. What went wrong on the peer's own
    /// ground is nobody's full disk here: it has a code of its own.
    #[must_use]
    pub const fn of_peer(self, peer: Side) -> Self {
        match peer {
            Side::Station if self.is_own_ground() => Self::StationFailed,
            Side::Device if self.is_own_ground() => Self::DeviceFailed,
            Side::Station | Side::Device | Side::Operator | Side::Network => self,
        }
    }

    /// Where the cause lies.
    #[must_use]
    pub const fn side(self) -> Side {
        self.row().side
    }

    /// What happened, as one sentence.
    #[must_use]
    pub const fn message(self) -> &'static str {
        self.row().message
    }

    /// What a person should do next, as one sentence.
    #[must_use]
    pub const fn next(self) -> &'static str {
        self.row().next
    }

    /// The HTTP status that carries it.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        self.row().http_status
    }

    /// Whether the same request may succeed when it is simply repeated.
    #[must_use]
    pub const fn retryable(self) -> bool {
        self.row().retryable
    }
}

impl FromStr for ErrorCode {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        let known = Self::ALL.iter().copied().find(|code| code.as_str() == text);
        known.ok_or(FieldError::new("code", "must be a known error code"))
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use alloc::{
        collections::BTreeSet,
        format,
        string::{String, ToString},
    };

    use super::*;

    fn snake_case(name: &str) -> String {
        let mut text = String::new();
        for c in name.chars() {
            if c.is_ascii_uppercase() && !text.is_empty() {
                text.push('_');
            }
            text.push(c.to_ascii_lowercase());
        }
        text
    }

    #[test]
    fn codes_are_unique_and_the_snake_case_of_their_variant() {
        let mut seen = BTreeSet::new();
        for code in ErrorCode::ALL {
            assert_eq!(code.as_str(), snake_case(&format!("{code:?}")));
            assert!(seen.insert(code.as_str()), "{code}");
        }
    }

    #[test]
    fn no_cell_is_empty_and_sentences_are_sentences() {
        for code in ErrorCode::ALL {
            for sentence in [code.message(), code.next()] {
                assert!(sentence.len() > 10 && sentence.ends_with('.'), "{code}");
                assert!(sentence.starts_with(|c: char| c.is_uppercase()), "{code}");
            }
            assert!((400..=599).contains(&code.http_status()), "{code}");
            assert!(!code.blame().as_str().is_empty());
            assert!(!code.step().as_str().is_empty());
            assert!(!code.side().as_str().is_empty());
        }
    }

    #[test]
    fn the_six_names_are_those_of_the_document_and_each_has_codes() {
        let names = ErrorName::ALL.iter().map(|name| name.as_str());
        let expected = [
            "pairing_code_expired",
            "invalid_pairing_code",
            "configuration_validation_failed",
            "connection_test_failed",
            "certificate_validation_failed",
            "network_error",
        ];
        assert!(names.eq(expected));
        for name in ErrorName::ALL {
            assert!(ErrorCode::ALL.iter().any(|code| code.name() == Some(*name)), "{name}");
        }
    }

    #[test]
    fn only_what_may_pass_is_retried() {
        for code in ErrorCode::ALL.iter().filter(|code| code.retryable()) {
            assert!(matches!(code.blame(), Blame::Environment | Blame::Operator), "{code}");
        }
        for code in
            [ErrorCode::SignatureInvalid, ErrorCode::StationNotAnchored, ErrorCode::ClaimMacInvalid]
        {
            assert!(!code.retryable());
        }
    }

    #[test]
    fn a_peers_own_ground_is_not_ours() {
        for code in ErrorCode::ALL {
            for (peer, failed) in
                [(Side::Station, ErrorCode::StationFailed), (Side::Device, ErrorCode::DeviceFailed)]
            {
                let expected = if code.is_own_ground() { failed } else { *code };
                assert_eq!(code.of_peer(peer), expected);
                assert_eq!(failed.side(), peer);
            }
        }
        assert!(
            ErrorCode::StorageUnavailable.is_own_ground() && ErrorCode::Internal.is_own_ground()
        );
        assert!(!ErrorCode::SettingsInvalid.is_own_ground());
    }

    #[test]
    fn texts_round_trip() {
        for code in ErrorCode::ALL {
            assert_eq!(code.to_string().parse(), Ok(*code));
        }
        assert_eq!("Internal".parse::<ErrorCode>().unwrap_err().field(), "code");
        for word in Blame::ALL {
            assert_eq!(word.to_string().parse(), Ok(*word));
        }
        for word in Step::ALL {
            assert_eq!(word.to_string().parse(), Ok(*word));
        }
        for word in Side::ALL {
            assert_eq!(word.to_string().parse(), Ok(*word));
        }
        for word in ErrorName::ALL {
            assert_eq!(word.to_string().parse(), Ok(*word));
        }
        assert_eq!("nobody".parse::<Blame>().unwrap_err().field(), "blame");
    }

    #[test]
    fn the_uniform_refusal_is_a_403() {
        assert_eq!(ErrorCode::ClaimRefused.http_status(), 403);
    }
}
