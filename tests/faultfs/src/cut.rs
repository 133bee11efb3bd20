//! What a power cut leaves.
//!
//! Durable is what was synced: a file's bytes, length and mode by its own `fsync`, a name by the `fsync` of its
//! folder, and nothing by anything else (POSIX.1-2024, fsync; ext4 and xfs keep more, and no program may rely on
//! it). Of the rest any part may be on the disk: each sector of a file as it was after any of the unsynced
//! writes, its length likewise, so that a file can be longer than what was written into it; and of the names
//! all up to some moment, as a journal has them, or all up to a moment of each folder's own, or any. A rename is
//! there whole or not at all. A sync that failed has written any part, and a later one does not write the rest:
//! the kernel has marked those pages clean.

use std::collections::BTreeMap;

use crate::log::Log;
use crate::tree::{Attributes, Body, Change, ROOT, Tree, size, write};

/// What a disk writes whole.
const SECTOR: u64 = 512;

/// Numbers from a seed: splitmix64 (Steele, Lea and Flood, 2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        size(self.number() % end)
    }
}

/// A file: what is durable of it, and what came since.
struct File {
    attributes: Attributes,
    bytes: Vec<u8>,
    since: Vec<Change>,
}

/// How much of what was not synced is there.
#[derive(Clone, Copy)]
enum Extent {
    Nothing,
    Everything,
    /// All up to one moment.
    Beginning,
    /// Each sector up to a moment of its own.
    Torn,
}

impl Extent {
    fn choose(random: &mut Random) -> Self {
        match random.below(8) {
            0 => Self::Nothing,
            1 => Self::Everything,
            2 | 3 => Self::Beginning,
            _ => Self::Torn,
        }
    }
}

impl File {
    /// What is on the disk at a cut now.
    fn remains(&self, random: &mut Random) -> (Attributes, Vec<u8>) {
        let count = self.since.len();
        let extent = Extent::choose(random);
        let one = random.below(count + 1);
        let moment = |random: &mut Random| match extent {
            Extent::Nothing => 0,
            Extent::Everything => count,
            Extent::Beginning => one,
            Extent::Torn => random.below(count + 1),
        };
        let (len_at, attributes_at) = (moment(random), moment(random));
        let mut sectors = BTreeMap::new();
        let (mut attributes, mut bytes) = (self.attributes, self.bytes.clone());
        let mut len = bytes.len();
        for (index, change) in self.since.iter().enumerate() {
            match change {
                Change::Attributes { attributes: new, .. } if index < attributes_at => attributes = *new,
                Change::Write {
                    offset, bytes: new, ..
                } => {
                    if index < len_at {
                        len = len.max(size(*offset).saturating_add(new.len()));
                    }
                    for (offset, part) in sectors_of(*offset, new) {
                        let there = *sectors.entry(offset / SECTOR).or_insert_with(|| moment(random));
                        if index < there {
                            write(&mut bytes, offset, part);
                        }
                    }
                }
                Change::Resize { len: new, .. } => {
                    if index < len_at {
                        len = size(*new);
                    }
                    // What is cut off is gone for good, or the cutting off is.
                    if index < len_at && size(*new) < bytes.len() {
                        bytes.truncate(size(*new));
                    }
                }
                _ => {}
            }
        }
        bytes.resize(len, 0);
        (attributes, bytes)
    }

    /// All that came since is durable.
    fn sync(&mut self) {
        for change in std::mem::take(&mut self.since) {
            match change {
                Change::Write { offset, bytes, .. } => write(&mut self.bytes, offset, &bytes),
                Change::Resize { len, .. } => self.bytes.resize(size(len), 0),
                Change::Attributes { attributes, .. } => self.attributes = attributes,
                _ => {}
            }
        }
    }
}

/// The parts of a write by sector.
fn sectors_of(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let first = size(SECTOR - offset % SECTOR).min(bytes.len());
    let (first, rest) = bytes.split_at(first);
    let begin = offset.saturating_add(u64::try_from(first.len()).unwrap_or(0));
    let rest = (0u64..).zip(rest.chunks(size(SECTOR)));
    std::iter::once((offset, first)).chain(rest.map(move |(index, part)| (begin + index * SECTOR, part)))
}

/// A change of names: which go, which come.
struct Names {
    folder: u64,
    goes: Option<(u64, String)>,
    comes: Option<((u64, String), u64)>,
    durable: bool,
}

/// The tree after the power went just before this line of the log.
pub fn survivors(log: &Log, line: usize, seed: u64) -> Tree {
    let mut random = Random::new(seed);
    let mut files: BTreeMap<u64, File> = BTreeMap::new();
    let mut folders: BTreeMap<u64, Attributes> = BTreeMap::new();
    for (number, node) in log.base.nodes() {
        match &node.body {
            Body::File(bytes) => {
                let file = File {
                    attributes: node.attributes,
                    bytes: bytes.clone(),
                    since: Vec::new(),
                };
                files.insert(number, file);
            }
            Body::Folder(_) => {
                folders.insert(number, node.attributes);
            }
        }
    }
    let mut names: Vec<Names> = Vec::new();
    let mut last_sync = 0;
    for change in log
        .entries
        .iter()
        .take(line)
        .filter_map(|(_, change)| change.as_ref())
    {
        match change {
            Change::Make {
                node,
                at,
                folder,
                attributes,
            } => {
                if *folder {
                    folders.insert(*node, *attributes);
                } else {
                    let file = File {
                        attributes: *attributes,
                        bytes: Vec::new(),
                        since: Vec::new(),
                    };
                    files.insert(*node, file);
                }
                names.push(Names::new(at.0, None, Some((at.clone(), *node))));
            }
            Change::Link { node, at } => names.push(Names::new(at.0, None, Some((at.clone(), *node)))),
            Change::Remove { at } => names.push(Names::new(at.0, Some(at.clone()), None)),
            Change::Rename { node, from, to } => {
                names.push(Names::new(to.0, Some(from.clone()), Some((to.clone(), *node))));
            }
            Change::Write { node, .. } | Change::Resize { node, .. } | Change::Attributes { node, .. } => {
                if let Some(file) = files.get_mut(node) {
                    file.since.push(change.clone());
                } else if let (Some(folder), Change::Attributes { attributes, .. }) =
                    (folders.get_mut(node), change)
                {
                    *folder = *attributes;
                }
            }
            Change::Sync { node } => {
                last_sync = names.len();
                if let Some(file) = files.get_mut(node) {
                    file.sync();
                } else {
                    for change in names.iter_mut().filter(|change| change.folder == *node) {
                        change.durable = true;
                    }
                }
            }
            Change::SyncFailed { node } => {
                if let Some(file) = files.get_mut(node) {
                    (file.attributes, file.bytes) = file.remains(&mut random);
                    file.since.clear();
                }
            }
        }
    }
    build(
        log,
        &files,
        &folders,
        &chosen(names, last_sync, &mut random),
        &mut random,
    )
}

impl Names {
    fn new(folder: u64, goes: Option<(u64, String)>, comes: Option<((u64, String), u64)>) -> Self {
        Self {
            folder,
            goes,
            comes,
            durable: false,
        }
    }
}

/// The changes of names that are on the disk.
fn chosen(names: Vec<Names>, last_sync: usize, random: &mut Random) -> Vec<Names> {
    let count = names.len();
    let way = random.below(3);
    // A journal that was written for any sync holds all that came before it.
    let moment = last_sync + random.below(count - last_sync + 1);
    let mut moments = BTreeMap::new();
    (0..)
        .zip(names)
        .filter(|(index, change)| {
            change.durable
                || match way {
                    0 => *index < moment,
                    1 => {
                        *index
                            < *moments
                                .entry(change.folder)
                                .or_insert_with(|| random.below(count + 1))
                    }
                    _ => random.below(2) == 0,
                }
        })
        .map(|(_, change)| change)
        .collect()
}

fn build(
    log: &Log,
    files: &BTreeMap<u64, File>,
    folders: &BTreeMap<u64, Attributes>,
    names: &[Names],
    random: &mut Random,
) -> Tree {
    let mut entries: BTreeMap<(u64, String), u64> = BTreeMap::new();
    for (number, node) in log.base.nodes() {
        if let Body::Folder(inside) = &node.body {
            entries.extend(inside.iter().map(|(name, node)| ((number, name.clone()), *node)));
        }
    }
    for change in names {
        if let Some(place) = &change.goes {
            entries.remove(place);
        }
        if let Some((place, node)) = &change.comes {
            entries.insert(place.clone(), *node);
        }
    }
    let attributes = folders.get(&ROOT).copied().unwrap_or(Attributes {
        mode: 0o755,
        uid: 0,
        gid: 0,
    });
    // The kernel may remember numbers of before the cut, so none of them is used again.
    let first = log.entries.iter().filter_map(|(_, change)| match change {
        Some(Change::Make { node, .. }) => Some(node + 1),
        _ => None,
    });
    let mut next = first.fold(log.base.next(), u64::max);
    let mut tree = Tree::empty(attributes, next);
    let mut waiting = vec![(ROOT, ROOT)];
    let mut numbers: BTreeMap<u64, u64> = BTreeMap::new();
    while let Some((old_folder, folder)) = waiting.pop() {
        let inside = entries.range((old_folder, String::new())..(old_folder + 1, String::new()));
        for ((_, name), node) in inside {
            if let Some(known) = numbers.get(node) {
                tree.enter(&(folder, name.clone()), *known);
                continue;
            }
            if let Some(file) = files.get(node) {
                let (attributes, bytes) = file.remains(random);
                tree.put(next, attributes, Body::File(bytes));
            } else if let Some(attributes) = folders.get(node) {
                tree.put(next, *attributes, Body::Folder(BTreeMap::new()));
                waiting.push((*node, next));
            } else {
                continue;
            }
            numbers.insert(*node, next);
            tree.enter(&(folder, name.clone()), next);
            next += 1;
        }
    }
    tree
}
