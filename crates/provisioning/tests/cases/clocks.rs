//! Clocks.

use core::time::Duration;

use zmon_domain::role::Role;
use zmon_domain::time::{ClockQuality, Tick, UnixTime};
use zmon_provisioning::clock::{SystemClock, VirtualClock};
use zmon_provisioning::ports::Clock;
use zmon_provisioning::{CentralStationProvisioningService, IProvisioningService};

use crate::common::{Bench, START};

#[tokio::test(start_paused = true)]
async fn virtual_time_moves_only_with_the_runtime() {
    let clock = VirtualClock::starting_at(START);
    let begun = clock.now();
    assert_eq!(begun.mono, Tick::ZERO);
    clock.sleep_until(Tick::new(Duration::from_millis(1500))).await;
    let later = clock.now();
    assert_eq!(later.mono.since(begun.mono), Duration::from_millis(1500));
    assert_eq!(later.wall.unwrap().unix(), START + 1);
    assert_eq!(later.millis, Some(START * 1000 + 1500));
    clock.step_wall(-60);
    assert_eq!(clock.now().wall.unwrap().unix(), START - 59);
    assert_eq!(clock.now().mono, later.mono);
    clock.set_quality(ClockQuality::None);
    assert_eq!((clock.now().wall, clock.now().millis), (None, None));
    clock.sleep_until(Tick::ZERO).await;
}

#[tokio::test]
async fn the_system_clock_goes_forward_and_claims_what_it_was_told() {
    let clock = SystemClock::new(ClockQuality::Synced);
    let first = clock.now();
    clock.sleep_until(first.mono + Duration::from_millis(2)).await;
    assert!(clock.now().mono >= first.mono + Duration::from_millis(2));
    assert!(first.wall.is_some() && first.millis.is_some());
    assert_eq!(first.synced(), first.wall);
    let unset = SystemClock::new(ClockQuality::None).now();
    assert_eq!((unset.wall, unset.millis, unset.quality), (None, None, ClockQuality::None));
}

#[tokio::test(start_paused = true)]
async fn without_a_clock_tls_is_checked_at_the_floor_and_a_device_can_be_provisioned() {
    let bench = Bench::new();
    bench.clock.set_quality(ClockQuality::None);
    let start = UnixTime::from_unix(START).unwrap();
    let built = start - Duration::from_secs(60);
    let mut parts = bench.parts();
    parts.profile.built_at = built;
    let service = CentralStationProvisioningService::start(parts).await.unwrap();
    assert_eq!(bench.clock.tls_time(), Some(built), "until something later is trusted");

    service.enter_provisioning_mode(bench.proof(Role::Technician)).await.unwrap();
    let qr = service.generate_qr_code().await.unwrap();
    let (session, open) = bench.station.scan(qr.qr_code_content(), start);
    bench.store.fail_next(1);
    assert!(bench.endpoint().session(open.clone()).await.is_err());
    assert_eq!(bench.clock.tls_time(), Some(built), "nothing is trusted that is not durable");
    let answer = bench.endpoint().session(open).await.unwrap();
    assert_eq!(bench.clock.tls_time(), Some(start), "the hello's time, once its claim is durable");

    let identified = bench.station.identify(session, &answer.identity);
    let envelope = bench.station.envelope(&identified, |_| {});
    bench.endpoint().configuration(envelope).await.unwrap();
    assert_eq!(bench.clock.now().wall, None);
}
