//! The six signals of [I §2.1] on every path, in their order.

use zmon_domain::error::ErrorCode;
use zmon_domain::role::Actor;
use zmon_protocol::device::{DeviceEvent, DeviceInput, LinkError};

use crate::common::typed::{Run, other_code};
use crate::common::{Commit, Forge, Pair, administrator, seconds, technician};

/// Names of the signals, in order.
pub(crate) fn names(signals: &[DeviceEvent]) -> Vec<String> {
    signals
        .iter()
        .map(|signal| match signal {
            DeviceEvent::StatusChanged(status) => format!("statusChanged {}", status.as_str()),
            DeviceEvent::QrCodeGenerated => "qrCodeGenerated".into(),
            DeviceEvent::QrCodeExpired => "qrCodeExpired".into(),
            DeviceEvent::ConfigurationReceived { .. } => "configurationReceived".into(),
            DeviceEvent::ProvisioningCompleted { .. } => "provisioningCompleted".into(),
            DeviceEvent::ProvisioningFailed(report) => {
                format!("provisioningFailed {}", report.code)
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

const LOST: LinkError = LinkError::Network(ErrorCode::StationUnreachable);

type Act = fn(&mut Pair);

fn enter(pair: &mut Pair) {
    pair.enter();
}

fn claimed(pair: &mut Pair) {
    pair.enter();
    let _claim = Forge::claim(pair);
}

/// Slot B is staged and its test has failed once.
fn testing(pair: &mut Pair) {
    pair.enter();
    pair.tests.push_back(Err(LOST));
    pair.pair();
}

fn provisioned(pair: &mut Pair) {
    pair.enter();
    pair.pair();
}

fn claimed_again(pair: &mut Pair) {
    provisioned(pair);
    pair.reprovision();
    let _claim = Forge::claim(pair);
}

/// Every commit is lost on its way there, or on its way back; nothing was asked yet.
fn doubt(pair: &mut Pair, fate: Commit) {
    pair.enter();
    pair.commits.extend([fate; 3]);
    pair.pair();
    pair.pass(seconds(2));
}

fn committed_in_doubt(pair: &mut Pair) {
    doubt(pair, Commit::AnswerLost);
}

fn aborted_in_doubt(pair: &mut Pair) {
    doubt(pair, Commit::RequestLost);
}

fn expired(pair: &mut Pair) {
    pair.enter();
    pair.pass(seconds(601));
}

fn exit(pair: &mut Pair) {
    pair.tell(DeviceInput::Exit { actor: Actor::Local }).unwrap();
}

fn reset(pair: &mut Pair) {
    let proof = technician(&pair.now());
    pair.tell(DeviceInput::Reset { proof }).unwrap();
}

fn retry(pair: &mut Pair) {
    let proof = technician(&pair.now());
    pair.tell(DeviceInput::Retry { proof }).unwrap();
}

fn deprovision(pair: &mut Pair) {
    let proof = administrator(&pair.now());
    pair.tell(DeviceInput::Deprovision { proof }).unwrap();
}

fn factory_reset(pair: &mut Pair) {
    let confirmation = pair.device.profile.device_id.to_string();
    let proof = administrator(&pair.now());
    pair.tell(DeviceInput::FactoryReset { proof, confirmation, new_identity: false }).unwrap();
}

fn restart(pair: &mut Pair) {
    pair.restart().unwrap();
}

fn wait(pair: &mut Pair) {
    pair.pass(seconds(200));
}

fn regenerate(pair: &mut Pair) {
    pair.tell(DeviceInput::Regenerate { actor: Actor::Local }).unwrap();
}

fn five_wrong_codes(pair: &mut Pair) {
    let code = pair.code();
    for _ in 0..5 {
        let run = Run::new(pair, other_code(&code));
        run.start(pair).unwrap();
        assert!(run.confirm(pair, [0; 32]).is_err());
    }
}

fn renew(pair: &mut Pair) {
    pair.renew();
}

fn renew_in_vain(pair: &mut Pair) {
    pair.pulls.push_back(LOST);
    pair.renew();
}

fn release(pair: &mut Pair) {
    pair.pass(seconds(150));
}

const PATHS: &[(&str, Act, Act, &[&str])] = &[
    ("a window opens", |_| (), enter, &["statusChanged READY_TO_PAIR", "qrCodeGenerated"]),
    (
        "a window runs out",
        enter,
        |pair| pair.pass(seconds(601)),
        &[
            "qrCodeGenerated",
            "qrCodeExpired",
            "provisioningFailed pairing_code_expired",
            "statusChanged PROVISIONING_FAILED",
        ],
    ),
    ("a new code is asked for", enter, regenerate, &["qrCodeGenerated"]),
    ("the typed code is void", enter, five_wrong_codes, &["qrCodeExpired"]),
    ("a claim", enter, |pair| drop(Forge::claim(pair)), &[]),
    ("a claim is released", claimed, release, &["qrCodeGenerated"]),
    ("exit from a window", enter, exit, &["statusChanged UNPROVISIONED"]),
    ("exit from a claim", claimed, exit, &["statusChanged UNPROVISIONED"]),
    ("exit from a test", testing, exit, &["statusChanged UNPROVISIONED"]),
    ("exit from an error", expired, exit, &["statusChanged UNPROVISIONED"]),
    ("exit, slot A alive", claimed_again, exit, &["statusChanged PROVISIONED"]),
    ("reset of a test", testing, reset, &["statusChanged UNPROVISIONED"]),
    ("reset, slot A alive", claimed_again, reset, &["statusChanged PROVISIONED"]),
    ("retry", expired, retry, &["statusChanged READY_TO_PAIR", "qrCodeGenerated"]),
    ("deprovisioning", provisioned, deprovision, &["statusChanged DEPROVISIONED"]),
    ("… in a session", claimed_again, deprovision, &["statusChanged DEPROVISIONED"]),
    ("a factory reset", provisioned, factory_reset, &["statusChanged UNPROVISIONED"]),
    ("… in doubt", committed_in_doubt, factory_reset, &["statusChanged UNPROVISIONED"]),
    // Who subscribes after a restart is told the status first.
    ("a restart with a window", enter, restart, &[]),
    ("a restart in a session", testing, restart, &[]),
    (
        "in doubt, committed",
        committed_in_doubt,
        wait,
        &["provisioningCompleted", "statusChanged PROVISIONED"],
    ),
    (
        "… found at a restart",
        committed_in_doubt,
        restart,
        &["provisioningCompleted", "statusChanged PROVISIONED"],
    ),
    (
        "in doubt, aborted",
        aborted_in_doubt,
        wait,
        &["provisioningFailed commit_aborted", "statusChanged PROVISIONING_FAILED"],
    ),
    (
        "a renewal",
        provisioned,
        renew,
        &[
            "statusChanged READY_TO_PAIR",
            "configurationReceived",
            "statusChanged PAIRING_RECEIVED",
            "provisioningCompleted",
            "statusChanged PROVISIONED",
        ],
    ),
    ("a renewal in vain", provisioned, renew_in_vain, &["provisioningFailed station_unreachable"]),
    (
        "three tests in vain",
        testing,
        |pair| {
            pair.tests.extend([Err(LOST); 2]);
            pair.pass(seconds(5));
        },
        &["provisioningFailed connection_test_failed", "statusChanged PROVISIONING_FAILED"],
    ),
];

#[test]
fn signals_come_in_one_order_on_every_path() {
    for (seed, (path, before, run, expected)) in (300..).zip(PATHS) {
        let mut pair = Pair::new(seed);
        before(&mut pair);
        pair.signals.clear();
        run(&mut pair);
        let mut signals = names(&pair.signals);
        // The image is redrawn every 30 s.
        signals.dedup();
        assert_eq!(signals, *expected, "{path}");
    }
}
