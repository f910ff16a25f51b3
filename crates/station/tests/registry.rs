//! The registry and the accounts (D9, [W §10.1]).

#[cfg(test)]
mod common;

use std::net::IpAddr;
use std::slice::from_ref;
use std::time::Duration;

use common::{FakeDevice, World, administrator, operator, pass, technician};
use zmon_crypto::{IdentityKey, Suite};
use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{BedId, OperatorId};
use zmon_domain::role::Role;
use zmon_station::ports::{AuditPage, Clock, Page, StationRecord, StationStore, StationWrite};
use zmon_station::{FleetFilter, NewOperator, Password, StationEvent, bootstrap_administrator};
use zmon_wire::admin::DeviceRow;
use zmon_wire::manifest::{self, ManifestRow};

#[cfg(test)]
fn row(n: u8) -> ManifestRow {
    FakeDevice::new(n, Suite::P256).manifest_row()
}

#[cfg(test)]
fn lines(rows: &[ManifestRow]) -> Vec<u8> {
    manifest::to_lines(rows).unwrap()
}

#[cfg(test)]
async fn listed(world: &World) -> Vec<DeviceRow> {
    let page = Page { offset: 0, limit: 100 };
    world.station.fleet(&technician(), &FleetFilter::default(), page).await.unwrap().devices
}

#[tokio::test(start_paused = true)]
async fn a_manifest_is_taken_whole_and_again_without_effect() {
    let world = World::new().await;
    let mut events = world.station.events();
    let mut rows = vec![row(1), row(2), row(3)];
    let first = world.station.import(&administrator(), &lines(&rows)).await.unwrap();
    assert_eq!((first.added, first.changed, first.unchanged), (3, 0, 0));
    assert!(matches!(events.try_recv(), Ok(StationEvent::RegistryChanged)));
    let second = world.station.import(&administrator(), &lines(&rows)).await.unwrap();
    assert_eq!((second.added, second.changed, second.unchanged), (0, 0, 3));
    rows[1].bed_id = Some(BedId::parse("ICU-3B").unwrap());
    let third = world.station.import(&administrator(), &lines(&rows)).await.unwrap();
    assert_eq!((third.added, third.changed, third.unchanged), (0, 1, 2));
    let listed = listed(&world).await;
    assert_eq!(listed.len(), 3);
    assert_eq!(listed[1].bed_id.as_ref().unwrap().as_str(), "ICU-3B");
    assert!(listed.iter().all(|row| !row.provisioned && row.certificate.is_none()));
    let page = world
        .station
        .fleet(&technician(), &FleetFilter::default(), Page { offset: 2, limit: 5 })
        .await
        .unwrap()
        .devices;
    assert_eq!(page.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn repeated_ids_serials_and_keys_are_reported_row_by_row() {
    let world = World::new().await;
    let same_id = ManifestRow { device_id: row(1).device_id, ..row(4) };
    let same_serial = ManifestRow { device_serial: row(1).device_serial, ..row(5) };
    let same_key = ManifestRow { identity_key: row(1).identity_key, ..row(6) };
    let rows = [row(1), same_id, row(2), same_serial, same_key];
    let spaced = [b"\n".as_slice(), &lines(&rows)].concat();
    let refusal = world.station.import(&administrator(), &spaced).await.unwrap_err();
    let first = refusal.error.report.detail.unwrap();
    assert_eq!(first.field(), "row 3.deviceId", "a line as its author counts it");
    let refusal = world.station.import(&administrator(), &lines(&rows)).await.unwrap_err();
    assert_eq!(refusal.error.code(), ErrorCode::RequestMalformed);
    let found: Vec<_> = refusal
        .faults
        .iter()
        .map(|fault| (fault.index, fault.report.detail.as_ref().unwrap().field().to_owned()))
        .collect();
    let expected = [
        (1, "row 2.deviceId".to_owned()),
        (3, "row 4.deviceSerial".to_owned()),
        (4, "row 5.identityKey".to_owned()),
    ];
    assert_eq!(found, expected);
    assert!(listed(&world).await.is_empty());
    assert_eq!(world.store.count(EventType::RegistryImported), 6);
}

#[tokio::test(start_paused = true)]
async fn known_names_under_another_key_are_refused_and_alarmed() {
    let world = World::new().await;
    let _known = world.station.import(&administrator(), &lines(&[row(1), row(2)])).await.unwrap();
    let mut events = world.station.events();
    let other_key = ManifestRow { identity_key: row(9).identity_key, ..row(1) };
    let other_serial = ManifestRow { device_serial: row(8).device_serial, ..row(1) };
    let moved_serial = ManifestRow { device_serial: row(2).device_serial, ..row(7) };
    let moved_key = ManifestRow { identity_key: row(2).identity_key, ..row(7) };
    for (bad, code, field, alarms) in [
        (other_key, ErrorCode::DeviceKeyConflict, "row 2.deviceId", 1),
        (moved_serial, ErrorCode::DeviceKeyConflict, "row 2.deviceSerial", 1),
        (moved_key, ErrorCode::DeviceKeyConflict, "row 2.identityKey", 1),
        (other_serial, ErrorCode::RequestMalformed, "row 2.deviceSerial", 0),
    ] {
        let manifest = lines(&[row(3), bad]);
        let refusal = world.station.import(&administrator(), &manifest).await.unwrap_err();
        assert_eq!(refusal.error.code(), code, "{field}");
        let fault = &refusal.faults[0];
        assert_eq!(fault.report.detail.as_ref().unwrap().field(), field);
        assert!(fault.existing.is_some());
        let raised = std::iter::from_fn(|| events.try_recv().ok())
            .filter(|event| matches!(event, StationEvent::Alarm { .. }));
        assert_eq!(raised.count(), alarms, "{field}");
    }
    assert_eq!(listed(&world).await.len(), 2);
    assert_eq!(world.store.count(EventType::DeviceKeyConflict), 3);
}

#[tokio::test(start_paused = true)]
async fn a_malformed_manifest_names_row_and_field() {
    let world = World::new().await;
    let mut manifest = lines(&[row(1)]);
    manifest.extend_from_slice(br#"{"deviceId":"bad id","deviceSerial":"S","identityKey":"00"}"#);
    let refusal = world.station.import(&administrator(), &manifest).await.unwrap_err();
    assert_eq!(refusal.error.code(), ErrorCode::RequestMalformed);
    let field = refusal.error.report.detail.unwrap().field().to_owned();
    assert_eq!(field, "row 2.deviceId");
    assert!(refusal.faults.is_empty());
    for junk in [&b""[..], b"[", b"{", b"[{}]", b"\xff", b"null"] {
        let result = world.station.import(&administrator(), junk).await;
        assert!(result.is_err() || result.unwrap().added == 0);
    }
    assert!(listed(&world).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn only_administrators_import_and_only_readers_of_the_log_read_it() {
    let world = World::new().await;
    let manifest = lines(&[row(1)]);
    for who in [technician(), operator("aud", Role::Auditor)] {
        let refusal = world.station.import(&who, &manifest).await.unwrap_err();
        assert_eq!(refusal.error.code(), ErrorCode::NotPermitted);
    }
    let page = AuditPage { after: 0, limit: 10 };
    assert_eq!(
        world.station.audit(&technician(), page).await.unwrap_err().code(),
        ErrorCode::NotPermitted
    );
    assert!(world.station.audit(&operator("aud", Role::Auditor), page).await.is_ok());
    assert!(world.station.verify_audit(&administrator()).await.unwrap().damage.is_none());
    assert_eq!(world.store.count(EventType::OperationRefused), 3);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_say_when_a_device_was_last_seen() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let _paired = world.station.pair(&technician(), device.pair_request()).await.unwrap();
    let serial = world.store.certificates()[0].serial;
    let beat = zmon_wire::heartbeat::Heartbeat {
        sequence: 1,
        uptime_seconds: 0,
        bytes_sent: 0,
        errors: 0,
        state: zmon_domain::state::ProvisioningState::Provisioned,
        audit_checkpoint: None,
    };
    let answer = world.station.heartbeat(&serial, &beat).await.unwrap();
    let listed = listed(&world).await.pop().unwrap();
    assert_eq!(listed.last_seen, Some(answer.time));
    assert_eq!(listed.certificate, Some(serial));
    assert_eq!(listed.identity_key, device.identity.public().thumbprint());
}

#[cfg(test)]
const PASSWORD: &str = "correct horse battery";

#[cfg(test)]
fn source(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

/// A world with the account `tess`.
#[cfg(test)]
async fn with_tess() -> World {
    let world = World::new().await;
    let new = NewOperator {
        id: OperatorId::parse("tess").unwrap(),
        role: Role::Technician,
        password: Some(Password::parse_new(PASSWORD).unwrap()),
    };
    world.station.add_operator(&administrator(), new).await.unwrap();
    world
}

#[tokio::test(start_paused = true)]
async fn a_password_buys_a_token_that_expires() {
    let world = with_tess().await;
    let login = world.station.login(source(1), "tess", PASSWORD).await.unwrap();
    assert_eq!(login.role, Role::Technician);
    assert_eq!(login.expires_at, world.clock.wall() + Duration::from_secs(8 * 3600));
    let token = login.token.expose();
    assert_eq!(token.len(), 43);
    let proof = world.station.authenticate(token).await.unwrap();
    assert_eq!((proof.id().as_str(), proof.role()), ("tess", Role::Technician));
    let rows = world.store.audit_events();
    assert!(rows.iter().all(|row| !format!("{row:?}").contains(token)), "no token in the log");

    pass(Duration::from_secs(8 * 3600 + 1)).await;
    let error = world.station.authenticate(token).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ProofExpired);
    let late = world.station.scan(&proof, FakeDevice::new(1, Suite::P256).scan_request()).await;
    assert_eq!(late.unwrap_err().code(), ErrorCode::ProofExpired);
}

/// A station whose technician has the password that was made for the account.
#[cfg(test)]
async fn with_a_one_time_password() -> World {
    let world = with_tess().await;
    let mut made =
        world.store.operator(&OperatorId::parse("tess").unwrap()).await.unwrap().unwrap();
    made.id = OperatorId::parse("nora").unwrap();
    made.one_time = true;
    let record = StationRecord { audit: Vec::new(), writes: vec![StationWrite::AddOperator(made)] };
    world.store.commit(&world.clock.now(), &record).await.unwrap().unwrap();
    world
}

#[tokio::test(start_paused = true)]
async fn a_one_time_password_opens_nothing_but_its_own_change() {
    let world = with_a_one_time_password().await;
    let login = world.station.login(source(1), "nora", PASSWORD).await.unwrap();
    assert!(login.must_change_password);
    let token = login.token.expose();
    let refused = world.station.authenticate(token).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::PasswordChangeRequired);
    let change = |new| world.station.change_password(source(1), token, PASSWORD, new);
    assert_eq!(change(PASSWORD).await.unwrap_err().code(), ErrorCode::RequestMalformed);
    assert_eq!(change("too short").await.unwrap_err().code(), ErrorCode::RequestMalformed);
    assert!(world.station.authenticate(token).await.is_err(), "nothing has changed");

    change("a password of my own").await.unwrap();
    assert_eq!(world.station.authenticate(token).await.unwrap().id().as_str(), "nora");
    assert!(world.station.login(source(1), "nora", PASSWORD).await.is_err());
    let again = world.station.login(source(1), "nora", "a password of my own").await.unwrap();
    assert!(!again.must_change_password);
    let rows = world.store.audit_events();
    assert!(rows.iter().all(|row| !format!("{row:?}").contains("of my own")));
    assert_eq!(world.store.count(EventType::PasswordChanged), 1);
}

#[tokio::test(start_paused = true)]
async fn who_has_a_one_time_password_can_log_out() {
    let world = with_a_one_time_password().await;
    let login = world.station.login(source(1), "nora", PASSWORD).await.unwrap();
    world.station.recognise(login.token.expose()).await.unwrap();
    world.station.logout(login.token.expose()).await.unwrap();
    let gone = world.station.recognise(login.token.expose()).await.unwrap_err();
    assert_eq!(gone.code(), ErrorCode::AuthenticationFailed);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_password_ends_every_other_login_of_that_account() {
    let world = with_a_one_time_password().await;
    let login = |name, n| world.station.login(source(n), name, PASSWORD);
    let (here, there) = (login("tess", 1).await.unwrap(), login("tess", 2).await.unwrap());
    let other = login("nora", 3).await.unwrap();
    let (station, token) = (&world.station, here.token.expose());
    station.change_password(source(1), token, PASSWORD, "a new password").await.unwrap();
    station.authenticate(token).await.unwrap();
    let ended = station.authenticate(there.token.expose()).await.unwrap_err();
    assert_eq!(ended.code(), ErrorCode::AuthenticationFailed);
    station.recognise(other.token.expose()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_login_that_crosses_a_change_of_the_password_is_none() {
    let world = with_tess().await;
    world.store.change_password_between("$argon2id$another");
    let refused = world.station.login(source(1), "tess", PASSWORD).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::AuthenticationFailed);
    assert_eq!(world.store.count(EventType::LoggedOut), 1, "it was stored, and ended");
}

#[tokio::test(start_paused = true)]
async fn guessing_the_present_password_locks_and_is_written_down() {
    let world = with_tess().await;
    let login = world.station.login(source(1), "tess", PASSWORD).await.unwrap();
    let guess = |present| {
        world.station.change_password(source(1), login.token.expose(), present, "a new password")
    };
    for _ in 0..3 {
        assert_eq!(
            guess("a wrong guess").await.unwrap_err().code(),
            ErrorCode::AuthenticationFailed
        );
    }
    let locked = guess(PASSWORD).await.unwrap_err();
    assert_eq!(locked.code(), ErrorCode::AuthenticationLocked);
    assert_eq!(locked.retry_after, Some(Duration::from_secs(30)));
    assert_eq!(world.store.count(EventType::PasswordChanged), 3, "each refusal has its row");
    pass(Duration::from_secs(31)).await;
    guess(PASSWORD).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn other_tokens_and_ended_logins_prove_nothing() {
    let world = with_tess().await;
    let login = world.station.login(source(1), "tess", PASSWORD).await.unwrap();
    let other = "A".repeat(43);
    for junk in ["", "x", other.as_str(), "AAAA", "é"] {
        let error = world.station.authenticate(junk).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::AuthenticationFailed, "{junk}");
    }
    world.station.logout(login.token.expose()).await.unwrap();
    world.station.logout(login.token.expose()).await.unwrap();
    assert_eq!(world.store.count(EventType::LoggedOut), 1, "who is out cannot go out again");
    world.station.logout("no token").await.unwrap();
    let error = world.station.authenticate(login.token.expose()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::AuthenticationFailed);
}

#[tokio::test(start_paused = true)]
async fn wrong_passwords_and_unknown_accounts_read_the_same_and_are_written_down() {
    let world = with_tess().await;
    let wrong = world.station.login(source(1), "tess", "wrong password!").await.unwrap_err();
    let nobody = world.station.login(source(1), "nobody", PASSWORD).await.unwrap_err();
    assert_eq!(wrong, nobody);
    assert_eq!(wrong.code(), ErrorCode::AuthenticationFailed);
    assert_eq!(world.store.count(EventType::LoginRefused), 2);
    let rows = world.store.audit_events();
    assert!(rows.iter().all(|row| !format!("{row:?}").contains("wrong password!")));
}

#[tokio::test(start_paused = true)]
async fn guessing_locks_the_guesser_out_and_nobody_else() {
    let world = with_tess().await;
    for _ in 0..3 {
        let error = world.station.login(source(66), "tess", "a wrong guess").await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::AuthenticationFailed);
    }
    let error = world.station.login(source(66), "tess", PASSWORD).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::AuthenticationLocked);
    assert_eq!(error.retry_after, Some(Duration::from_secs(30)));
    assert!(world.station.login(source(1), "tess", PASSWORD).await.is_ok());
    let other = world.station.login(source(66), "tom", "a wrong guess").await.unwrap_err();
    assert_eq!(other.code(), ErrorCode::AuthenticationFailed);
    pass(Duration::from_secs(31)).await;
    assert!(world.station.login(source(66), "tess", PASSWORD).await.is_ok());

    pass(Duration::from_secs(61)).await;
    world.station.round().await.unwrap();
    assert_eq!(world.store.count(EventType::JunkRefused), 1, "locked attempts share one row");
}

#[tokio::test(start_paused = true)]
async fn made_up_names_neither_flood_the_log_nor_lock_others_out() {
    let world = with_tess().await;
    let before = world.store.audit_events().len();
    for n in 0..200 {
        let name = format!("made-up-{n}");
        let error = world.station.login(source(66), &name, "a wrong guess").await.unwrap_err();
        let locked = error.code() == ErrorCode::AuthenticationLocked;
        assert_eq!(locked, n >= 10, "{n}");
    }
    assert!(world.station.login(source(1), "tess", PASSWORD).await.is_ok());
    pass(Duration::from_secs(60)).await;
    world.station.round().await.unwrap();
    assert_eq!(world.store.count(EventType::LoginRefused), 10);
    assert_eq!(world.store.count(EventType::JunkRefused), 1, "the rest share one row");
    assert_eq!(world.store.audit_events().len(), before + 10 + 1 + 1);

    let error = world.station.login(source(66), "made-up", "a wrong guess").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::AuthenticationFailed);
    assert_eq!(world.store.count(EventType::LoginRefused), 11, "a new minute, a new budget");
}

#[tokio::test(start_paused = true)]
async fn parallel_guesses_do_not_outrun_the_count() {
    let world = with_tess().await;
    let guesses = (0..20).map(|n| {
        let station = world.station.clone();
        tokio::spawn(
            async move { station.login(source(66), "tess", &format!("guess {n:07}")).await },
        )
    });
    let mut computed = 0;
    for guess in guesses.collect::<Vec<_>>() {
        let code = guess.await.unwrap().unwrap_err().code();
        computed += u32::from(code == ErrorCode::AuthenticationFailed);
    }
    assert!(computed <= 3, "{computed}");
}

#[tokio::test(start_paused = true)]
async fn accounts_are_added_by_administrators_once() {
    let world = with_tess().await;
    let new = |id: &str| NewOperator {
        id: OperatorId::parse(id).unwrap(),
        role: Role::Auditor,
        password: Some(Password::parse_new(PASSWORD).unwrap()),
    };
    let error = world.station.add_operator(&technician(), new("tom")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotPermitted);
    let error = world.station.add_operator(&administrator(), new("tess")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::OperatorExists);
    world.station.add_operator(&administrator(), new("tom")).await.unwrap();
    let listed = world.station.operators(&administrator()).await.unwrap();
    let names: Vec<_> = listed.iter().map(|row| (row.id.as_str(), row.role)).collect();
    assert_eq!(names, [("tess", Role::Technician), ("tom", Role::Auditor)]);
    assert_eq!(
        world.station.operators(&technician()).await.unwrap_err().code(),
        ErrorCode::NotPermitted
    );
    let login = world.station.login(source(1), "tess", PASSWORD).await.unwrap();
    assert_eq!(login.role, Role::Technician, "the refused account changed nothing");
}

#[tokio::test(start_paused = true)]
async fn a_new_station_gets_one_first_administrator() {
    use zmon_station::ports::{Clock, Entropy};
    let store = common::store::MemoryStore::default();
    let clock = common::runtime::TestClock::new();
    let entropy = common::runtime::SeededEntropy::new(5);
    let mut rng = entropy.generator();
    let password = Password::generate(rng.as_mut());
    assert_eq!(password.expose().len(), 20);
    let id = OperatorId::parse("admin").unwrap();
    let now = clock.now();
    bootstrap_administrator(&*store, &now, rng.as_mut(), id.clone(), &password, true)
        .await
        .unwrap();
    let account = store.operator(&id).await.unwrap().unwrap();
    assert_eq!((account.role, account.one_time), (Role::Administrator, true));
    assert_eq!(store.count(EventType::OperatorAdded), 1);
    let again = bootstrap_administrator(&*store, &now, rng.as_mut(), id, &password, true).await;
    assert_eq!(again.unwrap_err().code(), ErrorCode::StateConflict);
}

#[tokio::test(start_paused = true)]
async fn another_key_for_a_known_device_is_an_administrators_word() {
    let world = World::new().await;
    let device = FakeDevice::new(1, Suite::P256);
    world.know(&[&device]).await;
    let paired = world.station.pair(&technician(), device.pair_request()).await;
    assert!(matches!(paired, Ok(zmon_station::PairOutcome::Paired(_))));
    let _other = world.station.import(&administrator(), &lines(&[row(2)])).await.unwrap();
    let mut events = world.station.events();
    let id = row(1).device_id;
    let new = ManifestRow { identity_key: row(9).identity_key, ..row(1) };

    let refused = world.station.rekey(&technician(), &id, &lines(from_ref(&new))).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::NotPermitted);
    let taken = ManifestRow { identity_key: row(2).identity_key, ..row(1) };
    let serial = ManifestRow { device_serial: row(3).device_serial, ..new.clone() };
    for (rows, code) in [
        (vec![taken], ErrorCode::DeviceKeyConflict),
        (vec![serial], ErrorCode::RequestMalformed),
        (vec![row(2)], ErrorCode::RequestMalformed),
        (vec![new.clone(), row(4)], ErrorCode::RequestMalformed),
    ] {
        let refused = world.station.rekey(&administrator(), &id, &lines(&rows)).await;
        assert_eq!(refused.unwrap_err().code(), code);
    }
    let unknown = row(5).device_id;
    let refused = world.station.rekey(&administrator(), &unknown, &lines(&[row(5)])).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::DeviceUnknown);
    assert_eq!(world.store.count(EventType::DeviceRekeyed), 2, "refusals have their rows");

    let answer = world.station.rekey(&administrator(), &id, &lines(from_ref(&new))).await.unwrap();
    assert_eq!((answer.identity_key, answer.revoked), (new.identity_key, 1));
    let states: Vec<_> = world.store.certificates().iter().map(|row| row.state.as_str()).collect();
    assert_eq!(states, ["revoked"], "what is left of the old key");
    let again = world.station.rekey(&administrator(), &id, &lines(&[new])).await.unwrap();
    assert_eq!(again.revoked, 0, "said twice is said once");
    assert_eq!(world.store.count(EventType::DeviceRekeyed), 3);
    let alarmed = std::iter::from_fn(|| events.try_recv().ok())
        .any(|event| matches!(event, StationEvent::Alarm { .. }));
    assert!(!alarmed, "an administrator said so");
    // Its old key is a stranger's now.
    device.open_window();
    let refused = world.station.pair(&technician(), device.pair_request()).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::DeviceKeyConflict);
}
