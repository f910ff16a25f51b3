//! Window to PNG, device apply, one whole pairing; and where the time of a pairing goes.

use core::time::Duration;
use std::collections::BTreeMap;

use zmon_bench::sample::{Cost, Samples, Stopwatch};
use zmon_bench::table::{Row, Short, Target};
use zmon_domain::state::ProvisioningState;
use zmon_provisioning::IProvisioningService;
use zmon_testkit::TestStation;
use zmon_wire::qr::QrContent;

use crate::device::Device;
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
pub(crate) async fn rows(primitives: &Primitives, sealing: (Cost, Cost)) -> (Vec<Row>, String) {
    let station = TestStation::start().await;
    let (mut shown, mut paired, mut applied) =
        (Samples::default(), Samples::default(), Samples::default());
    let mut steps = Steps::default();
    for number in 0..DEVICES + WARM_UP {
        let device = Device::new(&station, number).await;
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
        let apply = steps.add(&device);
        applied.push(Cost { wall: apply, cpu: Duration::ZERO });
    }
    (table(primitives, sealing, [&shown, &applied, &paired]), steps.table())
}

/// Enters provisioning mode; returns when the image is ready.
async fn show(device: &Device) -> QrContent {
    let mut view = device.service.view();
    device.service.enter_provisioning_mode(device.technician()).await.expect("entered");
    let shown = |view: &zmon_provisioning::ServiceView| {
        view.pairing.as_ref().is_some_and(|pairing| pairing.qr.is_some())
    };
    drop(view.wait_for(shown).await.expect("a QR code"));
    let drawn = device.service.generate_qr_code().await.expect("a QR code");
    QrContent::parse(drawn.qr_code_content().as_bytes()).expect("the seven members")
}

/// How often each primitive occurs was counted in the code and with a system-call trace.
fn table(
    p: &Primitives,
    (seal, open): (Cost, Cost),
    [shown, applied, paired]: [&Samples; 3],
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
        ("commit", DEVICE_COMMITS + STATION_COMMITS, p.commit),
        ("file sync", 2, p.sync),
        ("server-authenticated handshake", 2, p.server_only),
        ("mTLS handshake", 1, p.mutual),
        ("round trip", 2, p.round_trip),
    ];
    vec![
        Row {
            what: "window entered to PNG ready".to_owned(),
            cost: shown.median(),
            parts: window,
            target: Some(Target::Time(Duration::from_millis(4))),
            limit: Some(Duration::from_millis(500)),
            ..Row::default()
        },
        Row {
            what: "device apply: last byte to committed".to_owned(),
            cost: applied.median(),
            parts: apply,
            floor: Some((Duration::from_micros(700), "sum of operations")),
            target: Some(Target::Ratio(2.0)),
            limit: Some(Duration::from_secs(5)),
        },
        Row {
            what: "whole pairing over loopback".to_owned(),
            cost: paired.median(),
            parts: pairing,
            floor: Some((Duration::from_micros(1603), "sum of operations, both sides")),
            target: Some(Target::Time(Duration::from_millis(5))),
            ..Row::default()
        },
    ]
}

/// How long each call of a port took, over all devices.
#[derive(Default)]
struct Steps {
    order: Vec<&'static str>,
    times: BTreeMap<&'static str, Samples>,
}

impl Steps {
    /// Adds what a device noted; returns how long its apply took.
    fn add(&mut self, device: &Device) -> Duration {
        let mut steps = device.trace.steps();
        steps.sort_by_key(|(_, from, _)| *from);
        let whole = steps.iter().find(|(what, ..)| *what == "apply").copied().expect("applied");
        let (_, begun, ended) = whole;
        let mut inside = Duration::ZERO;
        for (what, from, to) in steps {
            let took = to.saturating_duration_since(from);
            if what != "apply" && from >= begun && to <= ended {
                inside += took;
            }
            self.push(what, took);
        }
        let apply = ended.saturating_duration_since(begun);
        self.push("apply, outside of the steps above", apply.saturating_sub(inside));
        apply
    }

    fn push(&mut self, what: &'static str, took: Duration) {
        if !self.order.contains(&what) {
            self.order.push(what);
        }
        self.times.entry(what).or_default().push(Cost { wall: took, cpu: Duration::ZERO });
    }

    fn table(&self) -> String {
        let mut out = String::from("| step of the device | median |\n|---|---|\n");
        for what in &self.order {
            if let Some(samples) = self.times.get(what) {
                out.push_str(&format!("| {what} | {} |\n", Short(samples.median().wall)));
            }
        }
        out
    }
}
