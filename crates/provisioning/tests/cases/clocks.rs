//! Clocks.

use core::time::Duration;

use zmon_domain::time::{ClockQuality, Tick};
use zmon_provisioning::clock::{SystemClock, VirtualClock};
use zmon_provisioning::ports::Clock;

use crate::common::START;

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
