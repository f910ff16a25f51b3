//! Somebody guesses at the code of an open window for as long as it lasts (T1, T2, D2).

use zmon_domain::audit::EventType;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::SessionId;
use zmon_domain::role::Role;
use zmon_protocol::device::{DeviceInput, DeviceReply};
use zmon_protocol::station::{SessionPhase, TypedTries};

use crate::common::typed::{Run, other_code};
use crate::common::{Pair, actor, seconds};

/// Guesses between two looks at the clock.
const PAUSE: u64 = 500;
/// No point of any curve: whoever looked at it before the tries would say so.
const NO_POINT: [u8; 65] = [4; 65];

/// What the guesses at one device have come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Guessed {
    /// How many there were.
    pub(crate) guesses: u64,
    /// How many of them were counted as tries.
    pub(crate) counted: u64,
    /// How often the device was restarted meanwhile.
    pub(crate) restarts: u64,
}

/// Guesses at a device by somebody who has a signed hello (an insider), so that tries are spent; in
/// every window. The device is restarted in between if `restart`; then a technician pairs it by QR code.
///
/// # Errors
/// What did not hold.
pub(crate) fn guess(seed: u64, guesses: u64, restart: bool) -> Result<Guessed, String> {
    let mut pair = Pair::new(seed);
    pair.enter();
    let mut seen = Guessed::default();
    let first = if restart { guesses / 2 } else { guesses };
    at_window(&mut pair, first, &mut seen)?;
    if restart {
        seen.restarts += 1;
        drop(pair.restart());
        // A window does not outlive a restart: what is guessed now is guessed at nothing.
        let closed = pair.tell(DeviceInput::PakeStart { hello: Vec::new(), share_p: NO_POINT });
        if closed.is_ok() {
            return Err(format!("guessed without a window: {closed:?}"));
        }
        pair.enter();
        at_window(&mut pair, guesses - first, &mut seen)?;
    }
    // Its code is void; a new one is shown, and the pairing goes through.
    pair.tell(DeviceInput::Regenerate { actor: actor(Role::Technician) })
        .map_err(|report| format!("no new code: {report:?}"))?;
    pair.station.tries = TypedTries::default();
    match pair.pair() {
        SessionPhase::Paired => Ok(seen),
        phase => Err(format!("an honest pairing ended as {phase:?}")),
    }
}

/// Guesses at the window that is open.
fn at_window(pair: &mut Pair, guesses: u64, seen: &mut Guessed) -> Result<(), String> {
    let code = pair.code();
    let (rows, mut counted) = (pair.device.rows(EventType::TypedTryStarted).len(), 0u64);
    let right = Run::new(pair, &code);
    let mut runs = Vec::new();
    for number in 0..guesses {
        let answer = if counted < 5 {
            let run = Run::new(pair, other_code(&code));
            let answer = run.start(pair);
            let claimed = answer.and_then(|_| run.confirm(pair, [0; 32]));
            counted += 1;
            runs.push(run);
            claimed
        } else if let Some(run) = runs.get((number % 7) as usize) {
            // Again with a hello that holds, and a share that does not.
            pair.tell(DeviceInput::PakeStart { hello: run.hello.clone(), share_p: NO_POINT })
        } else {
            let session_id = SessionId::from_bytes(u128::from(number).to_be_bytes());
            pair.tell(DeviceInput::PakeConfirm { session_id, confirm_p: [0; 32] })
        };
        match answer {
            Err(report) if report == ErrorCode::ClaimRefused.into() => {}
            other => return Err(format!("guess {number}: {other:?}")),
        }
        if number % PAUSE == 0 {
            pair.pass(seconds(1));
        }
    }
    // Not even the right one is looked at any more.
    let right = right.start(pair);
    if counted == 5 && right != Err(ErrorCode::ClaimRefused.into()) {
        return Err(format!("the right code after five tries: {right:?}"));
    }
    let spent = pair.device.rows(EventType::TypedTryStarted).len() - rows;
    let looked = pair.device.audit.iter().any(|row| row.error == Some(ErrorCode::RequestMalformed));
    if spent as u64 != counted || pair.device.tries > 5 || looked {
        let tries = pair.device.tries;
        return Err(format!("{spent} rows, {counted} counted, {tries} tries, looked: {looked}"));
    }
    seen.guesses += guesses;
    seen.counted += counted;
    Ok(())
}

#[test]
fn of_all_guesses_five_a_window_are_counted_and_none_is_right() {
    let seen = guess(1, 10_000, true).unwrap();
    assert_eq!(seen, Guessed { guesses: 10_000, counted: 10, restarts: 1 });
    let seen = guess(2, 10_000, false).unwrap();
    assert_eq!(seen, Guessed { guesses: 10_000, counted: 5, restarts: 0 });
}

/// What the check would see if the share were looked at first.
#[test]
fn a_share_that_is_no_point_has_a_cause_of_its_own() {
    let mut pair = Pair::new(3);
    pair.enter();
    let code = pair.code();
    let run = Run::new(&mut pair, &code);
    let start = DeviceInput::PakeStart { hello: run.hello.clone(), share_p: NO_POINT };
    assert_eq!(pair.tell(start).unwrap_err(), ErrorCode::ClaimRefused.into());
    assert_eq!(
        pair.device.last().error,
        Some(ErrorCode::RequestMalformed),
        "{:?}",
        pair.device.last()
    );
    let open: Result<DeviceReply, _> = run.start(&mut pair);
    assert!(matches!(open, Ok(DeviceReply::Share { .. })), "and costs no try");
}
