//! Where the session is.

use alloc::boxed::Box;
use alloc::sync::Arc;

use zeroize::Zeroizing;
use zmon_crypto::Secret32;
use zmon_crypto::pake::{Prover, Share};
use zmon_crypto::schedule::Prk;
use zmon_domain::ids::Serial;
use zmon_domain::limits;
use zmon_wire::strict;

use super::super::context::SessionContext;
use super::super::dial;
use super::super::state::{AwaitingCommit, Call, Core, Delivering, Dialling, Issued, State};
use super::SnapshotError;
use super::codec::{Reader, Writer};
use super::device;

const DIALLING: u8 = 1;
const IDENTIFIED: u8 = 2;
const ISSUING: u8 = 3;
const DELIVERING: u8 = 4;
const AWAITING_COMMIT: u8 = 5;

const CLAIM: u8 = 1;
const OFFERED: u8 = 2;
const WINDOW: u8 = 3;
const START: u8 = 4;
const CONFIRM: u8 = 5;

pub(super) fn write(to: &mut Writer, state: &State) -> Result<(), SnapshotError> {
    match state {
        State::Dialling(dialling) => {
            to.byte(DIALLING);
            to.byte(dialling.attempt);
            to.option(dialling.retry_at, Writer::tick);
            call(to, &dialling.call);
            Ok(())
        }
        State::Identified(identified) => {
            to.byte(IDENTIFIED);
            device::write(to, identified)
        }
        State::Issuing(identified) => {
            to.byte(ISSUING);
            device::write(to, identified)
        }
        State::Delivering(delivering) => {
            to.byte(DELIVERING);
            to.byte(delivering.attempt);
            to.option(delivering.retry_at, Writer::tick);
            to.flag(delivering.committed);
            issued(to, &delivering.issued)
        }
        State::AwaitingCommit(awaiting) => {
            to.byte(AWAITING_COMMIT);
            issued(to, &awaiting.issued)
        }
        State::Paired(_) | State::Failed(_) | State::Released => {
            Err(SnapshotError::Member("state"))
        }
    }
}

fn call(to: &mut Writer, call: &Call) {
    match call {
        Call::Claim { hello, claim_mac, prk } => {
            to.byte(CLAIM);
            to.text(hello);
            to.raw(claim_mac);
            to.raw(prk.expose().expose());
        }
        Call::Offered { hello, prk } => {
            to.byte(OFFERED);
            to.text(hello);
            to.raw(prk.expose().expose());
        }
        Call::Window => to.byte(WINDOW),
        Call::Start { hello, share_p, prover, left } => {
            to.byte(START);
            to.text(hello);
            to.raw(share_p.as_bytes());
            to.bytes(prover.expose().expose());
            to.number(u64::from(*left));
        }
        Call::Confirm { hello, confirm_p, prk } => {
            to.byte(CONFIRM);
            to.text(hello);
            to.raw(confirm_p);
            to.raw(prk.expose().expose());
        }
    }
}

fn issued(to: &mut Writer, issued: &Issued) -> Result<(), SnapshotError> {
    device::write(to, &issued.device)?;
    to.bytes(issued.serial.as_bytes());
    to.bytes(&issued.envelope);
    to.raw(&issued.configuration_hash);
    let answer = strict::to_vec(&*issued.answer).map_err(|_| SnapshotError::Member("answer"))?;
    to.bytes(&answer);
    to.tick(issued.pending_until);
    Ok(())
}

pub(super) fn read(
    from: &mut Reader<'_>,
    ctx: &SessionContext<'_>,
    core: &Core,
) -> Result<State, SnapshotError> {
    Ok(match from.byte("state")? {
        DIALLING => State::Dialling(Box::new(Dialling {
            attempt: attempt(from)?,
            retry_at: retry_at(from)?,
            call: read_call(from, ctx, core)?,
        })),
        IDENTIFIED => State::Identified(Box::new(device::read(from, ctx, core)?)),
        ISSUING => State::Issuing(Box::new(device::read(from, ctx, core)?)),
        DELIVERING => State::Delivering(Box::new(Delivering {
            attempt: attempt(from)?,
            retry_at: retry_at(from)?,
            committed: from.flag("committed")?,
            issued: read_issued(from, ctx, core)?,
        })),
        AWAITING_COMMIT => {
            let issued = read_issued(from, ctx, core)?;
            State::AwaitingCommit(Box::new(AwaitingCommit { issued }))
        }
        _ => return Err(SnapshotError::Member("state")),
    })
}

fn attempt(from: &mut Reader<'_>) -> Result<u8, SnapshotError> {
    let attempt = from.byte("attempt")?;
    let known = (1..=limits::ATTEMPTS.default).contains(&attempt);
    known.then_some(attempt).ok_or(SnapshotError::Member("attempt"))
}

fn retry_at(from: &mut Reader<'_>) -> Result<Option<zmon_domain::time::Tick>, SnapshotError> {
    let most = dial::pause(limits::ATTEMPTS.default);
    from.option("retryAt", |from| from.tick("retryAt", most))
}

fn read_call(
    from: &mut Reader<'_>,
    ctx: &SessionContext<'_>,
    core: &Core,
) -> Result<Call, SnapshotError> {
    Ok(match from.byte("call")? {
        CLAIM => Call::Claim {
            hello: from.str("hello")?.into(),
            claim_mac: from.array("claimMac")?,
            prk: read_prk(from)?,
        },
        OFFERED => Call::Offered { hello: from.str("hello")?.into(), prk: read_prk(from)? },
        WINDOW => Call::Window,
        START => {
            let hello: Arc<str> = from.str("hello")?.into();
            let share_p = Share::parse(&from.array("shareP")?);
            let run = from.bytes("run")?;
            let prover = Prover::kept(run, hello.as_bytes(), ctx.station_id, &core.device_id);
            let left = u32::try_from(from.number("left")?);
            Call::Start {
                hello,
                share_p: share_p.map_err(|_| SnapshotError::Member("shareP"))?,
                prover: Box::new(prover.ok_or(SnapshotError::Member("run"))?),
                left: left.map_err(|_| SnapshotError::Member("left"))?,
            }
        }
        CONFIRM => Call::Confirm {
            hello: from.str("hello")?.into(),
            confirm_p: from.array("confirmP")?,
            prk: read_prk(from)?,
        },
        _ => return Err(SnapshotError::Member("call")),
    })
}

fn read_prk(from: &mut Reader<'_>) -> Result<Prk, SnapshotError> {
    let key = from.array::<{ Secret32::LEN }>("prk").map(Zeroizing::new)?;
    Ok(Prk::kept(Secret32::from_bytes(*key)))
}

fn read_issued(
    from: &mut Reader<'_>,
    ctx: &SessionContext<'_>,
    core: &Core,
) -> Result<Issued, SnapshotError> {
    let device = Box::new(device::read(from, ctx, core)?);
    let serial = Serial::from_bytes(from.bytes("serialNumber")?)
        .map_err(|_| SnapshotError::Member("serialNumber"))?;
    let envelope = from.bytes("envelope")?.into();
    let configuration_hash = from.array("configurationHash")?;
    let answer = strict::parse(from.bytes("answer")?, limits::BODY_MAX.max)
        .map_err(|_| SnapshotError::Member("answer"))?;
    Ok(Issued {
        device,
        serial,
        envelope,
        configuration_hash,
        answer: Arc::new(answer),
        pending_until: from.tick("pendingUntil", ctx.policy.pending_lifetime)?,
    })
}
