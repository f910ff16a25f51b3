//! What devices ask: with their certificate, or under an ALPN name without one.

use zmon_domain::limits;
use zmon_wire::admin::TestAnswer;
use zmon_wire::carry::{PollAnswer, PollRequest};
use zmon_wire::heartbeat::{Heartbeat, HeartbeatAnswer};
use zmon_wire::outcome::{CommitRequest, OutcomeAnswer, OutcomeRequest};
use zmon_wire::pull::{FetchRequest, PullAnswer, PullRequest};
use zmon_wire::retire::{RetireAnswer, RetireRequest};

use crate::contract::{Operation, Proof};
use crate::paths;

const BODY: usize = limits::BODY_MAX.default;
/// Those of any request: a query, a certificate that counts no more, a foreign host, faults.
const ALWAYS: [u16; 7] = [400, 401, 403, 421, 500, 503, 504];

pub(super) fn operations() -> Vec<Operation> {
    let all = [
        Operation::get(paths::DEVICE_TEST, "Tests a new connection.").answers::<TestAnswer>(),
        Operation::post(paths::DEVICE_COMMIT, "Asks the station to make a certificate current.")
            .takes::<CommitRequest>(BODY)
            .answers::<OutcomeAnswer>()
            .refuses(&[404, 409, 410]),
        Operation::post(paths::DEVICE_RENEW, "Asks for a new certificate.")
            .takes::<PullRequest>(BODY)
            .answers::<PullAnswer>()
            .refuses(&[404, 409, 410, 422, 429]),
        Operation::post(
            paths::DEVICE_RENEW_IDENTITY,
            "Fetches the sealed configuration of a renewal.",
        )
        .takes::<FetchRequest>(BODY)
        .answers_bytes()
        .refuses(&[404, 409, 410, 422, 429, 502]),
        Operation::post(paths::DEVICE_HEARTBEAT, "Says that a device is alive.")
            .takes::<Heartbeat>(BODY)
            .answers::<HeartbeatAnswer>()
            .refuses(&[404, 409]),
    ];
    let certified = |operation: Operation| operation.proved_by(Proof::Certificate).refuses(&ALWAYS);
    all.map(certified).to_vec()
}

pub(super) fn outcome() -> Vec<Operation> {
    let retire = Operation::post(paths::RETIRE, "States that certificates were given up (D21).")
        .takes::<RetireRequest>(BODY)
        .answers::<RetireAnswer>();
    vec![signed(asked()), signed(retire)]
}

/// The question of a device in doubt, which operators may carry.
pub(super) fn asked() -> Operation {
    Operation::post(paths::OUTCOME, "Asks what became of a commit (D13).")
        .takes::<OutcomeRequest>(BODY)
        .answers::<OutcomeAnswer>()
        .proved_by(Proof::Signature)
        .refuses(&[404, 409])
}

pub(super) fn recovery() -> Vec<Operation> {
    let recover =
        Operation::post(paths::RECOVER, "Asks for a certificate in an expired one's place.")
            .takes::<PullRequest>(BODY)
            .answers::<PullAnswer>();
    let fetch =
        Operation::post(paths::RECOVER_IDENTITY, "Fetches the sealed configuration of a recovery.")
            .takes::<FetchRequest>(BODY)
            .answers_bytes();
    vec![signed(recover), signed(fetch)]
}

pub(super) fn pull() -> Vec<Operation> {
    let poll = Operation::post(paths::POLL, "Comes for the next message of a pairing (D7).")
        .takes::<PollRequest>(BODY)
        .answers::<PollAnswer>();
    vec![signed(poll)]
}

/// Whatever is wrong with a request that is not signed is 403; what is signed can be refused as well.
fn signed(operation: Operation) -> Operation {
    let operation = operation.proved_by(Proof::Signature);
    operation.refuses(&[403, 404, 409, 410, 422, 429, 500, 502, 503, 504])
}
