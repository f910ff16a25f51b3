//! Writes the documents that are made from code:
//! `cargo run -p zmon-tests --example generate_docs`.

fn main() -> Result<(), zmon_tests::documents::DocumentError> {
    zmon_tests::documents::write()
}
