//! What long runs share: their arguments, the ledger they add to, and the table that is made of it.
//!
//! A test of the gate looks at a few hundred cases; what a hospital wants to know takes hours. Each
//! such command ([`ROWS`]) takes the same arguments ([`Args`]), stops by itself, and adds one line to
//! `docs/reliability/ledger.jsonl` ([`Entry`]): of which commit, with which seeds, how many cases, how
//! many failures. `docs/RELIABILITY.md` is made of that file ([`markdown`]); nobody writes a figure by hand.
//!
//! ```no_run
//! use clap::Parser;
//! use zmon_reliability::{Args, WARD};
//!
//! let mut run = Args::parse().begin(&WARD)?;
//! while let Some(seed) = run.next() {
//!     // … what this seed makes …
//!     run.count(1);
//! }
//! run.end();
//! # Ok::<(), zmon_reliability::LedgerError>(())
//! ```

mod args;
mod entry;
mod ledger;
mod rows;
mod run;
mod sources;
mod table;

pub use args::{Args, Shard};
pub use entry::Entry;
pub use ledger::{Ledger, LedgerError, PATH};
pub use rows::{
    CROSS_DELIVERIES, FAULTS, FUZZ, GUESSES, KILLS, MUTANTS, POWER_LOSS, REDEMPTIONS, ROWS, Row,
    Target, WARD,
};
pub use run::Run;
pub use sources::{Sources, root};
pub use table::markdown;
