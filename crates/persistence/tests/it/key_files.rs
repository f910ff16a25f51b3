//! Key files: made for the owner, read only if nobody else can reach them (D19, T29, T32).

use std::os::unix::fs::{PermissionsExt, symlink};

use crate::common::{Home, seeded};
use rustix::fs::{CWD, Mode, mkfifoat};
use zmon_crypto::{IdentityPublic, Suite};
use zmon_domain::error::ErrorCode;
use zmon_persistence::{FileKeyStore, PersistenceError, PrivateDir};
use zmon_provisioning::ports::{KeyStore, KeyStoreError};
use zmon_wire::kind::KeyProtection;

fn create(home: &Home) -> FileKeyStore {
    FileKeyStore::create(home.dir(), Suite::P256, &mut seeded(1)).unwrap()
}

fn open(home: &Home) -> Result<FileKeyStore, PersistenceError> {
    FileKeyStore::open(home.dir())
}

fn code(home: &Home) -> ErrorCode {
    open(home).expect_err("it opened").code()
}

fn public(keys: &FileKeyStore) -> IdentityPublic {
    keys.identity().public().clone()
}

#[test]
fn both_suites_come_back_as_they_were_made() {
    for suite in [Suite::P256, Suite::Rsa2048] {
        let home = Home::new();
        let made = FileKeyStore::create(home.dir(), suite, &mut seeded(1)).unwrap();
        let (identity, derived) = (public(&made), made.derive(b"zp1 token").unwrap());
        assert_eq!(made.protection(), KeyProtection::File);
        drop(made);
        let opened = open(&home).unwrap();
        assert_eq!(public(&opened), identity);
        assert_eq!(identity.suite(), suite);
        assert!(opened.derive(b"zp1 token").unwrap().ct_eq(&derived));
        assert!(!opened.derive(b"zp1 slot").unwrap().ct_eq(&derived));
        assert!(opened.identity().sign(b"message", &mut seeded(2)).is_ok());
    }
}

#[test]
fn an_identity_is_made_once() {
    let home = Home::new();
    let identity = public(&create(&home));
    let again = FileKeyStore::create(home.dir(), Suite::P256, &mut seeded(2));
    assert_eq!(again.err().unwrap().code(), ErrorCode::StateConflict);
    assert_eq!(public(&open(&home).unwrap()), identity);
}

#[test]
fn initialisation_that_was_cut_off_is_taken_up() {
    let home = Home::new();
    assert_eq!(code(&home), ErrorCode::NotInitialised);
    drop(create(&home));
    let root = std::fs::read(home.file("root.key")).unwrap();
    std::fs::remove_file(home.file("identity.key")).unwrap();
    assert_eq!(code(&home), ErrorCode::NotInitialised);
    // A left-over of the interrupted write stands in nobody's way.
    std::fs::write(home.file(".identity.key.tmp"), b"half").unwrap();
    let keys = FileKeyStore::create(home.dir(), Suite::P256, &mut seeded(3)).unwrap();
    assert_eq!(std::fs::read(home.file("root.key")).unwrap(), root);
    assert!(!home.file(".identity.key.tmp").exists());
    assert!(keys.slot_generations().unwrap().is_empty());
}

#[test]
fn files_others_can_reach_are_refused() {
    for name in ["root.key", "identity.key"] {
        for mode in [0o640, 0o604, 0o620, 0o601, 0o666, 0o777] {
            let home = Home::new();
            drop(create(&home));
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(home.file(name), permissions).unwrap();
            assert_eq!(code(&home), ErrorCode::KeyFileModeTooWide, "{name} {mode:o}");
        }
        let narrow = Home::new();
        drop(create(&narrow));
        let permissions = std::fs::Permissions::from_mode(0o400);
        std::fs::set_permissions(narrow.file(name), permissions).unwrap();
        assert!(open(&narrow).is_ok());
    }
}

#[test]
fn links_pipes_and_folders_in_place_of_key_files_are_refused() {
    for name in ["root.key", "identity.key"] {
        let planted = |plant: &dyn Fn(&Home)| {
            let home = Home::new();
            drop(create(&home));
            plant(&home);
            code(&home)
        };
        let link = planted(&|home| {
            std::fs::rename(home.file(name), home.file("real")).unwrap();
            symlink("real", home.file(name)).unwrap();
        });
        assert_eq!(link, ErrorCode::KeyFileIsSymlink, "{name}");
        let dangling = planted(&|home| {
            std::fs::remove_file(home.file(name)).unwrap();
            symlink("/nowhere", home.file(name)).unwrap();
        });
        assert_eq!(dangling, ErrorCode::KeyFileIsSymlink, "{name}");
        let hard = planted(&|home| {
            std::fs::hard_link(home.file(name), home.file("second")).unwrap();
        });
        assert_eq!(hard, ErrorCode::KeyStoreUnavailable, "{name}");
        let pipe = planted(&|home| {
            std::fs::remove_file(home.file(name)).unwrap();
            mkfifoat(CWD, home.file(name), Mode::RUSR | Mode::WUSR).unwrap();
        });
        assert_eq!(pipe, ErrorCode::KeyStoreUnavailable, "{name}");
        let folder = planted(&|home| {
            std::fs::remove_file(home.file(name)).unwrap();
            std::fs::create_dir(home.file(name)).unwrap();
        });
        assert_eq!(folder, ErrorCode::KeyStoreUnavailable, "{name}");
    }
}

#[test]
fn files_of_another_user_are_refused() {
    if !rustix::process::geteuid().is_root() {
        // Nobody else may give files away.
        return;
    }
    for name in ["root.key", "identity.key"] {
        let home = Home::new();
        drop(create(&home));
        std::os::unix::fs::chown(home.file(name), Some(1), None).unwrap();
        assert_eq!(code(&home), ErrorCode::KeyStoreUnavailable, "{name}");
    }
    let home = Home::new();
    std::os::unix::fs::chown(home.path(), Some(1), None).unwrap();
    let opened = PrivateDir::open(&home.path());
    assert_eq!(opened.err().map(|error| error.code()), Some(ErrorCode::KeyStoreUnavailable));
}

#[test]
fn a_planted_link_is_not_written_through() {
    let home = Home::new();
    let victim = home.path().with_file_name("victim");
    std::fs::write(&victim, b"precious").unwrap();
    for name in [".root.key.tmp", ".identity.key.tmp"] {
        symlink(&victim, home.file(name)).unwrap();
    }
    let keys = create(&home);
    symlink(&victim, home.file("slots/7.key")).unwrap();
    assert!(keys.create_slot_secret(7, &mut seeded(4)).is_err(), "an existing name is refused");
    assert!(matches!(keys.slot_secret(7), Err(KeyStoreError::Symlink(_))));
    keys.destroy_slot_secret(7).unwrap();
    assert!(!home.file("slots/7.key").is_symlink());
    assert_eq!(std::fs::read(victim).unwrap(), b"precious");
}

#[test]
fn a_second_name_of_a_secret_is_not_overwritten_but_unlinked() {
    let home = Home::new();
    let keys = create(&home);
    keys.create_slot_secret(1, &mut seeded(4)).unwrap();
    std::fs::hard_link(home.file("slots/1.key"), home.file("copy")).unwrap();
    assert!(matches!(keys.slot_secret(1), Err(KeyStoreError::Unavailable(_))));
    keys.destroy_slot_secret(1).unwrap();
    assert!(!home.file("slots/1.key").exists());
}

/// T32: a damaged key file never gives another identity.
#[test]
fn no_flipped_bit_gives_another_identity() {
    let home = Home::new();
    drop(create(&home));
    for name in ["root.key", "identity.key"] {
        let whole = std::fs::read(home.file(name)).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(home.file(name), damaged).unwrap();
            assert_eq!(code(&home), ErrorCode::StorageCorrupt, "{name} bit {bit}");
        }
        for length in 0..whole.len() {
            std::fs::write(home.file(name), &whole[..length]).unwrap();
            assert_eq!(code(&home), ErrorCode::StorageCorrupt, "{name} of {length} bytes");
        }
        std::fs::write(home.file(name), [whole.as_slice(), &[0]].concat()).unwrap();
        assert_eq!(code(&home), ErrorCode::StorageCorrupt, "{name} with one more byte");
        std::fs::write(home.file(name), vec![7; 1 << 20]).unwrap();
        assert_eq!(code(&home), ErrorCode::StorageCorrupt, "{name} of 1 MiB");
        std::fs::write(home.file(name), whole).unwrap();
    }
    assert!(open(&home).is_ok());
}

#[test]
fn slot_secrets_live_exactly_as_long_as_they_should() {
    let home = Home::new();
    let keys = create(&home);
    let mut rng = seeded(5);
    let one = keys.create_slot_secret(1, &mut rng).unwrap();
    let two = keys.create_slot_secret(2, &mut rng).unwrap();
    assert!(!one.ct_eq(&two));
    assert!(matches!(keys.create_slot_secret(1, &mut rng), Err(KeyStoreError::Unavailable(_))));
    drop(keys);
    let keys = open(&home).unwrap();
    assert!(keys.slot_secret(1).unwrap().unwrap().ct_eq(&one));
    assert!(keys.slot_secret(3).unwrap().is_none());
    keys.destroy_slot_secret(1).unwrap();
    keys.destroy_slot_secret(1).unwrap();
    assert!(keys.slot_secret(1).unwrap().is_none());
    assert_eq!(keys.slot_generations().unwrap(), [2]);
    // A secret opens only under its own generation.
    std::fs::rename(home.file("slots/2.key"), home.file("slots/9.key")).unwrap();
    assert!(matches!(keys.slot_secret(9), Err(KeyStoreError::Corrupt(_))));
    assert_eq!(KeyStoreError::Corrupt(String::new()).code(), ErrorCode::KeyStoreUnavailable);
}

#[test]
fn nothing_secret_is_printed() {
    let home = Home::new();
    let keys = create(&home);
    let text = format!("{keys:?}");
    let root = std::fs::read(home.file("root.key")).unwrap();
    let hex: String = root.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    assert!(text.starts_with("FileKeyStore") && !text.contains(&hex), "{text}");
}
