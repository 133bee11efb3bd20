//! Files and folders, and what can change them.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

/// The number of the topmost folder.
pub(crate) const ROOT: u64 = 1;
const PAGE: u64 = 4096;
const SET_GROUP: u32 = 0o2000;

/// Mode and owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

#[derive(Debug, Clone)]
pub(crate) enum Body {
    File(Vec<u8>),
    Folder(BTreeMap<String, u64>),
}

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) attributes: Attributes,
    pub(crate) body: Body,
    pub(crate) links: u32,
    /// Where it was last seen, for the log.
    place: (u64, String),
}

/// What a call changes or makes durable. Numbers of nodes are never used twice.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Make {
        node: u64,
        at: (u64, String),
        folder: bool,
        attributes: Attributes,
    },
    Link {
        node: u64,
        at: (u64, String),
    },
    Remove {
        at: (u64, String),
    },
    Rename {
        node: u64,
        from: (u64, String),
        to: (u64, String),
    },
    Write {
        node: u64,
        offset: u64,
        bytes: Arc<[u8]>,
    },
    Resize {
        node: u64,
        len: u64,
    },
    Attributes {
        node: u64,
        attributes: Attributes,
    },
    Sync {
        node: u64,
    },
    /// A sync that failed: what it should have written may be lost, and no later one writes it.
    SyncFailed {
        node: u64,
    },
}

/// A tree of files.
#[derive(Debug, Clone)]
pub struct Tree {
    nodes: BTreeMap<u64, Node>,
    next: u64,
}

impl Tree {
    /// One empty folder. `first` is the number of the first node in it.
    pub(crate) fn empty(attributes: Attributes, first: u64) -> Self {
        let root = Node {
            attributes,
            body: Body::Folder(BTreeMap::new()),
            links: 1,
            place: (ROOT, String::new()),
        };
        Self {
            nodes: BTreeMap::from([(ROOT, root)]),
            next: first,
        }
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn node(&self, node: u64) -> Result<&Node, Errno> {
        self.nodes.get(&node).ok_or(Errno::NOENT)
    }

    pub(crate) fn folder(&self, node: u64) -> Result<&BTreeMap<String, u64>, Errno> {
        match &self.node(node)?.body {
            Body::Folder(names) => Ok(names),
            Body::File(_) => Err(Errno::NOTDIR),
        }
    }

    pub(crate) fn file(&self, node: u64) -> Result<&[u8], Errno> {
        match &self.node(node)?.body {
            Body::File(bytes) => Ok(bytes),
            Body::Folder(_) => Err(Errno::ISDIR),
        }
    }

    pub(crate) fn find(&self, folder: u64, name: &str) -> Result<u64, Errno> {
        self.folder(folder)?.get(name).copied().ok_or(Errno::NOENT)
    }

    /// What a new node in `folder` gets.
    pub(crate) fn inherited(
        &self,
        folder: u64,
        new_folder: bool,
        own: Attributes,
    ) -> Result<Attributes, Errno> {
        let above = self.node(folder)?.attributes;
        if above.mode & SET_GROUP == 0 {
            return Ok(own);
        }
        let mode = if new_folder {
            own.mode | SET_GROUP
        } else {
            own.mode
        };
        Ok(Attributes {
            mode,
            gid: above.gid,
            ..own
        })
    }

    pub(crate) fn path(&self, node: u64) -> String {
        let mut names = Vec::new();
        let mut node = node;
        while node != ROOT
            && let Ok(found) = self.node(node)
        {
            names.push(found.place.1.as_str());
            node = found.place.0;
        }
        names.reverse();
        names.join("/")
    }

    pub(crate) fn path_in(&self, folder: u64, name: &str) -> String {
        let folder = self.path(folder);
        if folder.is_empty() {
            name.to_owned()
        } else {
            format!("{folder}/{name}")
        }
    }

    /// Bytes on the disk, in whole pages.
    pub(crate) fn used(&self) -> u64 {
        self.nodes.values().map(Node::used).sum()
    }

    pub(crate) fn used_by(&self, node: u64) -> u64 {
        self.nodes.get(&node).map_or(0, Node::used)
    }

    /// Frees the bytes of a file that has no name and that nobody has open.
    pub(crate) fn free(&mut self, node: u64) {
        if self.nodes.get(&node).is_some_and(|node| node.links == 0) {
            self.nodes.remove(&node);
        }
    }

    /// Does what was checked before.
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Make {
                node,
                at,
                folder,
                attributes,
            } => {
                let body = if *folder {
                    Body::Folder(BTreeMap::new())
                } else {
                    Body::File(Vec::new())
                };
                self.nodes.insert(
                    *node,
                    Node {
                        attributes: *attributes,
                        body,
                        links: 0,
                        place: at.clone(),
                    },
                );
                self.next = self.next.max(node + 1);
                self.enter(at, *node);
            }
            Change::Link { node, at } => self.enter(at, *node),
            Change::Remove { at } => self.leave(at),
            Change::Rename { node, from, to } => {
                self.leave(from);
                self.enter(to, *node);
            }
            Change::Write { node, offset, bytes } => {
                if let Some(Body::File(file)) = self.nodes.get_mut(node).map(|node| &mut node.body) {
                    write(file, *offset, bytes);
                }
            }
            Change::Resize { node, len } => {
                if let Some(Body::File(file)) = self.nodes.get_mut(node).map(|node| &mut node.body) {
                    file.resize(size(*len), 0);
                }
            }
            Change::Attributes { node, attributes } => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.attributes = *attributes;
                }
            }
            Change::Sync { .. } | Change::SyncFailed { .. } => {}
        }
    }

    /// Puts a whole node in, as a cut found it.
    pub(crate) fn put(&mut self, node: u64, attributes: Attributes, body: Body) {
        let place = (ROOT, String::new());
        self.nodes.insert(
            node,
            Node {
                attributes,
                body,
                links: 0,
                place,
            },
        );
        self.next = self.next.max(node + 1);
    }

    pub(crate) fn enter(&mut self, at: &(u64, String), node: u64) {
        self.leave(at);
        if let Some(Body::Folder(names)) = self.nodes.get_mut(&at.0).map(|node| &mut node.body) {
            names.insert(at.1.clone(), node);
        }
        if let Some(node) = self.nodes.get_mut(&node) {
            node.links += 1;
            node.place = at.clone();
        }
    }

    fn leave(&mut self, at: &(u64, String)) {
        let Some(Body::Folder(names)) = self.nodes.get_mut(&at.0).map(|node| &mut node.body) else {
            return;
        };
        if let Some(node) = names.remove(&at.1).and_then(|node| self.nodes.get_mut(&node)) {
            node.links = node.links.saturating_sub(1);
        }
    }

    /// Every node of the tree, for those that look at all of it.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (u64, &Node)> {
        self.nodes.iter().map(|(number, node)| (*number, node))
    }

    /// A file's bytes, by its path; none where there is no such file.
    pub fn read(&self, path: &str) -> Option<&[u8]> {
        let node = path
            .split('/')
            .try_fold(ROOT, |folder, name| self.find(folder, name));
        self.file(node.ok()?).ok()
    }

    /// The paths of all files.
    pub fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.files_in(ROOT, "", &mut found);
        found
    }

    fn files_in(&self, folder: u64, path: &str, found: &mut Vec<String>) {
        for (name, node) in self.folder(folder).into_iter().flatten() {
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}/{name}")
            };
            match self.file(*node) {
                Ok(_) => found.push(path),
                Err(_folder) => self.files_in(*node, &path, found),
            }
        }
    }

    /// Writes the tree into a real folder, with modes and without owners.
    ///
    /// # Errors
    /// What that file system says.
    pub fn write_to(&self, folder: &Path) -> std::io::Result<()> {
        self.write_folder(ROOT, folder)
    }

    fn write_folder(&self, node: u64, folder: &Path) -> std::io::Result<()> {
        for (name, node) in self.folder(node).into_iter().flatten() {
            let path = folder.join(name);
            let found = self.node(*node)?;
            match &found.body {
                Body::File(bytes) => std::fs::write(&path, bytes)?,
                Body::Folder(_) => {
                    std::fs::create_dir(&path)?;
                    self.write_folder(*node, &path)?;
                }
            }
            std::fs::set_permissions(
                &path,
                std::fs::Permissions::from_mode(found.attributes.mode & 0o7777),
            )?;
        }
        Ok(())
    }
}

impl Node {
    fn used(&self) -> u64 {
        self.len().div_ceil(PAGE) * PAGE
    }

    pub(crate) fn len(&self) -> u64 {
        match &self.body {
            Body::File(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Body::Folder(_) => 0,
        }
    }

    pub(crate) fn is_folder(&self) -> bool {
        matches!(self.body, Body::Folder(_))
    }
}

/// Writes into a file's bytes, with zeros where there was nothing.
pub(crate) fn write(file: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let begin = size(offset);
    let end = begin.saturating_add(bytes.len());
    if file.len() < end {
        file.resize(end, 0);
    }
    if let Some(place) = file.get_mut(begin..end) {
        place.copy_from_slice(bytes);
    }
}

pub(crate) fn size(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}
