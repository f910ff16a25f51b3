//! Manifests and batches, as CSV and as JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zmon_wire::{batch, manifest};

fuzz_target!(|data: &[u8]| {
    if let Ok(rows) = manifest::parse_numbered(data) {
        assert_eq!(manifest::parse(data).map(|rows| rows.len()).ok(), Some(rows.len()));
        assert!(rows.windows(2).all(|two| two[0].0 < two[1].0), "rows keep their order");
    }
    let _ = batch::parse(data);
});
