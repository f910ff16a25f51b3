//! Window to PNG, device apply, one whole pairing; and where the time of a pairing goes.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use zmon_bench::sample::{Cost, Samples, Stopwatch};
use zmon_bench::table::{Part, Row, Short, Target};
use zmon_domain::state::ProvisioningState;
use zmon_provisioning::IProvisioningService;
use zmon_testkit::TestStation;
use zmon_wire::qr::QrContent;

use crate::device::{Device, Trust};
use crate::fastest::Fastest;
use crate::primitives::Primitives;

/// Devices paired one after the other.
const DEVICES: usize = 40;
/// The first ones warm up.
const WARM_UP: usize = 5;
/// Transactions of a device in one pairing: claim, note, slot B, commit sent, flip, checkpoint.
const DEVICE_COMMITS: u32 = 6;
/// Transactions of a station in one pairing.
const STATION_COMMITS: u32 = 6;

/// The rows, and a table of the steps.
pub(crate) async fn rows(
    primitives: &Primitives,
    fastest: &Fastest,
    sealing: (Cost, Cost),
) -> (Vec<Row>, String) {
    let station = TestStation::start().await;
    let trust = Trust { anchor: station.anchor(), clock: Arc::new(station.clock().clone()) };
    let (mut shown, mut paired, mut applied) =
        (Samples::default(), Samples::default(), Samples::default());
    let mut steps = Steps::default();
    for number in 0..DEVICES + WARM_UP {
        let device = Device::new(&trust, number).await;
        let row = std::slice::from_ref(&device.manifest);
        station.administrator().import(row).await.expect("registered");

        let window = Stopwatch::start();
        let qr = show(&device).await;
        let window = window.cost();

        let pairing = Stopwatch::start();
        station.technician().pair(&qr).await.expect("paired");
        let pairing = pairing.cost();
        assert_eq!(device.service.state(), ProvisioningState::Provisioned);
        device.service.shutdown().await;
        if number < WARM_UP {
            continue;
        }
        shown.push(window);
        paired.push(pairing);
        applied.push(steps.add(&device));
    }
    let medians = [&shown, &applied, &paired].map(Samples::median);
    (table(primitives, fastest, sealing, medians), steps.table())
}

/// Enters provisioning mode; returns when the image is ready.
pub(crate) async fn show(device: &Device) -> QrContent {
    let mut view = device.service.view();
    device.service.enter_provisioning_mode(device.technician()).await.expect("entered");
    let shown = |view: &zmon_provisioning::ServiceView| {
        view.pairing.as_ref().is_some_and(|pairing| pairing.qr.is_some())
    };
    drop(view.wait_for(shown).await.expect("a QR code"));
    let drawn = device.service.generate_qr_code().await.expect("a QR code");
    QrContent::parse(drawn.qr_code_content().as_bytes()).expect("the seven members")
}

/// How often each primitive occurs was read from the code.
fn table(
    p: &Primitives,
    f: &Fastest,
    (seal, open): (Cost, Cost),
    [shown, applied, paired]: [Cost; 3],
) -> Vec<Row> {
    // A window: its rows, then a checkpoint.
    let window = vec![("commit", 2, p.commit), ("sign", 1, p.sign), ("key", 1, p.generate)];
    // Slot B takes a note and a file before its own commit, the flip a checkpoint after it; the
    // station commits once in between.
    let apply = vec![
        ("open", 1, open),
        ("verify", 5, p.verify),
        ("sign", 3, p.sign),
        ("commit", 5 + 1, p.commit),
        ("file sync", 2, p.sync),
        ("mTLS handshake", 1, p.mutual),
        ("round trip", 1, p.round_trip),
    ];
    // Before it, the device checks the hello, makes a key, proves and identifies itself, and claims.
    let pairing = vec![
        ("seal", 1, seal),
        ("open", 1, open),
        ("verify", 10, p.verify),
        ("sign", 9, p.sign),
        ("key", 1, p.generate),
        ("issue", 1, p.issue),
        ("commit", DEVICE_COMMITS + STATION_COMMITS, p.commit),
        ("file sync", 2, p.sync),
        ("server-authenticated handshake", 2, p.server_only),
        ("mTLS handshake", 1, p.mutual),
        ("round trip", 2, p.round_trip),
    ];
    vec![
        Row {
            what: "window entered to PNG ready".to_owned(),
            cost: shown,
            linked: window,
            target: Some(Target::Wall(Duration::from_millis(4))),
            limit: Some(Duration::from_millis(500)),
            ..Row::default()
        },
        Row {
            what: "device apply: last byte to committed".to_owned(),
            cost: applied,
            linked: apply,
            fastest: least_apply(p, f),
            target: Some(Target::Ratio(2.0)),
            limit: Some(Duration::from_secs(5)),
        },
        Row {
            what: "whole pairing over loopback".to_owned(),
            cost: paired,
            linked: pairing,
            fastest: least_pairing(p, f),
            target: Some(Target::Wall(Duration::from_millis(5))),
            ..Row::default()
        },
    ]
}

/// What any device does to apply a configuration: a chain of one signature, one commit.
fn least_apply(p: &Primitives, f: &Fastest) -> Vec<Part> {
    vec![
        ("open", 1, f.open),
        ("verify", 2, f.verify),
        ("commit", 1, p.commit),
        ("mTLS handshake", 1, p.mutual),
        ("round trip", 1, p.round_trip),
    ]
}

/// What any pair of station and device does: the above, and the station's side up to there.
fn least_pairing(p: &Primitives, f: &Fastest) -> Vec<Part> {
    let mut parts = least_apply(p, f);
    parts.extend([
        ("issue", 1, p.issue),
        ("sign", 1, f.sign),
        ("seal", 1, f.seal),
        ("server-authenticated handshake", 1, p.server_only),
        ("round trip", 1, p.round_trip),
        ("commit", 1, p.commit),
    ]);
    parts
}

/// How long each call of a port took, over all devices.
#[derive(Default)]
struct Steps {
    order: Vec<&'static str>,
    times: BTreeMap<&'static str, Samples>,
}

impl Steps {
    /// Adds what a device noted; returns what its apply took.
    fn add(&mut self, device: &Device) -> Cost {
        let mut steps = device.trace.steps();
        steps.sort_by_key(|(_, from, _)| *from);
        let whole = steps.iter().find(|(what, ..)| *what == "apply").copied().expect("applied");
        let (_, begun, apply) = whole;
        let mut inside = Cost::default();
        for (what, from, took) in steps {
            if what != "apply" && from >= begun && from + took.wall <= begun + apply.wall {
                inside.wall += took.wall;
                inside.cpu += took.cpu;
            }
            self.push(what, took);
        }
        self.push("apply, outside of the steps above", apply.less(inside));
        apply
    }

    fn push(&mut self, what: &'static str, took: Cost) {
        if !self.order.contains(&what) {
            self.order.push(what);
        }
        self.times.entry(what).or_default().push(took);
    }

    fn table(&self) -> String {
        let mut out = String::from("| step of the device | wall | CPU |\n|---|---|---|\n");
        for what in &self.order {
            if let Some(samples) = self.times.get(what) {
                let Cost { wall, cpu } = samples.median();
                out.push_str(&format!("| {what} | {} | {} |\n", Short(wall), Short(cpu)));
            }
        }
        out
    }
}
