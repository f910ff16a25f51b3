//! Rounds of: pair, `kill -9` or not, look at the disk, start, look at what the device says; and a
//! watch on the station for the whole time.

use core::fmt;
use core::time::Duration;
use std::path::PathBuf;
use std::sync::Arc;

use rand_core::Rng;
use tokio::sync::{broadcast, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};
use zmon_domain::ids::{DeviceId, DeviceLabel, SessionId};
use zmon_domain::settings::SyncInterval;
use zmon_domain::state::ProvisioningState;
use zmon_protocol::station::CertificateUse;
use zmon_station::StationEvent;
use zmon_station::ports::{CertificateState, StationStore};
use zmon_testkit::{DeviceProgram, Seed, StationOptions, Step, TestStation, wait};
use zmon_wire::control::StatusView;

/// How many rounds, and in how many of them the device is killed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: u32,
    pub(crate) kills: u32,
}

impl Plan {
    /// Whether to kill in the next round, so that in the end it was done `kills` times: any choice of
    /// rounds is as likely as any other.
    fn draw(&mut self, dice: &mut impl Rng) -> bool {
        let kill = dice.next_u64() % u64::from(self.rounds.max(1)) < u64::from(self.kills);
        self.rounds -= 1;
        self.kills -= u32::from(kill);
        kill
    }
}

/// How the rounds ended.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    old: u32,
    new: u32,
    /// Of the killed: how often the disk was in doubt, so that only the station could say.
    in_doubt: u32,
    /// Not killed.
    undisturbed: u32,
    /// Answered in all.
    heartbeats: u64,
    /// How often the station was asked for the device's current certificates and had exactly one.
    looks: u64,
}

impl Seen {
    /// Killed ones.
    #[must_use]
    pub(crate) fn kills(&self) -> u32 {
        self.old + self.new
    }

    /// All of them.
    #[must_use]
    pub(crate) fn rounds(&self) -> u32 {
        self.kills() + self.undisturbed
    }

    /// Heartbeats that the station answered.
    #[must_use]
    pub(crate) fn heartbeats(&self) -> u64 {
        self.heartbeats
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { old, new, in_doubt, undisturbed, looks, .. } = self;
        let (rounds, heartbeats) = (self.rounds(), self.heartbeats());
        write!(f, "{rounds} rounds; {} kills: {old} wholly old, {new} wholly new, ", self.kills())?;
        write!(f, "{in_doubt} of them in doubt until the station was asked; ")?;
        write!(f, "{undisturbed} rounds undisturbed; {heartbeats} heartbeats answered; ")?;
        write!(f, "one current certificate at each of {looks} looks")
    }
}

/// Runs a plan on one device that is provisioned again in each round, and says with which seed.
///
/// # Panics
/// When a device is neither old nor new, has no certificate that works, or says anything else than
/// what the station knows; with the seed.
pub(crate) async fn run(program: PathBuf, seed: Seed, mut plan: Plan) -> Seen {
    println!("ZMON_SEED={}", seed.number());
    let options = StationOptions { seed: seed.clone(), ..StationOptions::beside_programs() };
    let station = TestStation::start_with(options).await;
    let _time = station.clock().run();
    let mut device = DeviceProgram::init(&station, program);
    let mut row = device.manifest();
    row.sync_interval = Some(SyncInterval::from_secs(1).expect("an interval"));
    station.import(row).await;
    device.start();
    let mut dice = seed.rng();
    let mut seen = Seen::default();

    // The first pairing shows how long applying takes.
    let begun = begin(&station, &device, 0).await;
    let mut applying = begun.at.elapsed();
    let paired = wait::within("the first pairing", begun.pairing).await;
    assert!(paired.is_ok_and(|paired| paired), "the first pairing");
    applying = begun.at.elapsed().max(applying);
    at_rest(&device).await;
    let mut label = label_of(0);
    let mut watch = Watch::start(&station);

    for round in 1..=plan.rounds {
        if !plan.draw(&mut dice) {
            undisturbed(&station, &device, &mut watch, round).await;
            label = label_of(round);
            seen.undisturbed += 1;
            continue;
        }
        let begun = begin(&station, &device, round).await;
        let longest = u64::try_from(applying.as_micros()).unwrap_or(u64::MAX).max(1);
        // The one sleep that is the point: the instant of the kill is any.
        sleep(Duration::from_micros(dice.next_u64() % (longest + longest / 8))).await;
        device.kill();
        begun.pairing.abort();

        let disk = device.on_disk().await;
        let slot = disk.slot_a.expect("never neither");
        let installed = slot.settings().expect("a whole slot").label;
        let next = label_of(round);
        assert!(
            installed == Some(label.clone()) || installed == Some(next.clone()),
            "seed {}: round {round}: {installed:?} is neither {label} nor {next}",
            seed.number()
        );
        let works = station.station().admit_peer(&slot.serial, CertificateUse::Ordinary).await;
        assert!(works.is_ok(), "seed {}: round {round}: never without: {works:?}", seed.number());
        seen.in_doubt += u32::from(matches!(disk.slot_b, Some((_, true))));

        device.start();
        let status = at_rest(&device).await;
        let is_new = status.device_label.as_ref() == Some(&next);
        assert!(
            is_new || status.device_label.as_ref() == Some(&label),
            "seed {}: round {round}: it says {:?}",
            seed.number(),
            status.device_label
        );
        assert_eq!(
            current(&station).await == begun.session,
            is_new,
            "seed {}: round {round}: device and station agree",
            seed.number()
        );
        let connected = async || device.status().await.link.connected.then_some(());
        wait::within("the link", poll(connected)).await;
        watch.heartbeat().await;
        if is_new {
            seen.new += 1;
            label = next;
        } else {
            seen.old += 1;
        }
    }
    (seen.heartbeats, seen.looks) = watch.end();
    seen
}

/// A round in which nothing happens to the device: it goes on beating on the old certificate while it
/// gets the new one, and on the new one after.
async fn undisturbed(station: &TestStation, device: &DeviceProgram, watch: &mut Watch, round: u32) {
    let errors = device.status().await.link.errors;
    let begun = begin(station, device, round).await;
    let paired = wait::within("an undisturbed pairing", begun.pairing).await;
    assert!(paired.is_ok_and(|paired| paired), "round {round}: paired");
    assert_eq!(at_rest(device).await.device_label, Some(label_of(round)), "round {round}");
    assert_eq!(current(station).await, begun.session, "round {round}: device and station agree");
    watch.heartbeat().await;
    assert_eq!(device.status().await.link.errors, errors, "round {round}: no heartbeat was lost");
}

/// Looks at the station all the time: one current certificate, and the heartbeats.
struct Watch {
    beats: watch::Receiver<u64>,
    looks: watch::Receiver<Result<u64, usize>>,
    tasks: [AbortHandle; 2],
}

impl Watch {
    fn start(station: &TestStation) -> Self {
        let mut events = station.station().events();
        let (beat, beats) = watch::channel(0);
        let listen = tokio::spawn(async move {
            loop {
                match events.recv().await {
                    Ok(StationEvent::Heartbeat { .. }) => beat.send_modify(|beats| *beats += 1),
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        });
        let store = Arc::clone(station.store());
        let (look, looks) = watch::channel(Ok(0));
        let gaze = tokio::spawn(async move {
            let id = DeviceId::parse("ZM-001").expect("a device id");
            loop {
                let rows = store.certificates_of_device(&id, CertificateState::Current).await;
                let found = rows.expect("certificates are read").len();
                look.send_modify(|looks| {
                    *looks =
                        looks.and_then(|looks| if found == 1 { Ok(looks + 1) } else { Err(found) });
                });
                sleep(Duration::from_millis(10)).await;
            }
        });
        Self { beats, looks, tasks: [listen.abort_handle(), gaze.abort_handle()] }
    }

    /// One more heartbeat is answered.
    async fn heartbeat(&mut self) {
        self.looks.borrow().expect("one current certificate at every look");
        self.beats.mark_unchanged();
        wait::within("a heartbeat", self.beats.changed()).await.expect("the station runs");
    }

    /// Heartbeats and looks.
    fn end(self) -> (u64, u64) {
        for task in &self.tasks {
            task.abort();
        }
        let looks = self.looks.borrow().expect("one current certificate at every look");
        (*self.beats.borrow(), looks)
    }
}

/// A pairing under way whose configuration is on its way to the device.
struct Begun {
    session: SessionId,
    pairing: tokio::task::JoinHandle<bool>,
    at: Instant,
}

async fn begin(station: &TestStation, device: &DeviceProgram, round: u32) -> Begun {
    let qr = device.open_window().await;
    let tablet = station.technician().clone();
    let delivered = station.faults().count(Step::Deliver);
    let session = tablet.scan(&qr).await.expect("scanned").session_id;
    let label = Some(label_of(round));
    let pairing =
        tokio::spawn(
            async move { tablet.pair_scanned_with(&qr, session, None, label).await.is_ok() },
        );
    station.faults().reached(Step::Deliver, delivered + 1).await;
    #[expect(clippy::disallowed_methods, reason = "the kill is timed on tokio's timer")]
    let at = Instant::now();
    Begun { session, pairing, at }
}

async fn at_rest(device: &DeviceProgram) -> StatusView {
    let rest = async || {
        let status = device.status().await;
        let rests = matches!(
            status.state,
            ProvisioningState::NotProvisioned
                | ProvisioningState::Provisioned
                | ProvisioningState::Error
        );
        rests.then_some(status)
    };
    wait::within("a state of rest", poll(rest)).await
}

async fn poll<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        sleep(Duration::from_millis(2)).await;
    }
}

/// The session of the device's one current certificate.
async fn current(station: &TestStation) -> SessionId {
    let id = DeviceId::parse("ZM-001").expect("a device id");
    let state = CertificateState::Current;
    let store: &dyn StationStore = &**station.store();
    let rows = store.certificates_of_device(&id, state).await.expect("certificates are read");
    assert_eq!(rows.len(), 1, "never two, never none");
    rows.into_iter().map(|row| row.session).next().expect("one")
}

fn label_of(round: u32) -> DeviceLabel {
    DeviceLabel::parse(&format!("round {round}")).expect("a label")
}
