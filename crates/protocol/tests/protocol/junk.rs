//! Junk costs memory for a counter, not a commit (D16).

use zmon_domain::audit::EventType as E;
use zmon_domain::error::ErrorCode;
use zmon_protocol::device::{DeviceInput, StateKind};
use zmon_protocol::station::SessionPhase;

use crate::common::{Pair, forge, seconds};

fn junk(pair: &mut Pair, code: ErrorCode) {
    pair.tell(DeviceInput::Junk { code }).unwrap();
}

#[test]
fn one_row_per_reason_and_minute() {
    let mut pair = Pair::new(81);
    pair.enter();
    let commits = pair.device.commits.len();
    for _ in 0..1000 {
        junk(&mut pair, ErrorCode::RequestMalformed);
        let report = forge::open(&mut pair, b"no jws".to_vec(), [0; 32]).unwrap_err();
        assert_eq!(report, ErrorCode::ClaimRefused.into());
    }
    assert_eq!(pair.device.commits.len(), commits, "no commit per request");
    pair.pass(seconds(60));
    assert_eq!(pair.device.commits.len(), commits + 1, "one for both");
    let rows = pair.device.rows(E::JunkRefused);
    assert_eq!(rows.len(), 2);
    for (row, code) in rows.iter().zip([ErrorCode::RequestMalformed, ErrorCode::HelloMalformed]) {
        assert_eq!(row.error, Some(code));
        assert!(row.detail.contains(&("count", "1000".into())));
    }
    junk(&mut pair, ErrorCode::RequestMalformed);
    pair.pass(seconds(60));
    assert_eq!(pair.device.rows(E::JunkRefused).len(), 3, "a new minute, a new row");
    assert_eq!(pair.pair(), SessionPhase::Paired, "and nobody was locked out");
}

#[test]
fn the_count_is_written_in_every_state_and_the_timer_goes_quiet() {
    let mut pair = Pair::new(82);
    assert_eq!(pair.device.machine.poll_timeout(), None);
    junk(&mut pair, ErrorCode::RouteUnknown);
    pair.pass(seconds(61));
    assert_eq!(pair.device.last().event, E::JunkRefused);
    assert_eq!(pair.device.machine.kind(), StateKind::NotProvisioned);
    assert_eq!(pair.device.machine.poll_timeout(), None);
}

#[test]
fn refusals_with_a_face_get_rows_until_their_budget_is_spent() {
    let mut pair = Pair::new(83);
    pair.enter();
    let token = forge::token(&pair);
    let mut hello = forge::hello(&mut pair);
    hello.window_ref = [1; 16];
    let (bytes, mac) = forge::claim_of(&mut pair, &hello, &token);
    for _ in 0..50 {
        forge::open(&mut pair, bytes.clone(), mac).unwrap_err();
    }
    assert_eq!(pair.device.rows(E::ClaimRefused).len(), 10);
    pair.pass(seconds(60));
    let row = pair.device.rows(E::JunkRefused)[0];
    assert_eq!(row.error, Some(ErrorCode::PairingTokenStale));
    assert!(row.detail.contains(&("count", "40".into())));
    forge::open(&mut pair, bytes, mac).unwrap_err();
    assert_eq!(pair.device.rows(E::ClaimRefused).len(), 11, "a new minute has a new budget");
}

#[test]
fn while_the_audit_log_is_down_nothing_is_lost() {
    let mut pair = Pair::new(84);
    junk(&mut pair, ErrorCode::RequestMalformed);
    pair.device.audit_down = true;
    pair.pass(seconds(120));
    assert!(pair.device.rows(E::JunkRefused).is_empty());
    pair.device.audit_down = false;
    pair.settle();
    assert_eq!(pair.device.rows(E::JunkRefused).len(), 1);
}
