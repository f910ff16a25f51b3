//! Rebuilds when a migration is added: `sqlx::migrate!` tracks the files, not the folder.

fn main() {
    #[expect(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]
    {
        println!("cargo:rerun-if-changed=migrations/device");
        println!("cargo:rerun-if-changed=migrations/station");
    }
}
