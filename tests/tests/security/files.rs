//! Files that others could have touched, and files that were: refused at the start, by name.

use std::os::unix::fs::symlink;

use rand_core::Rng;
use zmon_domain::error::ErrorCode;
use zmon_testkit::{SimulatedDevice, disk, paired};

/// What a device that is off answers when it is switched on; switched off again if it starts.
async fn start(device: &mut SimulatedDevice) -> Option<ErrorCode> {
    match device.start().await {
        Ok(()) => {
            device.stop().await;
            None
        }
        Err(error) => Some(error.code),
    }
}

const NAMES: [&str; 4] = ["root.key", "identity.key", "device.db", "operators.json"];

#[tokio::test]
async fn wide_modes_are_refused() {
    let (_station, mut device) = paired().await;
    device.stop().await;
    let dir = device.directory().to_owned();
    for name in NAMES {
        for mode in [0o604, 0o640, 0o666] {
            disk::set_mode(&dir.join(name), mode);
            let refused = start(&mut device).await;
            assert_eq!(refused, Some(ErrorCode::KeyFileModeTooWide), "{name} {mode:o}");
        }
        disk::set_mode(&dir.join(name), 0o600);
    }
    for folder in [dir.clone(), dir.join("slots")] {
        disk::set_mode(&folder, 0o755);
        let refused = start(&mut device).await;
        assert_eq!(refused, Some(ErrorCode::KeyFileModeTooWide), "{}", folder.display());
        disk::set_mode(&folder, 0o700);
    }
    device.start().await.unwrap();
    device.until_connected().await;
}

#[tokio::test]
async fn links_are_refused() {
    let (_station, mut device) = paired().await;
    device.stop().await;
    let dir = device.directory().to_owned();
    let aside = dir.join("aside");
    for name in NAMES {
        let file = dir.join(name);
        std::fs::rename(&file, &aside).unwrap();
        symlink(&aside, &file).unwrap();
        let refused = start(&mut device).await;
        assert_eq!(refused, Some(ErrorCode::KeyFileIsSymlink), "{name}");
        std::fs::remove_file(&file).unwrap();
        std::fs::rename(&aside, &file).unwrap();
    }
    device.start().await.unwrap();
    device.until_connected().await;
}

#[tokio::test]
async fn lost_and_cut_files_are_refused() {
    let (_station, mut device) = paired().await;
    device.stop().await;
    let dir = device.directory().to_owned();
    for name in ["root.key", "identity.key", "device.db"] {
        let file = dir.join(name);
        let whole = std::fs::read(&file).unwrap();
        for length in [1, whole.len() / 2] {
            std::fs::write(&file, &whole[..length]).unwrap();
            let refused = start(&mut device).await;
            assert!(refused.is_some(), "{name} cut to {length} bytes");
        }
        std::fs::write(&file, &whole).unwrap();
    }
    device.start().await.unwrap();
    device.until_connected().await;
}

#[tokio::test]
async fn a_flipped_bit_anywhere_never_serves_a_wrong_identity() {
    const FLIPS: usize = 48;
    let (station, mut device) = paired().await;
    let chain = device.credentials().await.client_chain;
    let key = device.manifest().identity_key;
    device.stop().await;
    let whole = disk::Snapshot::take(device.directory());
    let files: Vec<_> = whole.files().iter().filter(|(_, bytes)| !bytes.is_empty()).collect();
    let mut rng = station.seed().rng();
    for number in 0..FLIPS {
        let (file, bytes) = files[number % files.len()];
        let length = u64::try_from(bytes.len()).unwrap();
        let at = usize::try_from(rng.next_u64() % length).unwrap();
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (rng.next_u32() % 8);
        std::fs::write(file, &damaged).unwrap();
        if device.start().await.is_ok() {
            let what = format!("{} byte {at}", file.display());
            assert_eq!(device.manifest().identity_key, key, "{what}");
            if device.view().is_provisioned {
                assert_eq!(device.credentials().await.client_chain, chain, "{what}");
            }
            device.stop().await;
        }
        whole.restore();
    }
    device.start().await.unwrap();
    device.until_connected().await;
    device.audit_verified().await;
}
