//! Whether a typed code's device answers a half-right code and an all-wrong one in the same time:
//! `cargo bench --package zmon-bench --bench timing`.
//!
//! No test: a busy machine finds differences where there are none. The first row shows what the
//! method finds in two classes that are the same, the second that it finds a difference of one hash.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark: it prints, and what cannot be set up ends it with the reason"
)]

use core::hint::black_box;

use rand_core::{Rng, UnwrapErr};
use zmon_bench::process;
use zmon_bench::sample::thread_time;
use zmon_bench::welch::{Classes, THRESHOLD, Welch};
use zmon_crypto::pake::{PakeInputs, Prover, Share, Verifier};
use zmon_crypto::sha256;
use zmon_domain::code::{CodeFormat, PairingCode};
use zmon_domain::ids::{DeviceId, StationId, WindowId};

/// Samples of a row, both classes together.
const SAMPLES: usize = 4000;
/// Shares of each class, made before, so that only the device's work is measured.
const SHARES: usize = 64;
/// What the device shows.
const SHOWN: &str = "ABC-123-XYZ";

fn main() {
    // `cargo test --benches` only wants to know that it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("{}\n", process::machine());
    let bench = Bench::new();
    let (shown, half) = (code(SHOWN), code(&sharing(5)));
    let (near, wrong) = (code(&sharing(7)), code(&sharing(0)));
    println!(
        "| device's answer to a typed code | mean | mean | difference | would have seen | t |"
    );
    println!("|---|---|---|---|---|---|");
    let answer = |share: &Share| bench.answer(share);
    row("twice the same class (nothing to find)", &bench, [&wrong, &wrong], answer);
    let leaky = |share: &Share| {
        bench.answer(share);
        // One bit of the share stands for a secret: a hash of 64 KiB more or less.
        if share.as_bytes().last().is_some_and(|last| last & 1 == 1) {
            black_box(sha256(&[0; 65_536]));
        }
    };
    leak("a leak of one hash (to be found)", &bench, &wrong, leaky);
    row("half right, all wrong", &bench, [&half, &wrong], answer);
    row("one symbol wrong, all wrong", &bench, [&near, &wrong], answer);
    row("right, all wrong: shares only", &bench, [&shown, &wrong], answer);
}

/// A code that begins with `symbols` of the shown one's nine and has others after; the check symbol
/// fits.
fn sharing(symbols: usize) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let shown: Vec<u8> = SHOWN.bytes().filter(|byte| *byte != b'-').collect();
    let changed = |(place, symbol): (usize, &u8)| {
        let at = ALPHABET.iter().position(|own| own == symbol).expect("a symbol");
        let to = if place < symbols { at } else { (at + 1) % ALPHABET.len() };
        char::from(*ALPHABET.get(to).expect("a symbol"))
    };
    let body: String = shown.iter().take(8).enumerate().map(changed).collect();
    ALPHABET
        .iter()
        .map(|check| format!("{body}{}", char::from(*check)))
        .find(|text| PairingCode::parse(text, CodeFormat::Grouped9).is_ok())
        .expect("one check symbol fits")
}

fn code(text: &str) -> PairingCode {
    PairingCode::parse(text, CodeFormat::Grouped9).expect("a code")
}

/// One device in one window.
struct Bench {
    shown: PairingCode,
    window: WindowId,
    station: StationId,
    device: DeviceId,
}

impl Bench {
    fn new() -> Self {
        Self {
            shown: code(SHOWN),
            window: WindowId::from_bytes([7; 16]),
            station: StationId::parse("CS-1").expect("an id"),
            device: DeviceId::parse("ZM-001").expect("an id"),
        }
    }

    fn inputs<'a>(&'a self, code: &'a PairingCode) -> PakeInputs<'a> {
        PakeInputs {
            code,
            window_id: &self.window,
            hello: b"a hello",
            station_id: &self.station,
            device_id: &self.device,
        }
    }

    /// First messages of stations where this code was typed.
    fn shares(&self, typed: &PairingCode) -> Vec<Share> {
        let mut rng = UnwrapErr(getrandom::SysRng);
        let start = || Prover::start(&self.inputs(typed), &mut rng).expect("a share").1;
        core::iter::repeat_with(start).take(SHARES).collect()
    }

    /// All that a device does in a run: its answer, and the check of a confirmation that is wrong.
    fn answer(&self, share: &Share) {
        let mut rng = UnwrapErr(getrandom::SysRng);
        let started = Verifier::start(&self.inputs(&self.shown), *share, &mut rng);
        let (verifier, ..) = started.expect("an answer");
        assert!(black_box(verifier.finish(b"a hello", &[0; 32])).is_err());
    }
}

/// Measures two codes, in a random order.
fn row(what: &str, bench: &Bench, codes: [&PairingCode; 2], work: impl Fn(&Share)) {
    let [zero, one] = codes.map(|code| bench.shares(code));
    show(what, &measure(&zero, &one, work));
}

/// Measures a work that tells shares apart by their last bit.
fn leak(what: &str, bench: &Bench, code: &PairingCode, work: impl Fn(&Share)) {
    let odd = |share: &Share| share.as_bytes().last().is_some_and(|last| last & 1 == 1);
    let shares = [bench.shares(code), bench.shares(code)].concat();
    let (one, zero): (Vec<Share>, Vec<Share>) = shares.into_iter().partition(odd);
    show(what, &measure(&zero, &one, work));
}

fn measure(zero: &[Share], one: &[Share], work: impl Fn(&Share)) -> Welch {
    let mut dice = UnwrapErr(getrandom::SysRng);
    let mut classes = Classes::default();
    for sample in 0..SAMPLES + SAMPLES / 10 {
        let class = dice.next_u32() & 1 == 1;
        let shares = if class { one } else { zero };
        let place = usize::try_from(dice.next_u32()).expect("an index") % shares.len();
        let share = shares.get(place).expect("a share");
        let before = thread_time();
        work(black_box(share));
        let took = thread_time().saturating_sub(before);
        // The first ones warm up.
        if sample >= SAMPLES / 10 {
            classes.push(class, took.as_secs_f64() * 1e9);
        }
    }
    classes.compare().expect("enough samples")
}

fn show(what: &str, found: &Welch) {
    let [zero, one] = found.means.map(|mean| mean / 1e3);
    let verdict = if found.t.abs() < THRESHOLD { "no difference" } else { "DIFFERENT" };
    println!(
        "| {what} | {zero:.2} µs | {one:.2} µs | {:+.3} µs | {:.3} µs | {:.2}, {verdict} |",
        zero - one,
        found.resolution / 1e3,
        found.t,
    );
}
