//! What a program weighs.

use core::time::Duration;
use std::fs;
use std::path::{Path, PathBuf};

/// A program beside this one: benchmarks run in `deps/` of the profile's folder.
#[must_use]
pub fn beside(name: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let path = own.parent()?.parent()?.join(name);
    path.is_file().then_some(path)
}

/// Bytes of a file.
#[must_use]
pub fn size(path: &Path) -> Option<u64> {
    Some(fs::metadata(path).ok()?.len())
}

/// Resident memory of a process in bytes.
#[must_use]
pub fn resident(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// CPU time of all threads that a process has.
#[must_use]
pub fn cpu_time(pid: u32) -> Option<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        // A thread may end while it is read.
        let Ok(times) = fs::read_to_string(task.ok()?.path().join("schedstat")) else { continue };
        nanos += times.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(nanos))
}

/// The processors of this machine in general words.
#[must_use]
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?").to_owned();
    format!("{cores} vCPU ({}), load {load} at the start", model.unwrap_or("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_a_size_and_memory() {
        assert!(resident(std::process::id()).unwrap() > 100_000);
        assert!(size(&std::env::current_exe().unwrap()).unwrap() > 1000);
        assert_eq!(beside("no such program"), None);
        assert_eq!(resident(u32::MAX), None);
        assert!(cpu_time(std::process::id()).unwrap() > Duration::ZERO);
        assert_eq!(cpu_time(u32::MAX), None);
        assert!(machine().contains("vCPU"));
    }
}
