//! The benchmark: `cargo build --release --bins && cargo bench -p zmon-bench`.
//!
//! | file | rows |
//! |---|---|
//! | `qr` | content to PNG |
//! | `envelope` | seal and open, both suites |
//! | `pairing`, `device` | window to PNG, device apply, one whole pairing over loopback |
//! | `programs` | spawn to QR code, size, memory of the release programs |
//! | `primitives` | what all of them are made of |
//!
//! `docs/PERFORMANCE.md` says how to read the tables.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark: it prints, and what cannot be set up ends it with the reason"
)]

mod device;
mod envelope;
mod pairing;
mod primitives;
mod programs;
mod qr;

use zmon_bench::{process, table};

fn main() {
    // `cargo test --benches` only wants to know that it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("{}\n", process::machine());
    let primitives = primitives::Primitives::measure();
    let mut rows = vec![qr::draw()];
    let envelopes = envelope::rows();
    let [seal, open, ..] = &envelopes;
    let sealing = (seal.cost, open.cost);
    rows.extend(envelopes);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let (pairing, steps) = runtime.block_on(pairing::rows(&primitives, sealing));
    rows.extend(pairing);
    let weights = match runtime.block_on(programs::measure(&primitives)) {
        Some((row, weights)) => {
            rows.push(row);
            Some(weights)
        }
        None => None,
    };

    println!("{}", table::summary(&rows));
    println!("{}", table::sums(&rows));
    println!("{steps}");
    match weights {
        Some(weights) => println!("{weights}"),
        None => println!("programs: not built; run `cargo build --release --bins` first"),
    }
}
