//! The memory of a running process, as whoever has it all would look through it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

/// How much is read at a time, in bytes.
const PIECE: usize = 1 << 20;
/// What is there or not there as a whole, in bytes.
const PAGE: usize = 4096;

/// Something to look for.
#[derive(Clone)]
pub(crate) struct Needle {
    /// What it is.
    pub(crate) name: &'static str,
    /// How it would lie there.
    pub(crate) bytes: Vec<u8>,
}

impl Needle {
    pub(crate) fn new(name: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        assert!(bytes.len() >= 8, "{name} is too short to mean anything");
        Self { name, bytes }
    }
}

/// Where which of them were found: name, mapping, and how often.
///
/// # Errors
/// When the system does not let this process look.
pub(crate) fn find(pid: u32, needles: &[Needle]) -> io::Result<Vec<(&'static str, String, usize)>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let mut found = Vec::new();
    for line in maps.lines() {
        let mut parts = line.split_whitespace();
        let (Some(range), Some(rights)) = (parts.next(), parts.next()) else { continue };
        let name = parts.nth(3).unwrap_or("anonymous").to_owned();
        // What nobody can write holds the program itself; the kernel's own pages cannot be read.
        if !rights.starts_with("rw") || name == "[vvar]" || name == "[vsyscall]" {
            continue;
        }
        let Some((from, to)) = range.split_once('-') else { continue };
        let number = |text| u64::from_str_radix(text, 16).map_err(io::Error::other);
        let (from, to) = (number(from)?, number(to)?);
        let content = read(&memory, from, to)?;
        for needle in needles {
            let places = content.windows(needle.bytes.len()).filter(|w| *w == needle.bytes);
            let count = places.count();
            if count > 0 {
                found.push((needle.name, name.clone(), count));
            }
        }
    }
    Ok(found)
}

/// A mapping's content; pages that are not there are left out.
fn read(memory: &File, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(to - from).map_err(io::Error::other)?;
    let mut content = vec![0; length];
    let mut at = 0;
    while at < length {
        let end = length.min(at + PIECE);
        let offset = from + u64::try_from(at).map_err(io::Error::other)?;
        match memory.read_at(&mut content[at..end], offset) {
            Ok(0) => break,
            Ok(read) => at += read,
            // Reserved and never touched.
            Err(error) if error.raw_os_error() == Some(5) => at = length.min(at + PAGE),
            Err(error) => return Err(error),
        }
    }
    Ok(content)
}
