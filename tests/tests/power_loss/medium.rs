//! A disk whose power goes: what was synced is there; of what was not, anything may be.
//!
//! What may become of writes that were not synced: none, all, the first of them, any of them, and of each
//! any of its sectors. Names in a folder become durable by a sync of the folder and not by one of the file,
//! and in their order, as a journal keeps them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rand_core::Rng;

use crate::record::{Event, Op};

/// What a disk writes as a whole, in bytes.
const SECTOR: usize = 512;

/// A change of one file's content.
#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Resize(usize),
}

#[derive(Clone, Debug, Default)]
struct File {
    durable: Vec<u8>,
    /// With the number of the event that made each.
    pending: Vec<(usize, Change)>,
}

/// Names that a call has changed, all or none of them.
type Names = Vec<(PathBuf, Option<usize>)>;

/// Files and names, on the disk and on their way to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Medium {
    files: Vec<File>,
    now: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    pending: Vec<(usize, Names)>,
    events: usize,
    /// The disk says that it has synced, and has not.
    lies: bool,
}

impl Medium {
    /// A disk with these files on it.
    pub(crate) fn new(files: BTreeMap<PathBuf, Vec<u8>>, lies: bool) -> Self {
        let mut medium = Self { lies, ..Self::default() };
        for (path, durable) in files {
            medium.durable.insert(path, medium.files.len());
            medium.files.push(File { durable, pending: Vec::new() });
        }
        medium.now.clone_from(&medium.durable);
        medium
    }

    /// What a program has done next.
    pub(crate) fn apply(&mut self, event: &Event) {
        let number = self.events;
        self.events += 1;
        match &event.op {
            Op::Open { path, empty } => match self.now.get(path) {
                None => {
                    let file = self.files.len();
                    self.files.push(File::default());
                    self.name(number, vec![(path.clone(), Some(file))]);
                }
                Some(_) if *empty => self.change(number, path, Change::Resize(0)),
                Some(_) => {}
            },
            Op::Write { path, offset, data } => {
                let (offset, data) = (*offset, data.clone());
                self.change(number, path, Change::Write { offset, data });
            }
            Op::Resize { path, length } => self.change(number, path, Change::Resize(*length)),
            Op::Rename { from, to } => {
                let file = self.now.get(from).copied();
                self.name(number, vec![(from.clone(), None), (to.clone(), file)]);
            }
            Op::Unlink { path } => self.name(number, vec![(path.clone(), None)]),
            Op::Sync { .. } if self.lies => {}
            Op::Sync { path } => self.sync(path, event.begun),
        }
    }

    /// Everything as if the power had stayed.
    pub(crate) fn whole(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let content = |file: &usize| {
            let file = &self.files[*file];
            let changes = file.pending.iter().map(|(_, change)| change);
            changes.fold(file.durable.clone(), with)
        };
        self.now.iter().map(|(path, file)| (path.clone(), content(file))).collect()
    }

    /// What is there after the power went now.
    pub(crate) fn after_power_loss(&self, dice: &mut impl Rng) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut names = self.durable.clone();
        let kept = below(dice, self.pending.len() + 1);
        for (_, changes) in self.pending.iter().take(kept) {
            rename(&mut names, changes);
        }
        names.into_iter().map(|(path, file)| (path, self.files[file].torn(dice))).collect()
    }

    fn change(&mut self, number: usize, path: &Path, change: Change) {
        // Whatever was opened before the recording and removed since has no name and leaves nothing.
        if let Some(file) = self.now.get(path) {
            self.files[*file].pending.push((number, change));
        }
    }

    fn name(&mut self, number: usize, changes: Names) {
        rename(&mut self.now, &changes);
        self.pending.push((number, changes));
    }

    /// A sync is about what had ended when it began.
    fn sync(&mut self, path: &Path, begun: usize) {
        if let Some(file) = self.now.get(path) {
            let file = &mut self.files[*file];
            let pending = core::mem::take(&mut file.pending);
            let (durable, later) = pending.into_iter().partition(|(number, _)| *number < begun);
            file.pending = later;
            let durable: Vec<(usize, Change)> = durable;
            let content = core::mem::take(&mut file.durable);
            file.durable = durable.iter().map(|(_, change)| change).fold(content, with);
            return;
        }
        let here = |names: &Names| names.iter().any(|(name, _)| name.parent() == Some(path));
        for (number, names) in core::mem::take(&mut self.pending) {
            if number < begun && here(&names) {
                rename(&mut self.durable, &names);
            } else {
                self.pending.push((number, names));
            }
        }
    }
}

impl File {
    fn torn(&self, dice: &mut impl Rng) -> Vec<u8> {
        let changes = self.pending.iter().map(|(_, change)| change);
        match below(dice, 4) {
            0 => self.durable.clone(),
            1 => changes.fold(self.durable.clone(), with),
            2 => {
                let whole = below(dice, self.pending.len() + 1);
                let content = changes.clone().take(whole).fold(self.durable.clone(), with);
                changes.skip(whole).take(1).fold(content, |content, change| {
                    sectors(content, change, &mut |_| below(dice, 2) == 0)
                })
            }
            _ => changes.fold(self.durable.clone(), |content, change| {
                sectors(content, change, &mut |_| below(dice, 2) == 0)
            }),
        }
    }
}

/// A content with a change made.
fn with(mut content: Vec<u8>, change: &Change) -> Vec<u8> {
    match change {
        Change::Resize(length) => content.resize(*length, 0),
        Change::Write { offset, data } => {
            // What is written at the end, wherever that is.
            let offset = if *offset == usize::MAX { content.len() } else { *offset };
            let end = offset + data.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[offset..end].copy_from_slice(data);
        }
    }
    content
}

/// A content with those sectors of a change that are kept; its length may be there without them.
fn sectors(content: Vec<u8>, change: &Change, kept: &mut dyn FnMut(usize) -> bool) -> Vec<u8> {
    let Change::Write { offset, data } = change else {
        return if kept(0) { with(content, change) } else { content };
    };
    let offset = if *offset == usize::MAX { content.len() } else { *offset };
    let mut content = content;
    let end = offset + data.len();
    if content.len() < end && kept(usize::MAX) {
        content.resize(end, 0);
    }
    let mut from = 0;
    while from < data.len() {
        // Sectors of the disk, not of the write.
        let to = data.len().min(from + SECTOR - (offset + from) % SECTOR);
        if kept(from) {
            let data = data[from..to].to_vec();
            content = with(content, &Change::Write { offset: offset + from, data });
        }
        from = to;
    }
    content
}

fn rename(names: &mut BTreeMap<PathBuf, usize>, changes: &Names) {
    for (path, file) in changes {
        match file {
            Some(file) => names.insert(path.clone(), *file),
            None => names.remove(path),
        };
    }
}

/// A number below `end`, which is not 0.
fn below(dice: &mut impl Rng, end: usize) -> usize {
    let end = u64::try_from(end).unwrap_or(u64::MAX);
    usize::try_from(dice.next_u64() % end).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    fn event(op: Op, begun: usize) -> Event {
        Event { op, begun }
    }

    fn write(name: &str, data: &[u8]) -> Op {
        Op::Write { path: name.into(), offset: 0, data: data.to_vec() }
    }

    /// Everything that may be there, over many throws.
    fn images(medium: &Medium) -> BTreeSet<BTreeMap<PathBuf, Vec<u8>>> {
        let mut dice = ChaCha20Rng::seed_from_u64(1);
        (0..400).map(|_| medium.after_power_loss(&mut dice)).collect()
    }

    #[test]
    fn what_was_synced_is_there_and_what_was_not_may_be() {
        let file = |data: &[u8]| BTreeMap::from([(PathBuf::from("/d/a"), data.to_vec())]);
        let mut medium = Medium::new(file(b"0"), false);
        medium.apply(&event(write("/d/a", b"1"), 0));
        assert_eq!(images(&medium), BTreeSet::from([file(b"0"), file(b"1")]));
        assert_eq!(medium.whole(), file(b"1"));
        medium.apply(&event(Op::Sync { path: "/d/a".into() }, 1));
        assert_eq!(images(&medium), BTreeSet::from([file(b"1")]));
        // A sync that began before a write is not about it.
        medium.apply(&event(write("/d/a", b"2"), 2));
        medium.apply(&event(Op::Sync { path: "/d/a".into() }, 2));
        assert_eq!(images(&medium), BTreeSet::from([file(b"1"), file(b"2")]));
    }

    #[test]
    fn a_new_name_is_there_once_its_folder_is_synced() {
        let mut medium = Medium::new(BTreeMap::new(), false);
        medium.apply(&event(Op::Open { path: "/d/n".into(), empty: false }, 0));
        medium.apply(&event(write("/d/n", b"x"), 1));
        medium.apply(&event(Op::Sync { path: "/d/n".into() }, 2));
        medium.apply(&event(Op::Rename { from: "/d/n".into(), to: "/d/m".into() }, 3));
        let file = |name: &str| BTreeMap::from([(PathBuf::from(name), b"x".to_vec())]);
        let seen = images(&medium);
        assert_eq!(seen, BTreeSet::from([BTreeMap::new(), file("/d/n"), file("/d/m")]));
        medium.apply(&event(Op::Sync { path: "/d".into() }, 4));
        assert_eq!(images(&medium), BTreeSet::from([file("/d/m")]));
    }

    #[test]
    fn a_write_is_torn_at_sectors() {
        let empty = BTreeMap::from([(PathBuf::from("/d/a"), Vec::new())]);
        let mut medium = Medium::new(empty, false);
        medium.apply(&event(write("/d/a", &[1; 2 * SECTOR]), 0));
        let seen: BTreeSet<_> = images(&medium)
            .into_iter()
            .map(|image| {
                let content = &image[Path::new("/d/a")];
                content
                    .chunks(SECTOR)
                    .map(|sector| sector.iter().map(|byte| usize::from(*byte)).sum::<usize>())
                    .collect::<Vec<_>>()
            })
            .collect();
        let all = [
            vec![],
            vec![SECTOR],
            vec![0, SECTOR],
            vec![SECTOR, SECTOR],
            // Its length is there, and none of it, or not the last.
            vec![0, 0],
            vec![SECTOR, 0],
        ];
        assert_eq!(seen, BTreeSet::from(all));
    }
}
