//! Writes the software bill of materials (CycloneDX 1.5) to standard output:
//! `cargo run -p zmon-tests --example sbom > sbom.cdx.json`.

use std::error::Error;
use std::io::{self, Write};

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &zmon_tests::sbom::cyclone_dx()?)?;
    Ok(out.write_all(b"\n")?)
}
