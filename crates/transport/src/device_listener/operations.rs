//! What a station asks of a device, as data.

use zmon_domain::limits;
use zmon_wire::blink::{BlinkAnswer, BlinkRequest};
use zmon_wire::pake::{PakeConfirm, PakeStart, PakeStarted, WindowAnswer};
use zmon_wire::session::{DeliveryAnswer, SessionAnswer, SessionOpen};

use crate::contract::{Operation, Proof};
use crate::paths;

const BODY: usize = limits::BODY_MAX.default;
/// What the claim of a connection may learn of its refusals.
const CLAIMED: [u16; 9] = [400, 404, 409, 410, 422, 429, 500, 502, 503];

/// Every operation of a device's provisioning listener.
pub fn operations() -> Vec<Operation> {
    let all = [
        Operation::post(paths::SESSION, "Claims the device with a scanned token.")
            .takes_claim::<SessionOpen>(BODY)
            .answers::<SessionAnswer>(),
        Operation::get(paths::WINDOW, "Says which window is open, for a typed code.")
            .answers::<WindowAnswer>(),
        Operation::post(paths::PAKE_START, "Begins a run of the typed code.")
            .takes_claim::<PakeStart>(BODY)
            .answers::<PakeStarted>(),
        Operation::post(paths::PAKE_CONFIRM, "Claims the device at the end of such a run.")
            .takes_claim::<PakeConfirm>(BODY)
            .answers::<SessionAnswer>(),
        Operation::post(paths::BLINK, "Has the screen of the claimed device blink.")
            .takes_claim::<BlinkRequest>(BODY)
            .answers::<BlinkAnswer>()
            .refuses(&CLAIMED),
        Operation::post(paths::CONFIGURATION, "Delivers the sealed configuration.")
            .takes_bytes(BODY)
            .answers::<DeliveryAnswer>()
            .refuses(&CLAIMED),
    ];
    // Before a claim every refusal is the same.
    all.map(|operation| operation.proved_by(Proof::Window).refuses(&[403])).to_vec()
}
