//! The release programs: spawn to QR code, size, memory at rest.

use core::time::Duration;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use zmon_bench::process::{beside, cpu_time, resident, size};
use zmon_bench::sample::{Cost, Samples, Stopwatch};
use zmon_bench::table::{Part, Row, Target, Weight, weights};
use zmon_testkit::{StationOptions, TestStation};
use zmon_transport::control::ControlClient;
use zmon_wire::control::{ControlAnswer, ControlRequest};
use zmon_wire::secret::SecretText;

use crate::fastest::Fastest;
use crate::primitives::Primitives;

const PIN: &str = "48392017";
const STARTS: usize = 15;

/// The starts of a device and the weights; none unless the programs and the floor are built.
pub(crate) async fn measure(p: &Primitives, f: &Fastest, qr: &Row) -> Option<([Row; 3], String)> {
    let (device, floor) = (beside("device")?, beside("examples/floor")?);
    let station = TestStation::start_with(StationOptions::beside_programs()).await;
    let dir = tempfile::tempdir().expect("a directory");
    let home = init(&device, dir.path(), &station).await;

    let (mut least, mut ready, mut served) =
        (Samples::default(), Samples::default(), Samples::default());
    let (mut alone, mut at_rest, mut shown) = (0, 0, 0);
    for _ in 0..STARTS {
        let watch = Stopwatch::start();
        let mut running =
            spawn(Command::new(&floor).arg(dir.path().join("floor.db")), "ready").await;
        let pid = running.id().expect("it runs");
        least.push(of_program(pid, &watch));
        alone = resident(pid).unwrap_or(0).max(alone);
        running.kill().await.expect("stopped");

        let watch = Stopwatch::start();
        let mut running = start(&device, &home).await;
        let pid = running.id().expect("it runs");
        ready.push(of_program(pid, &watch));
        at_rest = resident(pid).unwrap_or(0).max(at_rest);
        show(&home).await;
        served.push(of_program(pid, &watch));
        shown = resident(pid).unwrap_or(0).max(shown);
        running.kill().await.expect("stopped");
    }
    let served = served.median();
    let starts = [
        Row {
            what: "device, spawn to ready line".to_owned(),
            cost: ready.median(),
            linked: start_up(p),
            fastest: vec![("the libraries alone, spawn to ready", 1, least.median())],
            ..Row::default()
        },
        Row {
            what: "device, spawn to QR served".to_owned(),
            cost: served,
            linked: [start_up(p), shown_after(p, qr), vec![("argon2id of the PIN", 1, p.argon2)]]
                .concat(),
            fastest: [least_start(p, f, qr), vec![("argon2id of the PIN", 1, p.argon2)]].concat(),
            target: Some(Target::Wall(Duration::from_millis(15))),
            ..Row::default()
        },
        // A PIN is meant to be slow; what is left is the program's.
        Row {
            what: "the same, less the PIN's argon2id".to_owned(),
            cost: served.less(p.argon2),
            linked: [start_up(p), shown_after(p, qr)].concat(),
            fastest: least_start(p, f, qr),
            target: Some(Target::Wall(Duration::from_millis(15))),
            ..Row::default()
        },
    ];
    let weight = |what: &str, bytes, smallest, target| Weight {
        what: what.to_owned(),
        bytes,
        smallest,
        target,
        ..Weight::default()
    };
    let alone = Some(alone);
    let mut rows = vec![
        Weight {
            linked: alone,
            ..weight("`device`, memory at rest", at_rest, Some(6.4), Some(12.0))
        },
        Weight {
            linked: alone,
            ..weight("`device`, memory with an open window", shown, None, None)
        },
    ];
    for (name, smallest, target) in [
        ("device", Some(4.2), Some(8.0)),
        ("mock-central-station", Some(6.3), None),
        ("zmon", None, None),
    ] {
        if let Some(bytes) = beside(name).as_deref().and_then(size) {
            let linked = size(&floor).filter(|_| name == "device");
            rows.push(Weight { linked, ..weight(name, bytes, smallest, target) });
        }
    }
    Some((starts, weights(&rows)))
}

/// A process, its database, the rows of a start and their checkpoint.
fn start_up(p: &Primitives) -> Vec<Part> {
    vec![
        ("spawn", 1, p.spawn),
        ("open database", 1, p.open_database),
        ("sign", 1, p.sign),
        ("commit", 2, p.commit),
    ]
}

/// A window: its rows and a checkpoint, its key, a certificate of its own, the picture.
fn shown_after(p: &Primitives, qr: &Row) -> Vec<Part> {
    vec![
        ("commit", 2, p.commit),
        ("sign", 2, p.sign),
        ("key", 1, p.generate),
        ("QR code to PNG", 1, qr.cost),
    ]
}

/// What no device can leave out: a process, its database, one row, a certificate, a picture.
fn least_start(p: &Primitives, f: &Fastest, qr: &Row) -> Vec<Part> {
    let mut parts = vec![
        ("spawn", 1, p.spawn),
        ("open database", 1, p.open_database),
        ("commit", 1, p.commit),
        ("key", 1, f.generate),
        ("sign", 1, f.sign),
    ];
    parts.extend(qr.fastest.iter().copied());
    parts
}

/// The CPU time of the program instead of this one's.
fn of_program(pid: u32, watch: &Stopwatch) -> Cost {
    Cost { cpu: cpu_time(pid).expect("it runs"), ..watch.cost() }
}

async fn init(device: &Path, dir: &Path, station: &TestStation) -> PathBuf {
    let (home, anchor) = (dir.join("device"), dir.join("anchor.pem"));
    fs::write(&anchor, station.anchor_pem()).expect("written");
    let mut init = Command::new(device)
        .arg("init")
        .arg(&home)
        .arg("--anchor")
        .arg(&anchor)
        .args(["--site", "st-mary", "--technician", "tina", "--pin-file", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("`device init` starts");
    let mut pins = init.stdin.take().expect("an input");
    pins.write_all(format!("{PIN}\n{PIN}\n").as_bytes()).await.expect("PINs");
    drop(pins);
    assert!(init.wait().await.expect("an end").success(), "`device init`");
    home
}

/// Starts the device; returns with its ready line.
async fn start(device: &Path, home: &Path) -> Child {
    let mut run = Command::new(device);
    spawn(run.arg("run").arg(home).args(["--log", "error"]), "\"ready\":true").await
}

/// Starts a program; returns with its first line, which says that it is ready.
async fn spawn(command: &mut Command, ready: &str) -> Child {
    let started = command.stdout(Stdio::piped()).kill_on_drop(true).spawn();
    let mut child = started.expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("an output")).lines();
    let line = lines.next_line().await.expect("read").expect("a ready line");
    assert!(line.contains(ready), "{line}");
    child
}

/// The technician enters; the QR code is served.
async fn show(home: &Path) {
    let mut control = ControlClient::connect(&home.join("control.sock")).await.expect("a socket");
    let operator = "tina".parse().expect("an operator");
    let enter = ControlRequest::Enter {
        operator,
        pin: SecretText::new(PIN),
        address: None,
        override_interlock: None,
    };
    control.ask(&enter).await.expect("entered");
    loop {
        match control.ask(&ControlRequest::Qr {}).await {
            Ok(ControlAnswer::Qr(_)) => return,
            // The listener is being opened.
            Ok(_) | Err(_) => tokio::task::yield_now().await,
        }
    }
}
