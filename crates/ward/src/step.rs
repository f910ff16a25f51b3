//! What happens in a ward, as data: drawn from a seed, run, and cut down when a run fails.

use core::fmt;

use zmon_domain::time::ClockQuality;

use crate::chance::Chance;
use crate::disk::{Instant, Wear};
use crate::net::Line;

/// Devices of a ward.
pub const DEVICES: usize = 3;

/// Most steps of a run.
pub const STEPS: usize = 200;

/// A machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// The Central Station.
    Station,
    /// One of the devices.
    Device(usize),
}

/// How an operator pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Scans what the screen shows.
    Scanned,
    /// Types the code.
    Typed,
    /// Scans a photo of some screen of before.
    Photo,
    /// Scans this screen and names the device beside it.
    Crossed,
}

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Somebody at the device opens a window, whichever way its state wants it.
    Open(usize),
    /// The window is closed.
    Exit(usize),
    /// Another code is asked for.
    Regenerate(usize),
    /// Clear the provisioning state.
    Reset(usize),
    /// Another certificate is asked for.
    Renew(usize),
    /// The configuration is wiped.
    Deprovision(usize),
    /// Everything is.
    FactoryReset(usize),
    /// A patient is admitted or leaves: the interlock objects or does not.
    Patient(usize, bool),
    /// An operator claims a device and does not pair yet.
    Scan(usize),
    /// An operator pairs a device.
    Pair(usize, Way),
    /// An operator gives a pairing up.
    Cancel(usize),
    /// An administrator revokes the `nth` certificate of a device.
    Revoke(usize, u8),
    /// An administrator takes a device out of service.
    Decommission(usize),
    /// The power goes now.
    Crash(Node),
    /// The power goes at this instant of the `nth` transaction from now.
    Trap(Node, u32, Instant),
    /// The process is stopped in order.
    Stop(Node),
    /// What is off is switched on.
    Start,
    /// A disk gets better or worse.
    Wear(Node, Wear),
    /// A line does.
    Line(usize, Line),
    /// A clock is set: seconds beside the true time, and what is known about it.
    Clock(Node, i64, ClockQuality),
    /// Everybody sleeps for so many minutes.
    Nap(u16),
    /// An attacker sends something recorded to this device or the station, bent or as it was.
    Replay(usize, bool),
    /// An attacker puts recorded answers in the place of the next ones.
    Swap(u32),
    /// A rogue station pairs the device whose screen it has seen.
    Rogue(usize),
    /// A thief uses the credentials of a revoked certificate.
    Thief,
}

/// A step and the milliseconds after it.
pub type Timed = (Step, u32);

/// A run before it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Where all luck comes from.
    pub seed: u64,
    /// Whether devices may replace an expired certificate by themselves (D23).
    pub recovery: bool,
    /// What happens, in order.
    pub steps: Vec<Timed>,
}

impl Plan {
    /// The run of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let draw = Draw { chance: Chance::new(seed, "plan"), wild: seed.is_multiple_of(4) };
        let len = 20 + draw.chance.index(STEPS - 20 + 1);
        let mut steps = Vec::with_capacity(len);
        while steps.len() < len {
            draw.next(&mut steps);
        }
        steps.truncate(len);
        Self { seed, recovery: draw.chance.happens(70), steps }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} recovery {}", self.seed, self.recovery)?;
        self.steps.iter().try_for_each(|(step, pause)| writeln!(f, "  {step:?}, then {pause} ms"))
    }
}

struct Draw {
    chance: Chance,
    wild: bool,
}

impl Draw {
    /// The next few steps: things that belong together come together.
    fn next(&self, steps: &mut Vec<Timed>) {
        let device = self.chance.index(DEVICES);
        match self.chance.below(100) {
            0..34 => self.pairing(device, steps),
            34..44 => self.push(steps, self.at_the_device(device)),
            44..52 => self.push(steps, self.at_the_station(device)),
            52..66 => self.power(steps),
            66..82 => self.weather(device, steps),
            82..86 => self.push(steps, Step::Nap(self.nap())),
            _ => self.push(steps, self.attack(device)),
        }
    }

    fn push(&self, steps: &mut Vec<Timed>, step: Step) {
        let pause = self.pause();
        steps.push((step, pause));
    }

    fn pairing(&self, device: usize, steps: &mut Vec<Timed>) {
        let way = match self.chance.below(100) {
            0..62 => Way::Scanned,
            62..84 => Way::Typed,
            84..93 => Way::Photo,
            _ => Way::Crossed,
        };
        steps.push((Step::Open(device), self.between(20, 400)));
        if self.chance.happens(15) {
            self.push(steps, Step::Scan(device));
        }
        if self.chance.happens(20) {
            self.push(steps, Step::Trap(self.node(), self.between(0, 6), self.instant()));
        }
        self.push(steps, Step::Pair(device, way));
        if self.chance.happens(12) {
            self.push(steps, Step::Pair(device, way));
        }
    }

    fn at_the_device(&self, device: usize) -> Step {
        match self.chance.below(100) {
            0..20 => Step::Exit(device),
            20..35 => Step::Regenerate(device),
            35..45 => Step::Reset(device),
            45..60 => Step::Renew(device),
            60..72 => Step::Deprovision(device),
            72..80 => Step::FactoryReset(device),
            _ => Step::Patient(device, self.chance.happens(50)),
        }
    }

    fn at_the_station(&self, device: usize) -> Step {
        let nth = u8::try_from(self.chance.below(8)).unwrap_or(0);
        match self.chance.below(100) {
            0..30 => Step::Scan(device),
            30..45 => Step::Cancel(device),
            45..97 => Step::Revoke(device, nth),
            _ => Step::Decommission(device),
        }
    }

    fn power(&self, steps: &mut Vec<Timed>) {
        let node = self.node();
        match self.chance.below(100) {
            0..40 => self.push(steps, Step::Crash(node)),
            40..80 => {
                self.push(steps, Step::Trap(node, self.between(0, 8), self.instant()));
            }
            _ => self.push(steps, Step::Stop(node)),
        }
        if self.chance.happens(80) {
            self.push(steps, Step::Start);
        }
    }

    fn weather(&self, device: usize, steps: &mut Vec<Timed>) {
        let percent = |most: u64| u8::try_from(self.chance.below(most + 1)).unwrap_or(0);
        let step = match self.chance.below(100) {
            0..25 => {
                let rough = if self.wild { 40 } else { 10 };
                let delay = [2, 40, 700, 4_000];
                let delay = delay.get(self.chance.index(delay.len())).copied().unwrap_or(2);
                let (loss, twice) = (percent(rough), percent(rough));
                Step::Line(device, Line { cut: false, loss, delay, twice })
            }
            25..40 => Step::Line(device, Line { cut: true, ..Line::default() }),
            40..55 => Step::Line(device, Line::default()),
            55..65 => {
                let most = if self.wild { 30 } else { 8 };
                Step::Wear(self.node(), Wear { full: percent(most), broken: percent(most) })
            }
            65..75 => Step::Wear(self.node(), Wear::default()),
            _ => self.clock(device),
        };
        self.push(steps, step);
    }

    /// A clock that is called synchronised is nearly right; the others may say anything.
    fn clock(&self, device: usize) -> Step {
        let within = |most: u64| {
            let offset = i64::try_from(self.chance.below(2 * most + 1)).unwrap_or(0);
            offset - i64::try_from(most).unwrap_or(0)
        };
        if self.chance.happens(25) {
            return Step::Clock(Node::Station, within(100), ClockQuality::Synced);
        }
        let node = Node::Device(device);
        match self.chance.below(3) {
            0 => Step::Clock(node, within(100), ClockQuality::Synced),
            1 => Step::Clock(node, within(40_000_000), ClockQuality::Signed),
            _ => Step::Clock(node, within(40_000_000), ClockQuality::None),
        }
    }

    fn attack(&self, device: usize) -> Step {
        match self.chance.below(100) {
            0..45 => Step::Replay(device, self.chance.happens(40)),
            45..65 => Step::Swap(self.between(1, 3)),
            65..85 => Step::Rogue(device),
            _ => Step::Thief,
        }
    }

    fn node(&self) -> Node {
        match self.chance.index(DEVICES + 2) {
            device if device < DEVICES => Node::Device(device),
            _ => Node::Station,
        }
    }

    fn instant(&self) -> Instant {
        let all = Instant::ALL;
        all.get(self.chance.index(all.len())).copied().unwrap_or(Instant::Before)
    }

    /// Minutes: a coffee, a shift, a night, two days.
    fn nap(&self) -> u16 {
        let naps = [5, 20, 45, 300, 720, 1_000, 1_500, 2_900];
        naps.get(self.chance.index(naps.len())).copied().unwrap_or(5)
    }

    fn between(&self, from: u32, to: u32) -> u32 {
        let width = u64::from(to.saturating_sub(from)) + 1;
        from.saturating_add(u32::try_from(self.chance.below(width)).unwrap_or(0))
    }

    /// Mostly milliseconds, so that what follows meets what is under way; sometimes minutes.
    fn pause(&self) -> u32 {
        match self.chance.below(100) {
            0..40 => self.between(0, 40),
            40..65 => self.between(40, 600),
            65..85 => self.between(600, 8_000),
            85..95 => self.between(8_000, 70_000),
            _ => self.between(70_000, 1_000_000),
        }
    }
}
