//! What every `IProvisioningService` promises, as tests that each implementation passes.

mod central;
mod mock;
mod suite;

use async_trait::async_trait;
use zmon_provisioning::ports::Clock;
use zmon_provisioning::{IProvisioningService, ProvisioningPayload};

/// A service under test, on a fresh device.
#[async_trait]
pub(crate) trait Subject: Send + Sync {
    /// The service.
    fn service(&self) -> &dyn IProvisioningService;

    /// Its clock.
    fn clock(&self) -> &dyn Clock;

    /// A payload for the code on the screen, ready for `apply_configuration`.
    async fn payload(&self) -> ProvisioningPayload;
}

/// What becomes of the payloads of a subject.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// They are good.
    Good,
    /// They are genuine, and the station then refuses the connection test.
    Refused,
}

/// Every check of the suite as a test of its own, on subjects from `$make`.
macro_rules! contract_suite {
    ($make:path: $($check:ident,)+) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $check() {
                super::suite::$check(&$make).await;
            }
        )+
    };
    ($make:path) => {
        super::contract_suite! { $make:
            a_fresh_device_is_unprovisioned_and_refuses_what_needs_a_window,
            entering_opens_a_window_and_signals_in_order,
            only_a_live_proof_of_the_right_role_opens_a_window,
            a_second_window_is_refused,
            the_qr_code_announces_the_address_asked_for,
            another_devices_qr_code_is_refused,
            the_qr_code_is_redrawn_every_thirty_seconds_with_the_same_code,
            a_new_pairing_code_voids_the_old_one,
            codes_are_judged_locally,
            a_window_runs_out_after_ten_minutes,
            exit_voids_the_window,
            a_good_configuration_provisions_and_signals_in_order,
            a_configuration_can_be_received_and_then_awaited,
            a_bad_configuration_fails_and_signals_in_order,
            a_wrong_code_changes_nothing,
            a_payload_for_another_device_changes_nothing,
            an_expired_payload_changes_nothing,
            retry_and_reset_leave_the_error,
            reprovisioning_keeps_the_device_provisioned,
            deprovisioning_needs_an_administrator,
            a_factory_reset_needs_an_administrator_and_the_identifier,
            a_dropped_future_leaves_no_half_state,
            late_subscribers_get_the_status_first,
            simulation_needs_its_feature,
            the_view_is_whole,
            the_connection_can_be_tested_once_provisioned,
        }
    };
}
pub(crate) use contract_suite;
