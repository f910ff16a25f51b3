//! A part of each firmware crate, run for real.

use core::time::Duration;

use zmon_crypto::{
    Algorithms, AnchorSet, CodeHashKey, IdentityKey, KemKey, RootSecret, SoftIdentity, Suite,
    TokenKey, code_hash,
    envelope::{self, Envelope, SealInput},
    labels,
    schedule::{Prk, transcript},
};
use zmon_domain::{
    address::DeviceAddress,
    code::{CodeFormat, PairingCode},
    ids::{DeviceId, DeviceSerial, FirmwareVersion, MessageId, OperatorId, SessionId},
    role::{Role, danger},
    state::ProvisioningState,
    time::{ClockQuality, Now, Tick, UnixTime},
};
use zmon_protocol::device::{BootState, DeviceContext, DeviceInput, DeviceMachine, DeviceProfile};
use zmon_wire::qr::QrContent;

use crate::generator::Counting;

/// Which check did not hold.
type Outcome = Result<(), i32>;

/// Runs every check.
pub fn all() -> Outcome {
    let mut rng = Counting(1);
    domain(&mut rng)?;
    crypto(Suite::P256, &mut rng)?;
    crypto(Suite::Rsa2048, &mut rng)?;
    protocol_and_wire(&mut rng)
}

fn domain(rng: &mut Counting) -> Outcome {
    let code = PairingCode::parse("abc-123-xyz", CodeFormat::Grouped9).map_err(|_| 10)?;
    hold(code.display().as_str() == "ABC-123-XYZ", 11)?;
    let made = PairingCode::generate(CodeFormat::Short6, rng);
    PairingCode::parse(&made.display(), CodeFormat::Short6).map_err(|_| 12)?;
    Ok(())
}

/// A configuration sealed by a station and opened by a device.
fn crypto(suite: Suite, rng: &mut Counting) -> Outcome {
    let key = KemKey::generate(suite, rng).map_err(|_| 20)?;
    let prk = Prk::from_hello(b"hello", &[7; 51]);
    let bound = transcript(b"hello", b"identity");
    let keys = prk.session(&bound);
    let input = SealInput {
        suite,
        kem_public: key.public(),
        session_id: SessionId::from_bytes([1; 16]),
        message_id: MessageId::from_bytes([2; 16]),
        transcript: &bound,
        keys: &keys,
    };
    let sealed = envelope::seal(&input, b"configuration", rng).map_err(|_| 21)?;
    let envelope = Envelope::parse(&sealed).map_err(|_| 22)?;
    let proof = envelope.verify_mac(&keys).map_err(|_| 23)?;
    let opened = envelope.open(proof, &key, &keys, &bound, rng).map_err(|_| 24)?;
    hold(opened.expose() == b"configuration", 25)
}

/// A device that enters provisioning mode and shows its QR code.
fn protocol_and_wire(rng: &mut Counting) -> Outcome {
    let profile = DeviceProfile::new(
        DeviceId::parse("ZM-001").map_err(|_| 30)?,
        DeviceSerial::parse("SN-2024-001234").map_err(|_| 31)?,
        FirmwareVersion::parse("1.2.3").map_err(|_| 32)?,
    );
    let root = RootSecret::generate(rng);
    let identity = SoftIdentity::generate(Suite::P256, rng).map_err(|_| 33)?;
    let token_key = TokenKey::from_secret(root.derive(labels::TOKEN));
    let code_hash_key = CodeHashKey::from_secret(root.derive(labels::CODE_HASH));
    let (anchors, algorithms) = (AnchorSet::new(), Algorithms::rustcrypto());
    let context = DeviceContext {
        profile: &profile,
        identity: &identity,
        token_key: &token_key,
        code_hash_key: &code_hash_key,
        anchors: &anchors,
        algorithms: &algorithms,
        checkpoint: None,
    };
    let now = Now {
        mono: Tick::new(Duration::from_secs(1)),
        wall: UnixTime::from_unix(1_800_000_000),
        quality: ClockQuality::Synced,
        millis: Some(1_800_000_000_000),
    };
    let operator = OperatorId::parse("tina").map_err(|_| 34)?;
    let until = Tick::new(Duration::from_secs(60));
    let proof = danger::authenticated(operator, Role::Technician, until);
    let address = DeviceAddress::parse("192.168.1.100").map_err(|_| 35)?;

    let machine = DeviceMachine::restore(BootState::default(), &context, &now).next;
    let entered = machine.handle(&context, &now, rng, DeviceInput::Enter { proof, address });
    hold(!entered.record.audit.is_empty(), 36)?;
    let input = DeviceInput::ListenerOpened { port: 8443 };
    let machine = entered.next.handle(&context, &now, rng, input).next;
    hold(machine.state() == ProvisioningState::ReadyToPair, 37)?;

    let snapshot = machine.snapshot(&now);
    let shown = snapshot.qr.ok_or(38)?.to_json().map_err(|_| 39)?;
    let scanned = QrContent::parse(shown.as_bytes()).map_err(|_| 40)?;
    let code = PairingCode::parse_any(scanned.pairing_code.expose()).map_err(|_| 41)?;
    let other = PairingCode::parse_any("ABC-123-XYZ").map_err(|_| 42)?;
    hold(code_hash(&code_hash_key, &code) != code_hash(&code_hash_key, &other), 43)?;
    hold(identity.public().suite() == Suite::P256, 44)
}

fn hold(holds: bool, step: i32) -> Outcome {
    if holds { Ok(()) } else { Err(step) }
}
