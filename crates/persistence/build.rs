//! Rebuilds when a migration is added: `sqlx::migrate!` tracks the files, not the folder.

fn main() {
    println!("cargo:rerun-if-changed=migrations/device");
    println!("cargo:rerun-if-changed=migrations/station");
    println!("cargo:rerun-if-changed=migrations/station-postgres");
}
