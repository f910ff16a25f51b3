//! The other side: the shipped station is hit at every call of one kind while a device pairs, renews its
//! certificate or takes leave; and after each of them everything that has to hold.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{Duration, timeout};
use zmon_domain::ids::Serial;
use zmon_domain::state::{ProvisioningState, ReprovisioningPhase};
use zmon_persistence::AuditLog;
use zmon_provisioning::IProvisioningService;
use zmon_testkit::{
    DeviceOptions, Operator, RunningTime, Seed, SimulatedDevice, StationProgram, TestClock, binary,
    wait,
};

use crate::flow::{Flow, pause};
use crate::matrix::{Fired, Row};
use crate::strace::{Injection, Tracer};
use crate::technician::{self, Attempt, Told};

/// Where everybody connects, where the station listens, and where the device is.
const FRONT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 51));
const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 52));
const BEDSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53));
/// Its only process.
const NAME: &str = "only";
/// How long a renewal or a farewell is waited for that the station may not have heard.
const PATIENCE: Duration = Duration::from_secs(5);

/// A station that is hit again and again, and a device.
pub(crate) struct Central {
    station: StationProgram,
    device: Arc<SimulatedDevice>,
    tablet: Operator,
    administrator: Operator,
    _time: RunningTime,
}

/// A flow that goes on while its station does not.
type Going = JoinHandle<Option<Attempt>>;

impl Central {
    /// A station that runs, with one registered device.
    pub(crate) async fn new(seed: Seed) -> Self {
        let clock = TestClock::today();
        let time = clock.run();
        let program = binary("zmon-mock-central-station", "mock-central-station");
        let mut station = StationProgram::init(program, None, seed.clone(), FRONT, &[HOST]).await;
        let tablet = station.technicians(1, &clock).await.swap_remove(0);
        station.start(NAME, 0);
        let options = DeviceOptions {
            address: BEDSIDE,
            ..DeviceOptions::trusting(station.anchor(), clock.clone(), seed)
        };
        let device = Arc::new(SimulatedDevice::with(options).await);
        let administrator = station.administrator(&clock).await;
        administrator.import(&[device.manifest()]).await.expect("registered");
        Self { station, device, tablet, administrator, _time: time }
    }

    /// Goes through a row: N = 1, 2 … until nothing fires any more.
    ///
    /// # Panics
    /// With the injection, when something does not hold.
    pub(crate) async fn row(&mut self, row: Row) -> Fired {
        let mut seen = Fired::default();
        for when in 1.. {
            let injection = Injection { call: row.call, what: row.what, when };
            let story = format!("station, {}, {injection}", row.flow);
            self.prepare(row.flow, &story).await;
            let before = self.current().await;
            let tracer = Tracer::attach(self.station.pid(NAME), injection);
            let going = self.go(row.flow);
            while !going.is_finished() && !self.station.has_ended(NAME) {
                pause().await;
            }
            let answers = !self.station.has_ended(NAME);
            let fired = tracer.detach(answers).await;
            if fired {
                self.disk(&story).await;
            }
            let ended = wait::within(&format!("{story}: the flow's end"), going).await;
            if let Some(attempt) = ended.expect("a flow") {
                assert_ne!(attempt.told, Told::Nothing, "{story}: {attempt:?}");
            }
            self.at_rest(&story).await;
            self.agree(&story).await;
            if !fired {
                break;
            }
            seen.times += 1;
            seen.done += u32::from(self.current().await != before);
        }
        seen
    }

    /// What the flow begins with.
    async fn prepare(&self, flow: Flow, story: &str) {
        self.at_rest(story).await;
        let wanted = flow != Flow::Pairing;
        if (self.device.state() == ProvisioningState::Provisioned) == wanted {
            return;
        }
        let flow = if wanted { Flow::Pairing } else { Flow::Deprovisioning };
        let _attempt = self.go(flow).await.expect("a flow");
        self.at_rest(story).await;
        let is_provisioned = self.device.state() == ProvisioningState::Provisioned;
        assert_eq!(is_provisioned, wanted, "{story}: before it");
        self.agree(story).await;
    }

    /// Begins a flow; it asks again as long as that may help.
    fn go(&self, flow: Flow) -> Going {
        let (device, tablet) = (Arc::clone(&self.device), self.tablet.clone());
        tokio::spawn(async move {
            match flow {
                Flow::Pairing | Flow::Reprovisioning => {
                    return Some(technician::pair(&tablet, &device).await);
                }
                Flow::Renewal => {
                    let before = serial(&device).await;
                    let proof = device.technician().await;
                    let asked = device.service().renew_certificate(proof).await;
                    asked.expect("a renewal is begun");
                    let over = async {
                        while serial(&device).await == before {
                            pause().await;
                        }
                    };
                    // One that did not come through is tried again much later; the old one is in force.
                    let _later = timeout(PATIENCE, over).await;
                }
                Flow::Deprovisioning => {
                    let proof = device.administrator().await;
                    let gone = device.service().deprovision_device(proof).await;
                    gone.expect("the configuration is removed");
                    let told = async {
                        while !boot(&device).await.retirements.is_empty() {
                            pause().await;
                        }
                    };
                    let _later = timeout(PATIENCE, told).await;
                }
            }
            None
        })
    }

    /// The station's disk is whole; then it is started again.
    async fn disk(&mut self, story: &str) {
        if !self.station.has_ended(NAME) {
            self.station.kill(NAME);
        }
        self.log(story).await;
        self.station.start(NAME, 0);
    }

    /// The station's log is whole, whether it runs or not.
    async fn log(&self, story: &str) {
        let log = AuditLog::open_station(&self.station.directory_of(NAME)).await;
        let verified = log.expect("a log").verify().await.expect("the log is read");
        assert_eq!(verified.damage(), None, "{story}: the station's log");
    }

    /// Until the device does nothing by itself; a window that nobody pairs is closed.
    async fn at_rest(&self, story: &str) {
        wait::within(&format!("{story}: a state of rest"), async {
            loop {
                match self.device.state() {
                    ProvisioningState::NotProvisioned
                    | ProvisioningState::Provisioned
                    | ProvisioningState::Deprovisioned
                    | ProvisioningState::Error => return,
                    ProvisioningState::ReadyToPair
                    | ProvisioningState::Pairing
                    | ProvisioningState::Reprovisioning(
                        ReprovisioningPhase::ReadyToPair | ReprovisioningPhase::Pairing,
                    ) => {
                        // It may have gone on meanwhile.
                        let _gone_on = self.device.service().exit_provisioning_mode(None).await;
                    }
                    ProvisioningState::Configuring
                    | ProvisioningState::Validating
                    | ProvisioningState::Reprovisioning(_) => {}
                }
                pause().await;
            }
        })
        .await;
    }

    /// Sooner or later: the station's one current certificate is the device's, or neither has any.
    async fn agree(&self, story: &str) {
        let agreed = async || {
            let held: BTreeSet<Serial> = serial(&self.device).await.into_iter().collect();
            (self.current().await == held).then_some(())
        };
        wait::eventually(&format!("{story}: device and station agree"), agreed).await;
        if self.device.state() == ProvisioningState::Provisioned {
            wait::within(&format!("{story}: the link"), self.device.until_connected()).await;
        }
        self.device.audit_verified().await;
        self.log(story).await;
    }

    /// The current certificates that the station tells an administrator.
    async fn current(&self) -> BTreeSet<Serial> {
        let asked =
            async || self.administrator.get_text("/api/certificates?state=current").await.ok();
        let text = wait::eventually("the station's certificates", asked).await;
        let list: Value = serde_json::from_str(&text).expect("JSON");
        let rows = list["certificates"].as_array().expect("a list");
        let serials = rows.iter().filter(|row| row["state"] == "current");
        serials
            .map(|row| row["serial"].as_str().expect("a text").parse().expect("a serial"))
            .collect()
    }
}

/// What a start of the device would find.
async fn boot(device: &SimulatedDevice) -> zmon_protocol::device::BootState {
    device.store().load().await.expect("the slots are read")
}

/// The serial number of the certificate in force.
async fn serial(device: &SimulatedDevice) -> Option<Serial> {
    boot(device).await.slot_a.map(|slot| slot.serial)
}
