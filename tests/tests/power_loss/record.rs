//! What a running program does to the files of one folder, as the system's calls say it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use rustix::process::Signal;
use tempfile::NamedTempFile;

/// The calls that change a disk, or make sure of it.
const CALLS: &str = "trace=openat,write,pwrite64,ftruncate,fsync,fdatasync,\
                     rename,renameat,renameat2,unlink,unlinkat";

/// What one call has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// The name is there from now on; with its content gone if `empty`.
    Open {
        path: PathBuf,
        empty: bool,
    },
    Write {
        path: PathBuf,
        offset: usize,
        data: Vec<u8>,
    },
    Resize {
        path: PathBuf,
        length: usize,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Unlink {
        path: PathBuf,
    },
    /// A file's content, or a folder's names, is on the disk.
    Sync {
        path: PathBuf,
    },
}

/// A call that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) op: Op,
    /// How many events had ended when it began.
    pub(crate) begun: usize,
}

/// A tracer that writes down what a program does.
pub(crate) struct Recorder {
    child: Child,
    /// It names every thread that begins, and ends when nobody listens.
    _said: BufReader<ChildStderr>,
    output: NamedTempFile,
    folder: PathBuf,
}

impl Recorder {
    /// Attaches to a process and all its threads.
    pub(crate) fn attach(pid: u32, folder: &Path) -> Self {
        let output = NamedTempFile::new().expect("a file");
        let mut child = Command::new("strace")
            .args(["-f", "-y", "-xx", "-s", "1048576", "-e", CALLS, "-e", "signal=none", "-o"])
            .arg(output.path())
            .args(["-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace starts");
        let mut line = String::new();
        let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
        said.read_line(&mut line).expect("strace says something");
        assert!(line.contains(" attached"), "strace: {line}");
        Self { child, _said: said, output, folder: folder.canonicalize().expect("a folder") }
    }

    /// What it has seen of a program that has ended.
    pub(crate) fn end(mut self) -> Vec<Event> {
        let ended = self.child.wait().expect("gone");
        assert_ne!(ended.signal(), Some(Signal::PIPE.as_raw()), "the tracer has seen it all");
        let text = std::fs::read_to_string(self.output.path()).expect("what it has seen");
        parse(&text, &self.folder)
    }
}

/// The events below a folder, in the order in which they have ended.
pub(crate) fn parse(text: &str, folder: &Path) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    let mut unfinished: BTreeMap<&str, (String, usize)> = BTreeMap::new();
    let mut ends: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for line in text.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        let (call, begun) = if let Some((head, _)) = call.split_once(" <unfinished ...>") {
            unfinished.insert(thread, (head.to_owned(), events.len()));
            continue;
        } else if let Some(rest) = call.strip_prefix("<... ") {
            let tail = rest.split_once(" resumed>").map_or("", |(_, tail)| tail);
            let Some((head, begun)) = unfinished.remove(thread) else { continue };
            (head + tail, begun)
        } else {
            (call.to_owned(), events.len())
        };
        let Some(op) = op(&call, &mut ends) else { continue };
        let inside = match &op {
            Op::Open { path, .. }
            | Op::Write { path, .. }
            | Op::Resize { path, .. }
            | Op::Unlink { path }
            | Op::Sync { path }
            | Op::Rename { to: path, .. } => path.starts_with(folder),
        };
        if inside {
            events.push(Event { op, begun });
        }
    }
    events
}

/// What a call has done that ended well; nothing where it did not.
fn op(call: &str, ends: &mut BTreeMap<PathBuf, usize>) -> Option<Op> {
    let (name, rest) = call.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    let result = result.trim();
    if result.starts_with('-') {
        return None;
    }
    let arguments: Vec<&str> = arguments.trim_end().strip_suffix(')')?.split(", ").collect();
    let argument = |place: usize| arguments.get(place).copied();
    let folder = |place: usize| path(argument(place)?);
    let number = |text: &str| text.parse::<usize>().ok();
    let named = |folder: Option<PathBuf>, name: usize| {
        Some(folder.unwrap_or_default().join(as_path(&string(argument(name)?)?)))
    };
    Some(match name {
        "openat" => {
            let path = path(result)?;
            let flags = argument(2)?;
            let empty = flags.contains("O_TRUNC");
            let end = if flags.contains("O_APPEND") { usize::MAX } else { 0 };
            ends.insert(path.clone(), end);
            if !flags.contains("O_CREAT") && !empty {
                return None;
            }
            Op::Open { path, empty }
        }
        "write" => {
            let (path, data) = (folder(0)?, string(argument(1)?)?);
            let end = ends.get_mut(&path)?;
            let offset = *end;
            *end = end.saturating_add(number(result)?);
            Op::Write { path, offset, data: data.get(..number(result)?)?.to_vec() }
        }
        "pwrite64" => {
            let (path, data) = (folder(0)?, string(argument(1)?)?);
            let data = data.get(..number(result)?)?.to_vec();
            Op::Write { path, offset: number(argument(3)?)?, data }
        }
        "ftruncate" => Op::Resize { path: folder(0)?, length: number(argument(1)?)? },
        "fsync" | "fdatasync" => Op::Sync { path: folder(0)? },
        "rename" => Op::Rename { from: named(None, 0)?, to: named(None, 1)? },
        "renameat" | "renameat2" => {
            Op::Rename { from: named(folder(0), 1)?, to: named(folder(2), 3)? }
        }
        "unlink" => Op::Unlink { path: named(None, 0)? },
        "unlinkat" => Op::Unlink { path: named(folder(0), 1)? },
        _ => return None,
    })
}

/// The path of a descriptor: `7<\x2f\x61>`.
fn path(text: &str) -> Option<PathBuf> {
    let (_, rest) = text.split_once('<')?;
    Some(as_path(&hex(rest.strip_suffix('>')?)?))
}

/// A string: `"\x61\x62"`.
fn string(text: &str) -> Option<Vec<u8>> {
    hex(text.strip_prefix('"')?.strip_suffix('"')?)
}

/// Bytes, each as `\x61`.
fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.split("\\x").skip(1);
    let bytes: Option<Vec<u8>> = digits.map(|two| u8::from_str_radix(two, 16).ok()).collect();
    bytes.filter(|bytes| bytes.len() * 4 == text.len())
}

fn as_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

#[test]
fn calls_are_read_as_strace_writes_them() {
    let log = r#"
7 openat(AT_FDCWD<\x2f>, "\x61", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 3<\x2f\x64\x2f\x61>
7 pwrite64(3<\x2f\x64\x2f\x61>, "\x61\x00\x22", 3, 4096 <unfinished ...>
8 openat(5<\x2f\x64>, "\x62", O_WRONLY|O_CREAT|O_EXCL, 0600) = 9<\x2f\x64\x2f\x62>
7 <... pwrite64 resumed>)               = 2
8 write(9<\x2f\x64\x2f\x62>, "\x01\x02", 2) = 2
8 write(9<\x2f\x64\x2f\x62>, "\x03", 1) = 1
8 fsync(9<\x2f\x64\x2f\x62>)            = 0
8 renameat(5<\x2f\x64>, "\x62", 5<\x2f\x64>, "\x63") = 0
8 unlink("\x2f\x65\x2f\x63")            = 0
8 ftruncate(3<\x2f\x64\x2f\x61>, 7)     = -1 EIO (Input/output error)
8 write(1<\x70\x69\x70\x65>, "\x01", 1) = 1
"#;
    let (a, b, c) = ("/d/a".into(), PathBuf::from("/d/b"), "/d/c".into());
    let events = parse(log, Path::new("/d"));
    let begun: Vec<_> = events.iter().map(|event| event.begun).collect();
    assert_eq!(begun, [0, 1, 1, 3, 4, 5, 6]);
    let ops: Vec<_> = events.into_iter().map(|event| event.op).collect();
    let write = |offset, data: &[u8]| Op::Write { path: b.clone(), offset, data: data.to_vec() };
    let expected = [
        Op::Open { path: PathBuf::clone(&a), empty: false },
        Op::Open { path: b.clone(), empty: false },
        Op::Write { path: a, offset: 4096, data: vec![0x61, 0] },
        write(0, &[1, 2]),
        write(2, &[3]),
        Op::Sync { path: b.clone() },
        Op::Rename { from: b.clone(), to: c },
    ];
    assert_eq!(ops, expected);
}
