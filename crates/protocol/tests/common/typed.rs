//! A station that runs the typed code message by message, and can be made to lie.

use zmon_crypto::jws::Typ;
use zmon_crypto::pake::{Confirmation, PakeError, PakeInputs, Prover, Share};
use zmon_domain::code::PairingCode;
use zmon_domain::error::ErrorReport;
use zmon_domain::ids::{SessionId, WindowId};
use zmon_protocol::device::{DeviceInput, DeviceReply};
use zmon_wire::hello::Hello;
use zmon_wire::kind::Method;
use zmon_wire::strict;

use super::forge;
use super::pair::Pair;

/// The station's side of a run.
pub(crate) struct Run {
    pub(crate) session: SessionId,
    pub(crate) hello: Vec<u8>,
    pub(crate) share_p: [u8; 65],
    prover: Prover,
}

/// The window the device names.
pub(crate) fn window(pair: &mut Pair) -> WindowId {
    match pair.tell(DeviceInput::AskWindow) {
        Ok(DeviceReply::Window(device, window)) => {
            assert_eq!(device, pair.device.profile.device_id);
            window
        }
        other => panic!("no window is open: {other:?}"),
    }
}

impl Run {
    /// Begins as an honest station does, with this code.
    pub(crate) fn new(pair: &mut Pair, code: &str) -> Self {
        Self::with(pair, code, |_| ())
    }

    /// As [`Run::new`], with a hello that has been bent.
    pub(crate) fn with(pair: &mut Pair, code: &str, bend: impl FnOnce(&mut Hello)) -> Self {
        let window = window(pair);
        let mut hello = forge::hello(pair);
        hello.method = Method::Typed;
        hello.window_ref = *window.as_bytes();
        bend(&mut hello);
        let payload = strict::to_vec(&hello).unwrap();
        let signed = forge::sign(pair, Typ::Hello, None, &payload);
        let inputs = PakeInputs {
            code: &PairingCode::parse_any(code).unwrap(),
            window_id: &window,
            hello: &signed,
            station_id: &hello.station_id,
            device_id: &pair.device.profile.device_id.clone(),
        };
        let (prover, share_p) = Prover::start(&inputs, &mut pair.station.rng).unwrap();
        Self { session: hello.session_id, hello: signed, share_p: *share_p.as_bytes(), prover }
    }

    /// Sends hello and share.
    pub(crate) fn start(&self, pair: &mut Pair) -> Result<DeviceReply, ErrorReport> {
        let (hello, share_p) = (self.hello.clone(), self.share_p);
        pair.tell(DeviceInput::PakeStart { hello, share_p })
    }

    /// The confirmation that the device's answer allows.
    pub(crate) fn confirmation(&self, answer: &DeviceReply) -> Result<Confirmation, PakeError> {
        let DeviceReply::Share { share_v, confirm_v } = answer else { panic!("{answer:?}") };
        let share_v = Share::parse(share_v)?;
        Ok(self.prover.finish(&self.hello, &share_v, confirm_v)?.0)
    }

    /// Sends a confirmation.
    pub(crate) fn confirm(
        &self,
        pair: &mut Pair,
        confirm_p: Confirmation,
    ) -> Result<DeviceReply, ErrorReport> {
        pair.tell(DeviceInput::PakeConfirm { session_id: self.session, confirm_p })
    }
}

/// A code that is not this one.
pub(crate) fn other_code(code: &str) -> &'static str {
    if code == "ABC-123-XYZ" { "000-000-00R" } else { "ABC-123-XYZ" }
}
