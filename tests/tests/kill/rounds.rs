//! Rounds of: pair, `kill -9`, look at the disk, start, look at what the device says.

use core::fmt;
use core::time::Duration;
use std::path::PathBuf;

use rand_core::Rng;
use tokio::time::{Instant, sleep};
use zmon_domain::ids::{DeviceId, DeviceLabel, SessionId};
use zmon_domain::state::ProvisioningState;
use zmon_station::ports::{CertificateState, StationStore};
use zmon_testkit::{DeviceProgram, Seed, StationOptions, Step, TestStation, wait};
use zmon_wire::control::StatusView;

/// How the rounds ended.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    old: u32,
    new: u32,
    /// Of all: how often the disk was in doubt, so that only the station could say.
    in_doubt: u32,
}

impl Seen {
    /// All of them.
    #[must_use]
    pub(crate) fn rounds(&self) -> u32 {
        self.old + self.new
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { old, new, in_doubt } = self;
        write!(f, "{} kills: {old} wholly old, {new} wholly new, ", self.rounds())?;
        write!(f, "{in_doubt} of them in doubt until the station was asked")
    }
}

/// Runs `rounds` rounds on one device that is provisioned again in each, and says with which seed.
///
/// # Panics
/// When a device is neither old nor new, or says anything else than what the station knows; with
/// the seed.
pub(crate) async fn run(program: PathBuf, seed: Seed, rounds: u32) -> Seen {
    println!("ZMON_SEED={}", seed.number());
    let options = StationOptions { seed: seed.clone(), ..StationOptions::beside_programs() };
    let station = TestStation::start_with(options).await;
    let _time = station.clock().run();
    let mut device = DeviceProgram::init(&station, program);
    station.import(device.manifest()).await;
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

    for round in 1..=rounds {
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
        if is_new {
            seen.new += 1;
            label = next;
        } else {
            seen.old += 1;
        }
    }
    seen
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
