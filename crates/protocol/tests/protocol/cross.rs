//! Every device's configuration brought to every other device of a ward, as it is and readdressed (T12).

use zmon_crypto::Suite;
use zmon_crypto::x509::AnchorSet;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, DeviceSerial, SessionId};
use zmon_protocol::device::{DeviceInput, DeviceReply, StateKind};

use crate::common::device::Device;
use crate::common::{Forge, Pair};

/// The session's place in an envelope: behind version and suite.
const SESSION: core::ops::Range<usize> = 2..18;

/// A claimed device, and what its station has for it.
struct Claimed {
    device: Device,
    session: SessionId,
    envelope: Vec<u8>,
}

/// A ward whose devices one station has claimed, each with its own configuration made and not yet delivered.
pub(crate) struct Ward {
    pair: Pair,
    claimed: Vec<Claimed>,
}

impl Ward {
    /// So many devices.
    pub(crate) fn new(seed: u64, devices: u64) -> Self {
        let mut pair = Pair::new(seed);
        let claimed = (0..devices).map(|number| claim(&mut pair, seed, number)).collect();
        Self { pair, claimed }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.claimed.len()
    }

    /// Brings every other device's configuration to the one at this place, then its own. Returns how many
    /// were refused.
    ///
    /// # Errors
    /// What was taken, or not refused as it must be.
    pub(crate) fn deliver_to(&mut self, place: usize) -> Result<u64, String> {
        let now = self.pair.now();
        let foreign: Vec<Vec<u8>> = self.claimed.iter().map(|one| one.envelope.clone()).collect();
        let one = &mut self.claimed[place];
        let mut refused = 0;
        for (from, mut envelope) in foreign.into_iter().enumerate() {
            if from == place {
                continue;
            }
            for cause in [ErrorCode::ClaimRefused, ErrorCode::EnvelopeMacInvalid] {
                let input = DeviceInput::Configuration { envelope: envelope.clone() };
                let answer = one.device.input(&now, input);
                let code = answer.as_ref().err().map(|report| report.code);
                let kind = one.device.machine.kind();
                if code != Some(cause) || kind != StateKind::Pairing {
                    return Err(format!("{from} to {place}: {answer:?}, {kind:?}, not {cause}"));
                }
                // The same bytes, addressed to this device's session.
                envelope[SESSION].copy_from_slice(one.session.as_bytes());
            }
            refused += 1;
            one.device.audit.clear();
            one.device.commits.clear();
        }
        let own = DeviceInput::Configuration { envelope: one.envelope.clone() };
        match one.device.input(&now, own) {
            Ok(DeviceReply::Pending) => Ok(refused),
            answer => Err(format!("{place} does not take its own: {answer:?}")),
        }
    }
}

/// A device enters provisioning mode, is claimed by the pair's station, and gets its configuration made.
fn claim(pair: &mut Pair, seed: u64, number: u64) -> Claimed {
    let anchors = AnchorSet::from_anchors([pair.station.ca.anchor()]).unwrap();
    let random = seed.wrapping_mul(1 << 20).wrapping_add(number);
    let mut device = Device::new(random, Suite::P256, anchors, &pair.now());
    device.profile.device_id = DeviceId::parse(&format!("ZM-{number:04}")).unwrap();
    device.profile.serial = DeviceSerial::parse(&format!("SN-2026-{number:06}")).unwrap();
    let before = core::mem::replace(&mut pair.device, device);
    pair.enter();
    let forge = Forge::claim(pair);
    let document = forge.document(pair);
    let envelope = forge.envelope(pair, &document);
    let device = core::mem::replace(&mut pair.device, before);
    Claimed { device, session: forge.hello.session_id, envelope }
}

#[test]
fn no_device_takes_what_is_for_another() {
    let mut ward = Ward::new(1, 101);
    let refused: u64 = (0..ward.len()).map(|place| ward.deliver_to(place).unwrap()).sum();
    assert_eq!(refused, 10_100);
}
