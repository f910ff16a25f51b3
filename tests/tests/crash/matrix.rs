//! Every call of one kind, one after another, until the flow has no such call any more; and after each
//! of them everything that has to hold.

use core::fmt;

use zmon_domain::state::ProvisioningState;
use zmon_protocol::station::CertificateUse;
use zmon_testkit::{DeviceProgram, Seed, StationOptions, TestStation, binary, wait};
use zmon_wire::control::{ControlAnswer, ControlRequest, StatusView};

use crate::flow::{Flow, administrator, current, go, pause};
use crate::strace::{Injection, Misfortune, Tracer};

/// Where a device is hit: one row of the matrix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) flow: Flow,
    pub(crate) call: &'static str,
    pub(crate) what: Misfortune,
}

/// What became of a row.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fired {
    /// How often it happened.
    pub(crate) times: u32,
    /// After how many of them the device had what the flow was to bring.
    pub(crate) done: u32,
}

impl fmt::Display for Fired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { times, done } = self;
        write!(f, "{times} times, {done} with what was wanted, {} as before", times - done)
    }
}

/// A station and the shipped device that is hit again and again.
pub(crate) struct Bedside {
    station: TestStation,
    device: DeviceProgram,
    _time: zmon_testkit::RunningTime,
}

impl Bedside {
    /// A registered device that runs.
    pub(crate) async fn new(seed: Seed) -> Self {
        let options = StationOptions { seed, ..StationOptions::beside_programs() };
        let station = TestStation::start_with(options).await;
        let time = station.clock().run();
        let device = DeviceProgram::init(&station, binary("zmon-device", "device"));
        // What it would say of its disk is what is done to it here.
        let mut device = device.logging("off");
        station.import(device.manifest()).await;
        device.start();
        Self { station, device, _time: time }
    }

    /// Goes through a row: N = 1, 2 … until nothing fires any more.
    ///
    /// # Panics
    /// With the injection, when something does not hold.
    pub(crate) async fn row(&mut self, row: Row) -> Fired {
        let mut seen = Fired::default();
        for when in 1.. {
            let injection = Injection { call: row.call, what: row.what, when };
            let story = format!("{}, {injection}", row.flow);
            self.prepare(row.flow, &story).await;
            let before = current(&self.station).await;
            let tracer = Tracer::attach(self.device.pid(), injection);
            go(row.flow, &self.station, &mut self.device).await;
            let answers = self.status().await.is_some();
            if !tracer.detach(answers).await {
                break;
            }
            self.holds(&story).await;
            seen.times += 1;
            seen.done += u32::from(current(&self.station).await != before);
        }
        seen
    }

    /// What the flow begins with.
    async fn prepare(&mut self, flow: Flow, story: &str) {
        let status = self.at_rest(story).await;
        let (operator, pin) = administrator();
        if status.state == ProvisioningState::Error {
            let reset = self.device.ask(&ControlRequest::Reset { operator, pin }).await;
            assert!(reset.is_ok(), "{story}: before it: {reset:?}");
        }
        let wanted = flow != Flow::Pairing;
        if status.is_provisioned == wanted {
            return;
        }
        let flow = if wanted { Flow::Pairing } else { Flow::Deprovisioning };
        go(flow, &self.station, &mut self.device).await;
        let status = self.at_rest(story).await;
        assert_eq!(status.is_provisioned, wanted, "{story}: before it: {:?}", status.last_error);
        self.agree(status.is_provisioned, story).await;
    }

    /// The disk is whole, what is in force on it works, a start says the same, and the station agrees.
    async fn holds(&mut self, story: &str) {
        self.device.kill();
        let disk = self.device.on_disk().await;
        if let Some(slot) = &disk.slot_a {
            let works = self.station.station().admit_peer(&slot.serial, CertificateUse::Ordinary);
            let works = works.await;
            assert!(works.is_ok(), "{story}: never without: {works:?}");
        }
        self.device.start();
        let status = self.at_rest(story).await;
        self.agree(status.is_provisioned, story).await;
        self.station.audit_verified().await;
    }

    /// Sooner or later: one current certificate of a provisioned device, none of another.
    async fn agree(&mut self, provisioned: bool, story: &str) {
        let wanted = usize::from(provisioned);
        let agreed = async || (current(&self.station).await.len() == wanted).then_some(());
        wait::eventually(&format!("{story}: device and station agree"), agreed).await;
        if provisioned {
            let what = format!("{story}: the link");
            let connected = async {
                while !self.status().await.is_some_and(|status| status.link.connected) {
                    pause().await;
                }
            };
            wait::within(&what, connected).await;
        }
    }

    async fn at_rest(&mut self, story: &str) -> StatusView {
        let what = format!("{story}: a state of rest");
        wait::within(&what, async {
            loop {
                // What has an error on its disk may stop by itself; a start is what is next then.
                if self.device.has_ended() {
                    self.device.start();
                }
                let status = self.status().await;
                let rest = status.filter(|status| {
                    matches!(
                        status.state,
                        ProvisioningState::NotProvisioned
                            | ProvisioningState::Provisioned
                            | ProvisioningState::Deprovisioned
                            | ProvisioningState::Error
                    )
                });
                if let Some(status) = rest {
                    return status;
                }
                pause().await;
            }
        })
        .await
    }

    async fn status(&mut self) -> Option<StatusView> {
        if self.device.has_ended() {
            return None;
        }
        match self.device.ask(&ControlRequest::Status {}).await {
            Ok(ControlAnswer::Status(status)) => Some(*status),
            Ok(_) | Err(_) => None,
        }
    }
}
