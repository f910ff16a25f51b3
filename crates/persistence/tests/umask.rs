//! Alone in its process: the umask belongs to all threads.

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;
    use rustix::fs::Mode;
    use zmon_crypto::Suite;
    use zmon_persistence::{FileKeyStore, PrivateDir};
    use zmon_provisioning::ports::KeyStore;

    #[test]
    fn modes_do_not_depend_on_the_umask() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("zmon");
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let before = rustix::process::umask(Mode::empty());
        let dir = Arc::new(PrivateDir::create(&path).unwrap());
        let keys = FileKeyStore::create(dir, Suite::P256, &mut rng).unwrap();
        keys.create_slot_secret(1, &mut rng).unwrap();
        rustix::process::umask(before);
        let mode =
            |name: &str| std::fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o7777;
        for name in ["root.key", "identity.key", "slots/1.key", ".lock"] {
            assert_eq!(mode(name), 0o600, "{name}");
        }
        for name in ["", "slots"] {
            assert_eq!(mode(name), 0o700, "{name}");
        }
    }
}
