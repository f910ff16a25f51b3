//! What an operator looks at, and what they change about monitors and accounts from there.

#[cfg(test)]
mod common;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use common::{FakeDevice, World, administrator, operator, pass, technician};
use zmon_crypto::Suite;
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{BedId, DeviceId, DeviceLabel, OperatorId, Serial};
use zmon_domain::limits;
use zmon_domain::role::Role;
use zmon_domain::state::ProvisioningState;
use zmon_station::ports::{CertificateState, Page, Place, RevocationReason, StationStore};
use zmon_station::{CertificatesOf, FleetFilter, FleetOrder, FleetState, NewOperator, Password};
use zmon_wire::admin::DeviceList;
use zmon_wire::fleet::{CertificateStanding, DeviceStanding, PlaceRequest, RevocationCause};
use zmon_wire::heartbeat::Heartbeat;

const ALL: Page = Page { offset: 0, limit: 100 };
const DAY: Duration = Duration::from_secs(86_400);

/// Monitors 1 to 3: the first is paired.
#[cfg(test)]
async fn fleet() -> (World, [Arc<FakeDevice>; 3], Serial) {
    let world = World::new().await;
    let devices = [1, 2, 3].map(|n| FakeDevice::new(n, Suite::P256));
    world.know(&devices.each_ref()).await;
    world.station.pair(&technician(), devices[0].pair_request()).await.unwrap();
    let serial = world.store.certificates()[0].serial;
    (world, devices, serial)
}

#[cfg(test)]
async fn beat(world: &World, serial: &Serial) -> Result<(), ErrorCode> {
    let beat = Heartbeat {
        sequence: 1,
        uptime_seconds: 93_784,
        bytes_sent: 1_482_334,
        errors: 4,
        state: ProvisioningState::Provisioned,
        audit_checkpoint: None,
    };
    world.station.heartbeat(serial, &beat).await.map(drop).map_err(|error| error.code())
}

#[cfg(test)]
async fn list(world: &World, filter: &FleetFilter) -> DeviceList {
    world.station.fleet(&technician(), filter, ALL).await.unwrap()
}

#[cfg(test)]
async fn those(world: &World, state: FleetState) -> Vec<String> {
    let filter = FleetFilter { state: Some(state), ..FleetFilter::default() };
    let found = list(world, &filter).await.devices;
    found.into_iter().map(|row| row.device_id.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_link_lives_for_three_heartbeats_and_says_what_the_device_said() {
    let (world, devices, serial) = fleet().await;
    assert_eq!(list(&world, &FleetFilter::default()).await.devices[0].link, None);
    beat(&world, &serial).await.unwrap();
    pass(Duration::from_secs(4)).await;
    let row = world.station.device(&technician(), &devices[0].id).await.unwrap();
    let link = row.link.unwrap();
    assert_eq!((link.connected, link.seconds_ago), (true, 4));
    assert_eq!((link.uptime_seconds, link.bytes_sent, link.errors), (93_784, 1_482_334, 4));
    assert_eq!(link.state, ProvisioningState::Provisioned);
    pass(Duration::from_secs(27)).await;
    let row = world.station.device(&technician(), &devices[0].id).await.unwrap();
    assert!(!row.link.unwrap().connected, "31 s after a heartbeat of 10 s");
    assert!(row.last_seen.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_needs_no_audit_log() {
    let (world, devices, serial) = fleet().await;
    beat(&world, &serial).await.unwrap();
    world.store.fail_commits(true);
    pass(Duration::from_secs(60)).await;
    beat(&world, &serial).await.unwrap();
    let row = world.station.device(&technician(), &devices[0].id).await.unwrap();
    assert!(row.link.unwrap().connected);
}

#[tokio::test(start_paused = true)]
async fn each_state_finds_its_monitors() {
    let (world, devices, serial) = fleet().await;
    let [one, two, three] = devices.each_ref().map(|device| device.id.to_string());
    assert_eq!(those(&world, FleetState::Disconnected).await, std::slice::from_ref(&one));
    assert_eq!(those(&world, FleetState::Unprovisioned).await, [two.clone(), three.clone()]);
    beat(&world, &serial).await.unwrap();
    assert_eq!(those(&world, FleetState::Connected).await, std::slice::from_ref(&one));
    assert!(those(&world, FleetState::Disconnected).await.is_empty());
    world.station.decommission(&administrator(), &devices[2].id).await.unwrap();
    assert_eq!(those(&world, FleetState::Decommissioned).await, [three]);
    assert_eq!(those(&world, FleetState::Unprovisioned).await, [two]);

    assert!(those(&world, FleetState::Expiring).await.is_empty());
    pass(limits::CERT_LIFETIME.default - limits::CERT_SOON.default).await;
    assert_eq!(those(&world, FleetState::Expiring).await, std::slice::from_ref(&one));
    pass(limits::CERT_SOON.default + DAY).await;
    assert!(those(&world, FleetState::Expiring).await.is_empty());
    assert_eq!(those(&world, FleetState::Expired).await, [one]);
}

#[tokio::test(start_paused = true)]
async fn a_text_is_found_anywhere_whatever_its_case_and_pages_follow_it() {
    let (world, devices, _) = fleet().await;
    let bed = PlaceRequest {
        bed_id: Some(BedId::parse("ICU-3B").unwrap()),
        device_label: Some(DeviceLabel::parse("Door side").unwrap()),
    };
    world.station.move_device(&technician(), &devices[1].id, bed).await.unwrap();
    let find = async |text: &str, page: Page| {
        let filter = FleetFilter { text: Some(text.parse().unwrap()), ..FleetFilter::default() };
        world.station.fleet(&technician(), &filter, page).await.unwrap()
    };
    for text in ["icu-3b", "DOOR", " side "] {
        let found = find(text, ALL).await;
        assert_eq!((found.total, &found.devices[0].device_id), (1, &devices[1].id), "{text}");
    }
    let common = &devices[0].id.as_str()[..3];
    let page = find(common, Page { offset: 2, limit: 2 }).await;
    assert_eq!((page.total, page.devices.len()), (3, 1));
    assert_eq!(find("no such monitor", ALL).await.total, 0);
    let by_bed = FleetFilter { order: FleetOrder::Bed, ..FleetFilter::default() };
    assert_eq!(list(&world, &by_bed).await.devices[0].device_id, devices[1].id);
    for bad in ["x".repeat(65), "a\nb".to_owned()] {
        assert_eq!(bad.parse::<zmon_station::FilterText>().unwrap_err().field(), "text");
    }
}

#[tokio::test(start_paused = true)]
async fn a_revoked_certificate_cuts_its_link_at_once() {
    let (world, devices, serial) = fleet().await;
    beat(&world, &serial).await.unwrap();
    let reason = RevocationReason::KeyCompromise;
    world.station.revoke(&administrator(), &serial, reason).await.unwrap();
    assert!(those(&world, FleetState::Connected).await.is_empty());
    let row = world.station.device(&technician(), &devices[0].id).await.unwrap();
    assert!(!row.link.unwrap().connected && !row.provisioned);
    assert_eq!(beat(&world, &serial).await, Err(ErrorCode::CertificateRevoked));

    let of = CertificatesOf::State(CertificateState::Revoked);
    let list = world.station.certificates(&technician(), &of, ALL).await.unwrap();
    assert_eq!((list.total, list.expiry.len()), (1, 0));
    let only = &list.certificates[0];
    assert_eq!((only.serial, only.state), (serial, CertificateStanding::Revoked));
    assert_eq!(only.reason, Some(RevocationCause::KeyCompromise));
    assert!(only.revoked_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn certificates_are_listed_by_state_by_device_and_by_the_day_they_end() {
    let (world, devices, serial) = fleet().await;
    pass(DAY).await;
    devices[0].open_window();
    world.station.pair(&technician(), devices[0].pair_request()).await.unwrap();
    let of = CertificatesOf::State(CertificateState::Current);
    let list = world.station.certificates(&technician(), &of, ALL).await.unwrap();
    assert_eq!(list.total, 1);
    assert_ne!(list.certificates[0].serial, serial);
    let days: Vec<_> = list.expiry.iter().map(|day| (day.day, day.certificates)).collect();
    assert!(matches!(days[..], [(89 | 90, 1)]), "{days:?}");
    pass(DAY * 100).await;
    let of = CertificatesOf::Device(devices[0].id.clone());
    let list = world.station.certificates(&technician(), &of, ALL).await.unwrap();
    let states: Vec<_> = list.certificates.iter().map(|one| one.state).collect();
    assert_eq!(states, [CertificateStanding::Current, CertificateStanding::Superseded]);
    assert!(list.expiry[0].day < 0, "{:?}", list.expiry);
    let ghost = CertificatesOf::Device(DeviceId::parse("ZM-404").unwrap());
    let error = world.station.certificates(&technician(), &ghost, ALL).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DeviceUnknown);
}

#[tokio::test(start_paused = true)]
async fn the_figures_are_those_of_the_lists() {
    let (world, devices, serial) = fleet().await;
    let source = IpAddr::from([10, 0, 0, 9]);
    for _ in 0..17 {
        world.station.note_junk(source, ErrorCode::RequestMalformed);
    }
    beat(&world, &serial).await.unwrap();
    let figures = world.station.overview(&technician()).await.unwrap();
    assert_eq!((figures.active, figures.provisioned, figures.connected), (3, 1, 1));
    assert_eq!((figures.expiring, figures.expired), (0, 0));
    assert_eq!((figures.open_sessions, figures.paired_last_day), (0, 1));
    assert_eq!(figures.junk_refused, 17);
    assert_eq!(figures.since, figures.time);
    world.station.decommission(&administrator(), &devices[2].id).await.unwrap();
    pass(DAY + Duration::from_secs(1)).await;
    let figures = world.station.overview(&operator("aud", Role::Auditor)).await.unwrap();
    assert_eq!((figures.active, figures.provisioned, figures.connected), (2, 1, 0));
    assert_eq!(figures.paired_last_day, 0);
    assert!(figures.since < figures.time);
}

#[tokio::test(start_paused = true)]
async fn the_policy_is_the_one_that_is_in_force() {
    let world = World::with(|policy| policy.recovery = true).await;
    let view = world.station.policy_view(&technician(), "9.9.9").await.unwrap();
    let policy = world.station.policy();
    assert!(view.recovery);
    assert_eq!(view.device_trust, ["registry"]);
    assert_eq!(view.version, "9.9.9");
    assert_eq!(view.networks, policy.session.networks.networks);
    assert_eq!(view.certificate_seconds, policy.certificate_lifetime.as_secs());
    assert_eq!((view.routes.len(), view.suites.len()), (3, policy.session.suites.len()));
}

#[tokio::test(start_paused = true)]
async fn a_page_goes_on_after_the_last_of_the_page_before() {
    let (world, devices, _) = fleet().await;
    let page = async |after: Option<&DeviceId>| {
        let filter = FleetFilter { after: after.cloned(), ..FleetFilter::default() };
        let page = Page { offset: 0, limit: 2 };
        let list = world.station.fleet(&technician(), &filter, page).await.unwrap();
        assert_eq!(list.total, 3);
        list.devices.into_iter().map(|row| row.device_id).collect::<Vec<_>>()
    };
    let [one, two, three] = devices.each_ref().map(|device| device.id.clone());
    assert_eq!(page(None).await, [one.clone(), two.clone()]);
    assert_eq!(page(Some(&two)).await, std::slice::from_ref(&three));
    assert!(page(Some(&three)).await.is_empty());
    // A device that is not there any more is a place in the order all the same.
    let gone = DeviceId::parse(&format!("{one}-gone")).unwrap();
    assert_eq!(page(Some(&gone)).await, [two, three]);
}

#[tokio::test(start_paused = true)]
async fn a_move_is_bound_to_where_the_monitor_stands() {
    let (world, devices, _) = fleet().await;
    let id = &devices[1].id;
    let to = |bed: &str| PlaceRequest { bed_id: BedId::parse(bed).ok(), device_label: None };
    let stands = world.station.place_of(&technician(), id).await.unwrap();
    let here = |present: &PlaceRequest| *present == stands;
    world.station.move_device_if(&technician(), id, to("ICU-1"), here).await.unwrap();
    let late = world.station.move_device_if(&technician(), id, to("ICU-2"), here).await;
    assert_eq!(late.unwrap_err().code(), ErrorCode::PreconditionFailed);
    assert_eq!(world.station.place_of(&technician(), id).await.unwrap(), to("ICU-1"));
    let last = world.store.audit_events().pop().unwrap();
    assert_eq!(last.event, EventType::DeviceMoved);
    assert_eq!(last.error, Some(ErrorCode::PreconditionFailed));
    let ghost = DeviceId::parse("ZM-404").unwrap();
    let unknown = world.station.place_of(&technician(), &ghost).await.unwrap_err();
    assert_eq!(unknown.code(), ErrorCode::DeviceUnknown);

    // Somebody was faster between the look and the record: it is looked at again.
    let moves = world.store.count(EventType::DeviceMoved);
    world.store.move_between(Place { bed: BedId::parse("ICU-9").ok(), label: None });
    let row = world.station.move_device(&technician(), id, to("ICU-3")).await.unwrap();
    assert_eq!(row.bed_id, to("ICU-3").bed_id);
    assert_eq!(world.store.count(EventType::DeviceMoved), moves + 1);
}

#[tokio::test(start_paused = true)]
async fn a_monitor_is_moved_by_a_technician_with_a_row_and_only_when_something_changes() {
    let (world, devices, _) = fleet().await;
    let id = &devices[1].id;
    let to = |bed: Option<&str>| PlaceRequest {
        bed_id: bed.map(|bed| BedId::parse(bed).unwrap()),
        device_label: None,
    };
    let row = world.station.move_device(&technician(), id, to(Some("ICU-1"))).await.unwrap();
    assert_eq!(row.bed_id.unwrap().as_str(), "ICU-1");
    world.station.move_device(&technician(), id, to(Some("ICU-1"))).await.unwrap();
    assert_eq!(world.store.count(EventType::DeviceMoved), 1);
    let row = world.station.move_device(&technician(), id, to(None)).await.unwrap();
    assert_eq!((row.bed_id, row.status), (None, DeviceStanding::Active));
    let last = world.store.audit_events().pop().unwrap();
    assert_eq!(last.detail, [("from", "ICU-1".to_owned())]);

    let auditor = operator("aud", Role::Auditor);
    let error = world.station.move_device(&auditor, id, to(None)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotPermitted);
    let ghost = DeviceId::parse("ZM-404").unwrap();
    let error = world.station.move_device(&technician(), &ghost, to(None)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DeviceUnknown);
    world.station.decommission(&administrator(), id).await.unwrap();
    let error = world.station.move_device(&technician(), id, to(Some("ICU-2"))).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DeviceDecommissioned);
    let failed = world.store.audit_events().into_iter().filter(|row| !row.success);
    assert_eq!(failed.filter(|row| row.event == EventType::DeviceMoved).count(), 2);

    world.store.fail_on(Some(EventType::DeviceMoved));
    let id = &devices[2].id;
    world.station.move_device(&technician(), id, to(Some("ICU-9"))).await.unwrap_err();
    assert_eq!(world.store.device(id).await.unwrap().unwrap().bed, None, "no row, no operation");
}

#[cfg(test)]
const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

#[cfg(test)]
fn named(id: &str, role: Role) -> NewOperator {
    NewOperator { id: OperatorId::parse(id).unwrap(), role, password: None }
}

/// What the station says to a login.
#[cfg(test)]
async fn log_in(world: &World, id: &str, password: &Password) -> Result<bool, ErrorCode> {
    let made = world.station.login(HERE, id, password.expose()).await;
    made.map(|made| made.must_change_password).map_err(|error| error.code())
}

#[tokio::test(start_paused = true)]
async fn a_made_password_opens_its_own_change_and_is_made_anew_when_it_is_lost() {
    let world = World::new().await;
    let station = &world.station;
    let new = named("tess", Role::Technician);
    let first = station.add_operator(&administrator(), new).await.unwrap().unwrap();
    assert_eq!(log_in(&world, "tess", &first).await, Ok(true));
    assert!(station.operators(&administrator()).await.unwrap()[0].one_time);
    let tess = OperatorId::parse("tess").unwrap();
    let second = station.reset_password(&administrator(), &tess).await.unwrap();
    assert_eq!(log_in(&world, "tess", &first).await, Err(ErrorCode::AuthenticationFailed));
    assert_eq!(log_in(&world, "tess", &second).await, Ok(true));
    let ghost = OperatorId::parse("ghost").unwrap();
    let error = station.reset_password(&administrator(), &ghost).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::OperatorUnknown);
    assert_eq!(world.store.count(EventType::OperatorChanged), 2);
}

#[tokio::test(start_paused = true)]
async fn a_disabled_account_is_out_at_once_and_comes_back_with_its_password() {
    let world = World::new().await;
    let station = &world.station;
    let password = Password::parse_new("correct horse battery").unwrap();
    let new = NewOperator { password: Some(password.clone()), ..named("tess", Role::Technician) };
    assert!(station.add_operator(&administrator(), new).await.unwrap().is_none());
    let tess = OperatorId::parse("tess").unwrap();
    let login = station.login(HERE, "tess", password.expose()).await.unwrap();
    let token = login.token.expose();
    station.authenticate(token).await.unwrap();
    station.set_access(&administrator(), &tess, true).await.unwrap();
    let error = station.authenticate(token).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::AuthenticationFailed);
    assert_eq!(log_in(&world, "tess", &password).await, Err(ErrorCode::AuthenticationFailed));
    station.set_access(&administrator(), &tess, false).await.unwrap();
    assert_eq!(log_in(&world, "tess", &password).await, Ok(false));
}

#[tokio::test(start_paused = true)]
async fn nobody_locks_themselves_or_the_last_administrator_out() {
    let world = World::new().await;
    let station = &world.station;
    station.add_operator(&administrator(), named("eve", Role::Administrator)).await.unwrap();
    let own = administrator().id().clone();
    for refused in [
        station.set_access(&administrator(), &own, true).await.unwrap_err(),
        station.reset_password(&administrator(), &own).await.map(drop).unwrap_err(),
    ] {
        assert_eq!(refused.code(), ErrorCode::RequestMalformed);
        assert_eq!(refused.report.detail.unwrap().field(), "operator");
    }
    let eve = OperatorId::parse("eve").unwrap();
    // The one who asks has no account in this store: eve is the last.
    let error = station.set_access(&administrator(), &eve, true).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::LastAdministrator);
    for who in [technician(), operator("aud", Role::Auditor)] {
        let error = station.set_access(&who, &eve, true).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::NotPermitted);
        let error = station.reset_password(&who, &eve).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::NotPermitted);
    }
}
