//! What was called, by whom, and what it changed.

use std::fmt;
use std::sync::Arc;

use rustix::io::Errno;

use crate::tree::{Change, Tree};

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Opens a file that is there.
    Open,
    /// Makes and opens a file.
    Create,
    /// Reads from a file.
    Read,
    /// Writes to a file.
    Write,
    /// Changes a file's length, or sets space aside for it.
    Resize,
    /// Changes mode or owner.
    Attributes,
    /// `fsync` or `fdatasync` of a file.
    Sync,
    /// Opens a folder.
    OpenFolder,
    /// Lists a folder.
    ReadFolder,
    /// Makes a folder.
    MakeFolder,
    /// `fsync` of a folder.
    SyncFolder,
    /// Renames.
    Rename,
    /// Removes a file's name.
    Unlink,
    /// Removes a folder.
    RemoveFolder,
    /// Gives a file a second name.
    Link,
}

impl Kind {
    /// Whether it changes something, or makes a change durable.
    pub fn changes(self) -> bool {
        !matches!(
            self,
            Self::Open | Self::Read | Self::OpenFolder | Self::ReadFolder
        )
    }
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What.
    pub kind: Kind,
    /// On what, from the mount on.
    pub path: String,
    /// The new name, where there is one.
    pub to: Option<String>,
    /// Bytes, of a read, write or resize.
    pub len: u64,
    /// Whose thread.
    pub pid: u32,
    /// Whose user.
    pub uid: u32,
    /// What it was answered, if not that it is done.
    pub error: Option<Errno>,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.kind, self.path)?;
        if let Some(to) = &self.to {
            write!(f, " to {to}")?;
        }
        if self.len > 0 {
            write!(f, " ({} bytes)", self.len)?;
        }
        write!(f, " by {}", self.uid)?;
        match self.error {
            Some(error) => write!(f, ": {error}"),
            None => Ok(()),
        }
    }
}

/// One line of the log.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A call, in the order in which they took effect.
    Call(Call),
    /// What the test said at that moment.
    Mark(String),
}

/// Everything since the mount or the last cut.
#[derive(Debug, Clone)]
pub struct Log {
    /// What was there before, all of it durable.
    pub(crate) base: Arc<Tree>,
    pub(crate) entries: Vec<(Entry, Option<Change>)>,
}

impl Log {
    /// How many lines.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The lines.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator {
        self.entries.iter().map(|(entry, _change)| entry)
    }

    /// The calls, with the number of their line.
    pub fn calls(&self) -> impl Iterator<Item = (usize, &Call)> {
        self.entries()
            .enumerate()
            .filter_map(|(line, entry)| match entry {
                Entry::Call(call) => Some((line, call)),
                Entry::Mark(_) => None,
            })
    }

    /// What was said before this line.
    pub fn marks_before(&self, line: usize) -> impl Iterator<Item = &str> {
        self.entries().take(line).filter_map(|entry| match entry {
            Entry::Mark(text) => Some(text.as_str()),
            Entry::Call(_) => None,
        })
    }

    /// The same without what syncs of these paths made durable: a disk that lies, for counterproofs.
    #[must_use]
    pub fn without_syncs_of(mut self, forgotten: impl Fn(&str) -> bool) -> Self {
        for (entry, change) in &mut self.entries {
            if matches!(entry, Entry::Call(call) if forgotten(&call.path))
                && matches!(change, Some(Change::Sync { .. }))
            {
                *change = None;
            }
        }
        self
    }

    /// The files as programs saw them before this line, the unsynced with the synced.
    pub fn seen_before(&self, line: usize) -> Tree {
        let mut tree = Tree::clone(&self.base);
        for change in self
            .entries
            .iter()
            .take(line)
            .filter_map(|(_, change)| change.as_ref())
        {
            tree.apply(change);
        }
        tree
    }
}
