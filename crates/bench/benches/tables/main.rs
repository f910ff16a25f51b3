//! The benchmark: `cargo bench -p zmon-bench`, after the release programs have been built one by one.
//!
//! | file | rows |
//! |---|---|
//! | `qr` | content to PNG |
//! | `envelope` | seal and open, both suites |
//! | `pairing`, `device` | window to PNG, device apply, one whole pairing over loopback |
//! | `station` | CPU time of the release station for one pairing |
//! | `programs` | spawn to QR code, size, memory of the release programs |
//! | `primitives` | what all of them are made of |
//! | `fastest` | the same by the fastest library known |
//!
//! `docs/PERFORMANCE.md` says how to read the tables.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark: it prints, and what cannot be set up ends it with the reason"
)]

mod device;
mod envelope;
mod fastest;
mod pairing;
mod primitives;
mod programs;
mod qr;
mod station;

use zmon_bench::{process, table};

use crate::fastest::Fastest;
use crate::primitives::Primitives;

fn main() {
    // `cargo test --benches` only wants to know that it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("{}\n", process::machine());
    let (primitives, fastest) = (Primitives::measure(), Fastest::measure());
    let picture = qr::draw();
    let mut rows = vec![picture.clone()];
    let envelopes = envelope::rows(&fastest);
    let [seal, open, ..] = &envelopes;
    let sealing = (seal.cost, open.cost);
    rows.extend(envelopes);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let (pairing, steps) = runtime.block_on(pairing::rows(&primitives, &fastest, sealing));
    rows.extend(pairing);
    rows.extend(runtime.block_on(station::row(&primitives, &fastest, sealing.0)));
    let weights = runtime.block_on(programs::measure(&primitives, &fastest, &picture));
    let weights = weights.map(|(starts, weights)| {
        rows.extend(starts);
        weights
    });

    println!("{}", table::summary(&single(&primitives, &fastest)));
    println!("{}", table::summary(&rows));
    println!("{}", table::sums(&rows));
    println!("{steps}");
    match weights {
        Some(weights) => println!("{weights}"),
        None => println!("programs: not built; docs/PERFORMANCE.md has the commands"),
    }
}

/// One of each operation of P-256, as it is linked and by the fastest.
fn single(p: &Primitives, f: &Fastest) -> [table::Row; 3] {
    let row = |what: &str, cost, fastest| table::Row {
        what: what.to_owned(),
        cost,
        fastest: vec![("`aws-lc-rs`", 1, fastest)],
        ..table::Row::default()
    };
    [
        row("P-256 key, `p256`", p.generate, f.generate),
        row("P-256 signature of 4 KiB, `p256`", p.sign, f.sign),
        row("P-256 verification of 4 KiB, `ring`", p.verify, f.verify),
    ]
}
