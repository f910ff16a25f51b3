//! Alone in its process: the umask belongs to all threads.

mod common;

use std::os::unix::fs::PermissionsExt;

use common::{Home, seeded};
use rustix::fs::Mode;
use zmon_crypto::Suite;
use zmon_persistence::FileKeyStore;
use zmon_provisioning::ports::KeyStore;

#[test]
fn modes_do_not_depend_on_the_umask() {
    let home = Home::new();
    let before = rustix::process::umask(Mode::empty());
    let keys = FileKeyStore::create(home.dir(), Suite::P256, &mut seeded(1)).unwrap();
    keys.create_slot_secret(1, &mut seeded(6)).unwrap();
    rustix::process::umask(before);
    for name in ["root.key", "identity.key", "slots/1.key", ".lock"] {
        let mode = std::fs::metadata(home.file(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{name}");
    }
    let mode = std::fs::metadata(home.file("slots")).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o700);
}
