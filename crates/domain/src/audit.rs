//! Event types and events of the audit log ([W §12.1], D16).

use alloc::{string::String, vec::Vec};
use core::{fmt, str::FromStr};

use crate::{
    error::{ErrorCode, FieldError},
    ids::{DeviceId, SessionId},
    role::Actor,
};

macro_rules! event_types {
    (nine { $($(#[doc = $nine_doc:literal])+ $nine:ident = $nine_text:literal,)+ }
     further { $($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+ }) => {
        /// What happened. The names are stored and exported: they never change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum EventType {
            $($(#[doc = $nine_doc])+ $nine,)+
            $($(#[doc = $doc])+ $name,)+
        }

        impl EventType {
            /// Every event type, the nine of [W §12.1] first.
            pub const ALL: &'static [Self] = &[$(Self::$nine,)+ $(Self::$name,)+];

            /// The nine of [W §12.1], in its order.
            pub const PROVISIONING: &'static [Self] = &[$(Self::$nine,)+];

            /// The stored name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$nine => $nine_text,)+
                    $(Self::$name => $text,)+
                }
            }

            /// Whether this is one of the nine of [W §12.1].
            #[must_use]
            pub const fn is_provisioning_event(self) -> bool {
                matches!(self, $(Self::$nine)|+)
            }
        }
    };
}

event_types! {
    nine {
        /// A provisioning window was opened.
        ProvisioningModeEntered = "provisioning_mode_entered",
        /// A pairing code was made.
        PairingCodeGenerated = "pairing_code_generated",
        /// A claim with the code or token was valid and consumed it.
        PairingCodeValidated = "pairing_code_validated",
        /// A configuration arrived.
        ConfigurationReceived = "configuration_received",
        /// A configuration was verified and staged.
        ConfigurationApplied = "configuration_applied",
        /// The new connection was tested.
        ConnectionTested = "connection_tested",
        /// The new configuration is in force.
        ProvisioningCompleted = "provisioning_completed",
        /// Provisioning ended without a new configuration.
        ProvisioningFailed = "provisioning_failed",
        /// A provisioned device opened a window.
        ReprovisioningStarted = "reprovisioning_started",
    }
    further {
        /// A window was closed.
        ProvisioningModeExited = "provisioning_mode_exited",
        /// Somebody without the right asked for a window.
        ProvisioningModeRefused = "provisioning_mode_refused",
        /// A window ended by time.
        PairingCodeExpired = "pairing_code_expired",
        /// Code, token and window were made anew on request.
        PairingCodeRegenerated = "pairing_code_regenerated",
        /// An operator ended a pairing.
        PairingCancelled = "pairing_cancelled",
        /// A hello or claim was refused.
        ClaimRefused = "claim_refused",
        /// A station began a run of the typed code, which spends a try.
        TypedTryStarted = "typed_try_started",
        /// An operator confirmed at the device the station of a pairing without an anchor; a failure when
        /// it was refused or nobody came (D8).
        StationConfirmed = "station_confirmed",
        /// A station had the screen of the device that it has claimed blink, so that people see which one it is.
        MonitorBlinked = "monitor_blinked",
        /// A station's messages for a device take another route from here on; with an error, why.
        RouteOffered = "route_offered",
        /// A message for a device was handed to whoever carries it: the device itself, or a courier.
        MessageFetched = "message_fetched",
        /// What was brought back from a device does not hold.
        ReplyRefused = "reply_refused",
        /// A configuration was refused.
        ConfigurationRefused = "configuration_refused",
        /// A configuration that was delivered before came again.
        ConfigurationReplayed = "configuration_replayed",
        /// A restart voided an open window.
        WindowVoidedByRestart = "window_voided_by_restart",
        /// The device is about to ask the station to commit.
        CommitSent = "commit_sent",
        /// The station's record says committed.
        CommitConfirmed = "commit_confirmed",
        /// The station's record says aborted.
        CommitAborted = "commit_aborted",
        /// A device in doubt asked for the outcome.
        OutcomeAsked = "outcome_asked",
        /// A certificate and its key were installed.
        CertificateInstalled = "certificate_installed",
        /// A certificate was issued, pending.
        CertificateIssued = "certificate_issued",
        /// A pending certificate was dropped.
        CertificateAborted = "certificate_aborted",
        /// A certificate gave way to a newer one.
        CertificateSuperseded = "certificate_superseded",
        /// A certificate was revoked.
        CertificateRevoked = "certificate_revoked",
        /// A device asked its station for a new certificate, by renewal or recovery.
        RenewalStarted = "renewal_started",
        /// A renewal or recovery was refused, or got no answer.
        RenewalFailed = "renewal_failed",
        /// A device's configuration was removed.
        DeviceDeprovisioned = "device_deprovisioned",
        /// A failed provisioning was cleared.
        ProvisioningReset = "provisioning_reset",
        /// A failed provisioning was started again.
        ProvisioningRetried = "provisioning_retried",
        /// A device's last words about its certificates wait for their station.
        RetireQueued = "retire_queued",
        /// The station has taken a device's last words about its certificates.
        RetireDelivered = "retire_delivered",
        /// A device said that it has given certificates up.
        RetireReceived = "retire_received",
        /// A device is about to be erased.
        FactoryResetStarted = "factory_reset_started",
        /// A device was erased.
        FactoryReset = "factory_reset",
        /// An operator takes a device from its manual configuration to provisioning.
        MigrationStarted = "migration_started",
        /// An operator keeps the manual configuration for now.
        MigrationPostponed = "migration_postponed",
        /// A manual configuration cannot be used.
        ManualConfigurationRefused = "manual_configuration_refused",
        /// A manual configuration is about to be removed.
        ManualRemovalStarted = "manual_removal_started",
        /// A manual configuration was removed.
        ManualConfigurationRemoved = "manual_configuration_removed",
        /// A privileged request was refused for its role or proof.
        OperationRefused = "operation_refused",
        /// An administrator overrode the clinical interlock.
        InterlockOverridden = "interlock_overridden",
        /// An operator logged in.
        LoginSucceeded = "login_succeeded",
        /// An operator logged out.
        LoggedOut = "logged_out",
        /// A login was refused.
        LoginRefused = "login_refused",
        /// An operator was added.
        OperatorAdded = "operator_added",
        /// An operator of a station set a new password, or gave the present one wrong.
        PasswordChanged = "password_changed",
        /// An operator was changed or removed.
        OperatorChanged = "operator_changed",
        /// Devices were laid down in the registry.
        RegistryImported = "registry_imported",
        /// A pairing registered a device that no manifest names (D9).
        DeviceRegistered = "device_registered",
        /// A device whose audit log was lost may begin a new one.
        AuditRestartAccepted = "audit_restart_accepted",
        /// A registered device was given another identity key.
        DeviceRekeyed = "device_rekeyed",
        /// A registered device stands at another bed, or has another label.
        DeviceMoved = "device_moved",
        /// A station's session with a device began.
        SessionOpened = "session_opened",
        /// A batch of pairings was opened; a failure when its manifest was refused.
        BatchOpened = "batch_opened",
        /// A batch takes no scans for now.
        BatchPaused = "batch_paused",
        /// A batch takes scans again.
        BatchResumed = "batch_resumed",
        /// Failed items of a batch may be scanned again.
        BatchRetried = "batch_retried",
        /// A batch was closed; what had not been scanned is skipped.
        BatchClosed = "batch_closed",
        /// A device was scanned for a batch; a failure when it was not taken.
        BatchScanned = "batch_scanned",
        /// The pairing of a batch's item has ended; a failure when it has failed.
        BatchItemEnded = "batch_item_ended",
        /// A device accepted the station's claim.
        SessionClaimed = "session_claimed",
        /// A station goes on with a session that an earlier run of it, or another process, had.
        SessionTakenOver = "session_taken_over",
        /// A session ended without a pairing, or its reservation was released.
        SessionReleased = "session_released",
        /// A sealed configuration left for the device.
        ConfigurationDelivered = "configuration_delivered",
        /// The station's pairing of a device succeeded.
        PairingSucceeded = "pairing_succeeded",
        /// The station's pairing of a device failed.
        PairingFailed = "pairing_failed",
        /// A device's identity document was refused.
        IdentityRefused = "identity_refused",
        /// A known device id or serial appeared under another key.
        DeviceKeyConflict = "device_key_conflict",
        /// A revocation list was published.
        CrlPublished = "crl_published",
        /// A key was made.
        KeyCreated = "key_created",
        /// The secret of a configuration slot was destroyed, and the client key in it with it.
        KeyDestroyed = "key_destroyed",
        /// An anchor was laid down.
        AnchorInstalled = "anchor_installed",
        /// A device's factory chain was laid down.
        FactoryChainInstalled = "factory_chain_installed",
        /// A backup of the station, with its keys, was made, or could not be finished.
        StationBackedUp = "station_backed_up",
        /// A station goes on from a backup; what had happened since is lost.
        StationRestored = "station_restored",
        /// A station goes on with a database that is older than what it had written.
        SetBackAccepted = "set_back_accepted",
        /// The peer sent a checkpoint; a failure when it is not its own or its log has lost rows.
        CheckpointReceived = "checkpoint_received",
        /// The program started.
        Started = "started",
        /// A device of a development build runs with a simulated station.
        SimulationStarted = "simulation_started",
        /// The program stopped in order.
        Stopped = "stopped",
        /// Junk from somebody unauthenticated, counted per source, reason and minute.
        JunkRefused = "junk_refused",
    }
}

impl FromStr for EventType {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        let known = Self::ALL.iter().copied().find(|event| event.as_str() == text);
        known.ok_or(FieldError::new("eventType", "must be the name of an event type"))
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One event to be written to the audit log. It holds no secret: codes appear as keyed hashes only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// What happened.
    pub event: EventType,
    /// The device it happened to.
    pub device_id: Option<DeviceId>,
    /// The session it happened in.
    pub session: Option<SessionId>,
    /// Who did it.
    pub actor: Actor,
    /// Whether it succeeded.
    pub success: bool,
    /// Why it did not.
    pub error: Option<ErrorCode>,
    /// Keyed hash of the pairing code.
    pub code_hash: Option<[u8; 32]>,
    /// SHA-256 of the exact signed bytes of the configuration.
    pub configuration_hash: Option<[u8; 32]>,
    /// Further public facts, as name and value.
    pub detail: Vec<(&'static str, String)>,
}

impl AuditEvent {
    /// A successful event.
    #[must_use]
    pub const fn new(event: EventType, actor: Actor) -> Self {
        Self {
            event,
            device_id: None,
            session: None,
            actor,
            success: true,
            error: None,
            code_hash: None,
            configuration_hash: None,
            detail: Vec::new(),
        }
    }

    /// A failed event with its cause.
    #[must_use]
    pub const fn failed(event: EventType, actor: Actor, error: ErrorCode) -> Self {
        let mut failed = Self::new(event, actor);
        failed.success = false;
        failed.error = Some(error);
        failed
    }

    /// Names the device.
    #[must_use]
    pub fn device(mut self, id: &DeviceId) -> Self {
        self.device_id = Some(id.clone());
        self
    }

    /// Names the session.
    #[must_use]
    pub const fn session(mut self, id: SessionId) -> Self {
        self.session = Some(id);
        self
    }

    /// Adds the keyed hash of the pairing code.
    #[must_use]
    pub const fn code_hash(mut self, hash: [u8; 32]) -> Self {
        self.code_hash = Some(hash);
        self
    }

    /// Adds the hash of the configuration.
    #[must_use]
    pub const fn configuration_hash(mut self, hash: [u8; 32]) -> Self {
        self.configuration_hash = Some(hash);
        self
    }

    /// Adds a public fact.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.detail.push((name, alloc::format!("{value}")));
        self
    }
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeSet, string::ToString};

    use super::*;

    #[test]
    fn the_nine_names_are_those_of_the_document() {
        let names: Vec<_> = EventType::PROVISIONING.iter().map(|event| event.as_str()).collect();
        assert_eq!(
            names,
            [
                "provisioning_mode_entered",
                "pairing_code_generated",
                "pairing_code_validated",
                "configuration_received",
                "configuration_applied",
                "connection_tested",
                "provisioning_completed",
                "provisioning_failed",
                "reprovisioning_started",
            ]
        );
        let nine = EventType::ALL.iter().filter(|event| event.is_provisioning_event());
        assert_eq!(nine.count(), 9);
    }

    #[test]
    fn names_are_unique_and_round_trip() {
        let mut seen = BTreeSet::new();
        for event in EventType::ALL {
            assert!(seen.insert(event.as_str()), "{event}");
            assert_eq!(event.to_string().parse(), Ok(*event));
        }
        assert_eq!("Started".parse::<EventType>().unwrap_err().field(), "eventType");
    }

    #[test]
    fn builders_fill_the_event() {
        let id = DeviceId::parse("ZM-001").unwrap();
        let session = SessionId::from_bytes([1; 16]);
        let event =
            AuditEvent::failed(EventType::ClaimRefused, Actor::Peer, ErrorCode::ClaimMacInvalid)
                .device(&id)
                .session(session)
                .code_hash([2; 32])
                .configuration_hash([3; 32])
                .with("attempt", 2);
        assert!(!event.success);
        assert_eq!(event.error, Some(ErrorCode::ClaimMacInvalid));
        assert_eq!(event.device_id, Some(id));
        assert_eq!(event.session, Some(session));
        assert_eq!((event.code_hash, event.configuration_hash), (Some([2; 32]), Some([3; 32])));
        assert_eq!(event.detail, [("attempt", "2".to_string())]);
        assert!(AuditEvent::new(EventType::Started, Actor::System).success);
    }
}
