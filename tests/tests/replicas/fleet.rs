//! One station of two processes on one PostgreSQL behind a balancer, and a ward of devices.

use core::time::Duration;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use zmon_testkit::{
    DeviceOptions, Operator, RunningTime, Seed, SimulatedDevice, StationProgram, TestClock,
    TestDatabase, binary, wait,
};
use zmon_transport::client::Ask;

/// The processes of the station.
pub(crate) const NAMES: [&str; 2] = ["south", "north"];

/// Where everybody connects, where the two listen, and where the devices are.
const FRONT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));
const HOSTS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 12)), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 13))];
const BEDSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 14));

/// Step of the devices' clock: hundreds of them wake at each.
const BEAT: Duration = Duration::from_millis(100);
/// Devices that are made at a time.
const MADE_AT_ONCE: usize = 8;
/// Rows that one import takes.
const IMPORT: usize = 500;

/// The station, its memory and its devices.
pub(crate) struct Fleet {
    pub(crate) station: StationProgram,
    pub(crate) database: Arc<TestDatabase>,
    pub(crate) devices: Vec<Arc<SimulatedDevice>>,
    pub(crate) technicians: Vec<Operator>,
    pub(crate) clock: TestClock,
    _time: RunningTime,
}

impl Fleet {
    /// The first `processes` of [`NAMES`] serve; every device is registered and nobody is paired.
    pub(crate) async fn of(
        devices: usize,
        technicians: usize,
        processes: usize,
        seed: &Seed,
    ) -> Self {
        let clock = TestClock::today();
        let time = clock.run_by(BEAT);
        let database = Arc::new(TestDatabase::create().await);
        let program = binary("zmon-mock-central-station", "mock-central-station");
        let memory = Some(Arc::clone(&database));
        let mut station = StationProgram::init(program, memory, seed.clone(), FRONT, &HOSTS).await;
        let technicians = station.technicians(technicians, &clock).await;
        for (host, name) in NAMES.iter().enumerate().take(processes) {
            station.start(name, host);
        }
        let options = DeviceOptions {
            address: BEDSIDE,
            ..DeviceOptions::trusting(station.anchor(), clock.clone(), seed.clone())
        };
        let devices = made(devices, &options).await;
        let rows: Vec<_> = devices.iter().map(|device| device.manifest()).collect();
        let administrator = station.administrator(&clock).await;
        for rows in rows.chunks(IMPORT) {
            administrator.import(rows).await.expect("registered");
        }
        Self { station, database, devices, technicians, clock, _time: time }
    }

    /// Waits until a process says by `/api/ready` whether it takes pairings, as wanted.
    pub(crate) async fn until_ready(&self, host: usize, wanted: bool) {
        let tablet = self.station.stranger_at(host, &self.clock);
        let asked = || async {
            let answer = tablet.try_send(Ask::get("/api/ready")).await.ok()?;
            (answer.status.is_success() == wanted).then_some(())
        };
        wait::eventually(&format!("{} to be ready: {wanted}", NAMES[host]), asked).await;
    }
}

async fn made(count: usize, options: &DeviceOptions) -> Vec<Arc<SimulatedDevice>> {
    let turns = Arc::new(Semaphore::new(MADE_AT_ONCE));
    let mut making = JoinSet::new();
    for number in 1..=count {
        let (turns, options) = (Arc::clone(&turns), options.clone().named(&format!("ZM-{number}")));
        making.spawn(async move {
            let _turn = turns.acquire().await.expect("turns");
            Arc::new(SimulatedDevice::with(options).await)
        });
    }
    making.join_all().await
}
