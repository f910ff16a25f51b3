//! The release station: its CPU time for one pairing, everything included.

use core::time::Duration;
use std::process::Stdio;
use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use zmon_bench::process::{beside, cpu_time};
use zmon_bench::sample::{Cost, Samples};
use zmon_bench::table::{Part, Row, Target};
use zmon_crypto::Anchor;
use zmon_domain::address::ServerUrl;
use zmon_domain::ids::SiteId;
use zmon_domain::time::ClockQuality;
use zmon_provisioning::clock::SystemClock;
use zmon_provisioning::ports::Clock;
use zmon_testkit::Operator;
use zmon_transport::client::Endpoint;
use zmon_transport::provider;
use zmon_transport::tls::{TlsContext, certificates_from_pem, trusting_client};

use crate::device::{Device, Trust};
use crate::fastest::Fastest;
use crate::pairing::show;
use crate::primitives::Primitives;

/// Devices paired one after the other.
const DEVICES: usize = 60;
/// The first ones warm up.
const WARM_UP: usize = 10;

/// The row; none unless the programs are built.
pub(crate) async fn row(p: &Primitives, f: &Fastest, seal: Cost) -> Option<Row> {
    let station = Station::start().await?;
    let mut samples = Samples::default();
    for number in 0..DEVICES + WARM_UP {
        let device = Device::new(&station.trust, number).await;
        let row = std::slice::from_ref(&device.manifest);
        station.operator.import(row).await.expect("registered");
        let qr = show(&device).await;
        let before = station.cpu();
        station.operator.pair(&qr).await.expect("paired");
        let cpu = station.cpu().saturating_sub(before);
        device.service.shutdown().await;
        if number >= WARM_UP {
            samples.push(Cost { wall: Duration::ZERO, cpu });
        }
    }
    // The operator's request, the hello, the device's test and commit: an estimate read off the code.
    let linked = vec![
        ("TLS to the operator", 1, p.anonymous_server),
        ("TLS to the device", 1, p.anonymous_client),
        ("mTLS of the device", 1, p.mutual_server),
        ("verify", 4, p.verify),
        ("sign", 4, p.sign),
        ("issue", 1, p.issue),
        ("seal", 1, seal),
        ("commit", 6, p.commit),
    ];
    let least = vec![
        ("TLS to the operator", 1, p.anonymous_server),
        ("TLS to the device", 1, p.anonymous_client),
        ("mTLS of the device", 1, p.mutual_server),
        ("verify", 2, f.verify),
        ("sign", 1, f.sign),
        ("issue", 1, p.issue),
        ("seal", 1, f.seal),
        ("commit", 1, p.commit),
    ];
    let on_cpu = |parts: Vec<Part>| {
        let alone = |cost: Cost| Cost { wall: Duration::ZERO, ..cost };
        parts.into_iter().map(|(name, times, cost)| (name, times, alone(cost))).collect()
    };
    Some(Row {
        what: "station, CPU of one pairing".to_owned(),
        cost: samples.median(),
        linked: on_cpu(linked),
        fastest: on_cpu(least),
        target: Some(Target::Cpu(Duration::from_micros(1200))),
        limit: None,
    })
}

/// `mock-central-station --ephemeral`, as it ships.
struct Station {
    process: Child,
    operator: Operator,
    trust: Trust,
}

impl Station {
    async fn start() -> Option<Self> {
        let program = beside("mock-central-station")?;
        let mut process = Command::new(program)
            .args(["--ephemeral", "--log", "error"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the station starts");
        let mut lines = BufReader::new(process.stdout.take().expect("an output")).lines();
        let line = lines.next_line().await.expect("read").expect("a ready line");
        let ready: Value = serde_json::from_str(&line).expect("a ready line");
        let text = |at: &str| ready.pointer(at).and_then(Value::as_str).expect("a text");

        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new(ClockQuality::Synced));
        let time = Arc::clone(&clock);
        let tls = TlsContext::new(provider::ring().tls, move || {
            time.now().wall.and_then(|time| u64::try_from(time.unix()).ok())
        });
        let ca = certificates_from_pem(text("/anchorPem").as_bytes()).expect("an anchor");
        let url = ServerUrl::parse(text("/addresses/operators")).expect("a URL");
        let operator = Operator::new(
            Endpoint::url(&url).expect("an endpoint"),
            trusting_client(&tls, &ca).expect("an anchor"),
        );
        let site = SiteId::parse(text("/site")).expect("a site");
        let anchor = Anchor::parse(ca.first().expect("an anchor"), site).expect("an anchor");
        let operator = operator.with_token(text("/operatorToken"));
        Some(Self { process, operator, trust: Trust { anchor, clock } })
    }

    fn cpu(&self) -> Duration {
        self.process.id().and_then(cpu_time).expect("the station runs")
    }
}
