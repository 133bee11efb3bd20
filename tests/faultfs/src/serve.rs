//! The kernel's requests, each turned into a call on the disk.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use rustix::io::Errno;

use crate::disk::{Disk, Shared};
use crate::log::{Call, Kind};
use crate::tree::{Attributes, Change, Tree, size};

/// The kernel remembers nothing, so that a cut is seen at once.
const NEVER: Duration = Duration::ZERO;
const BLOCK: u32 = 4096;
/// Every read and write comes here, as it was made.
const DIRECT: FopenFlags = FopenFlags::FOPEN_DIRECT_IO;
const MODE: u32 = 0o7777;

pub(crate) struct Server(Arc<Shared>);

impl Server {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// A look that changes nothing and is not in the log.
    fn look<T>(&self, look: impl FnOnce(&Tree) -> Result<T, Errno>) -> Result<T, Errno> {
        let disk = self.0.lock();
        if disk.dark {
            return Err(Errno::IO);
        }
        look(&disk.tree)
    }

    fn call(&self, request: &Request, kind: Kind, path: impl FnOnce(&Tree) -> String) -> Call {
        Call {
            kind,
            path: path(&self.0.lock().tree),
            to: None,
            len: 0,
            pid: request.pid(),
            uid: request.uid(),
            error: None,
        }
    }

    fn call_on(&self, request: &Request, kind: Kind, node: INodeNo) -> Call {
        self.call(request, kind, |tree| tree.path(node.0))
    }

    fn call_in(&self, request: &Request, kind: Kind, folder: INodeNo, name: &str) -> Call {
        self.call(request, kind, |tree| tree.path_in(folder.0, name))
    }

    fn make_node(
        &self,
        request: &Request,
        kind: Kind,
        folder: INodeNo,
        name: &OsStr,
        mode: u32,
    ) -> Result<FileAttr, Errno> {
        let name = text(name)?;
        let call = self.call_in(request, kind, folder, &name);
        let (uid, gid) = (request.uid(), request.gid());
        self.0.make(call, |disk| {
            if disk.tree.folder(folder.0)?.contains_key(&name) {
                return Err(Errno::EXIST);
            }
            let is_folder = kind == Kind::MakeFolder;
            let own = Attributes {
                mode: mode & MODE,
                uid,
                gid,
            };
            let attributes = disk.tree.inherited(folder.0, is_folder, own)?;
            let node = disk.tree.next();
            let change = Change::Make {
                node,
                at: (folder.0, name.clone()),
                folder: is_folder,
                attributes,
            };
            if !is_folder {
                disk.opened(node);
            }
            Ok((shown(node, attributes, 0, 1, is_folder), Some(change)))
        })
    }

    fn remove(&self, request: &Request, kind: Kind, folder: INodeNo, name: &OsStr) -> Result<(), Errno> {
        let name = text(name)?;
        let call = self.call_in(request, kind, folder, &name);
        let node = self.0.make(call, |disk| {
            let node = disk.tree.find(folder.0, &name)?;
            let found = disk.tree.node(node)?;
            match (kind, found.is_folder()) {
                (Kind::Unlink, true) => return Err(Errno::ISDIR),
                (Kind::RemoveFolder, false) => return Err(Errno::NOTDIR),
                (Kind::RemoveFolder, true) if !disk.tree.folder(node)?.is_empty() => {
                    return Err(Errno::NOTEMPTY);
                }
                _ => {}
            }
            let at = (folder.0, name.clone());
            Ok((node, Some(Change::Remove { at })))
        })?;
        self.0.lock().forget_unnamed(node);
        Ok(())
    }

    fn sync(&self, request: &Request, kind: Kind, node: INodeNo) -> Result<(), Errno> {
        let call = self.call_on(request, kind, node);
        self.0
            .make(call, |_disk| Ok(((), Some(Change::Sync { node: node.0 }))))
    }

    fn resize(&self, request: &Request, node: INodeNo, end: u64, only_more: bool) -> Result<(), Errno> {
        let mut call = self.call_on(request, Kind::Resize, node);
        call.len = end;
        self.0.make(call, |disk| {
            let now = disk.tree.node(node.0)?.len();
            if only_more && end <= now {
                return Ok(((), None));
            }
            disk.room(node.0, end)?;
            Ok((
                (),
                Some(Change::Resize {
                    node: node.0,
                    len: end,
                }),
            ))
        })
    }

    fn shown(&self, node: INodeNo) -> Result<FileAttr, Errno> {
        self.look(|tree| shown_of(tree, node.0))
    }
}

fn shown_of(tree: &Tree, number: u64) -> Result<FileAttr, Errno> {
    let node = tree.node(number)?;
    Ok(shown(
        number,
        node.attributes,
        node.len(),
        node.links,
        node.is_folder(),
    ))
}

fn shown(node: u64, attributes: Attributes, len: u64, links: u32, folder: bool) -> FileAttr {
    let never = SystemTime::UNIX_EPOCH;
    FileAttr {
        ino: INodeNo(node),
        size: len,
        blocks: len.div_ceil(512),
        atime: never,
        mtime: never,
        ctime: never,
        crtime: never,
        kind: if folder {
            FileType::Directory
        } else {
            FileType::RegularFile
        },
        perm: u16::try_from(attributes.mode & MODE).unwrap_or(0),
        nlink: links,
        uid: attributes.uid,
        gid: attributes.gid,
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    }
}

fn text(name: &OsStr) -> Result<String, Errno> {
    name.to_str().map(str::to_owned).ok_or(Errno::INVAL)
}

fn refusal(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno.raw_os_error())
}

fn done(reply: ReplyEmpty, outcome: Result<(), Errno>) {
    match outcome {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(refusal(errno)),
    }
}

impl Filesystem for Server {
    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = text(name).and_then(|name| {
            self.look(|tree| tree.find(parent.0, &name).and_then(|node| shown_of(tree, node)))
        });
        match found {
            Ok(shown) => reply.entry(&NEVER, &shown, Generation(0)),
            Err(errno) => reply.error(refusal(errno)),
        }
    }

    fn getattr(&self, _request: &Request, node: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        match self.shown(node) {
            Ok(shown) => reply.attr(&NEVER, &shown),
            Err(errno) => reply.error(refusal(errno)),
        }
    }

    fn setattr(
        &self,
        request: &Request,
        node: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let resized = size.map_or(Ok(()), |len| self.resize(request, node, len, false));
        let changed = resized.and_then(|()| {
            if mode.is_none() && uid.is_none() && gid.is_none() {
                return Ok(());
            }
            let call = self.call_on(request, Kind::Attributes, node);
            self.0.make(call, |disk| {
                let now = disk.tree.node(node.0)?.attributes;
                let attributes = Attributes {
                    mode: mode.map_or(now.mode, |mode| mode & MODE),
                    uid: uid.unwrap_or(now.uid),
                    gid: gid.unwrap_or(now.gid),
                };
                let node = node.0;
                Ok(((), Some(Change::Attributes { node, attributes })))
            })
        });
        match changed.and_then(|()| self.shown(node)) {
            Ok(shown) => reply.attr(&NEVER, &shown),
            Err(errno) => reply.error(refusal(errno)),
        }
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        match self.make_node(request, Kind::MakeFolder, parent, name, mode) {
            Ok(shown) => reply.entry(&NEVER, &shown, Generation(0)),
            Err(errno) => reply.error(refusal(errno)),
        }
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        match self.make_node(request, Kind::Create, parent, name, mode) {
            Ok(shown) => reply.created(&NEVER, &shown, Generation(0), FileHandle(0), DIRECT),
            Err(errno) => reply.error(refusal(errno)),
        }
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.remove(request, Kind::Unlink, parent, name));
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.remove(request, Kind::RemoveFolder, parent, name));
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let renamed = || {
            let (name, newname) = (text(name)?, text(newname)?);
            let mut call = self.call_in(request, Kind::Rename, parent, &name);
            call.to = Some(self.0.lock().tree.path_in(newparent.0, &newname));
            let replaced = self.0.make(call, |disk| {
                let node = disk.tree.find(parent.0, &name)?;
                let replaced = disk.tree.find(newparent.0, &newname).ok();
                if flags.contains(RenameFlags::RENAME_EXCHANGE) {
                    return Err(Errno::INVAL);
                }
                match replaced {
                    Some(_) if flags.contains(RenameFlags::RENAME_NOREPLACE) => return Err(Errno::EXIST),
                    Some(old) if disk.tree.node(old)?.is_folder() && !disk.tree.folder(old)?.is_empty() => {
                        return Err(Errno::NOTEMPTY);
                    }
                    _ => {}
                }
                let (from, to) = ((parent.0, name.clone()), (newparent.0, newname.clone()));
                Ok((replaced, Some(Change::Rename { node, from, to })))
            })?;
            if let Some(node) = replaced {
                self.0.lock().forget_unnamed(node);
            }
            Ok(())
        };
        done(reply, renamed());
    }

    fn link(&self, request: &Request, node: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        let linked = || {
            let name = text(newname)?;
            let mut call = self.call_on(request, Kind::Link, node);
            call.to = Some(self.0.lock().tree.path_in(newparent.0, &name));
            self.0.make(call, |disk| {
                if disk.tree.folder(newparent.0)?.contains_key(&name) {
                    return Err(Errno::EXIST);
                }
                let (node, at) = (node.0, (newparent.0, name.clone()));
                Ok(((), Some(Change::Link { node, at })))
            })?;
            self.shown(node)
        };
        match linked() {
            Ok(shown) => reply.entry(&NEVER, &shown, Generation(0)),
            Err(errno) => reply.error(refusal(errno)),
        }
    }

    fn open(&self, request: &Request, node: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let call = self.call_on(request, Kind::Open, node);
        let opened = self.0.make(call, |disk| {
            disk.tree.file(node.0)?;
            disk.opened(node.0);
            Ok(((), None))
        });
        match opened {
            Ok(()) => reply.opened(FileHandle(0), DIRECT),
            Err(errno) => reply.error(refusal(errno)),
        }
    }

    fn read(
        &self,
        request: &Request,
        node: INodeNo,
        _handle: FileHandle,
        offset: u64,
        len: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut call = self.call_on(request, Kind::Read, node);
        call.len = u64::from(len);
        let read = self.0.make(call, |disk| {
            let file = disk.tree.file(node.0)?;
            let begin = size(offset).min(file.len());
            let end = begin.saturating_add(size(u64::from(len))).min(file.len());
            Ok((file.get(begin..end).unwrap_or_default().to_vec(), None))
        });
        match read {
            Ok(bytes) => reply.data(&bytes),
            Err(errno) => reply.error(refusal(errno)),
        }
    }

    fn write(
        &self,
        request: &Request,
        node: INodeNo,
        _handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut call = self.call_on(request, Kind::Write, node);
        let len = u32::try_from(data.len()).unwrap_or(0);
        call.len = u64::from(len);
        let written = self.0.make(call, |disk: &mut Disk| {
            let end = offset
                .saturating_add(u64::from(len))
                .max(disk.tree.node(node.0)?.len());
            disk.room(node.0, end)?;
            let (node, bytes) = (node.0, data.into());
            Ok(((), Some(Change::Write { node, offset, bytes })))
        });
        match written {
            Ok(()) => reply.written(len),
            Err(errno) => reply.error(refusal(errno)),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _request: &Request,
        node: INodeNo,
        _handle: FileHandle,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.0.lock().released(node.0);
        reply.ok();
    }

    fn fsync(&self, request: &Request, node: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        done(reply, self.sync(request, Kind::Sync, node));
    }

    fn opendir(&self, request: &Request, node: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let call = self.call_on(request, Kind::OpenFolder, node);
        match self
            .0
            .make(call, |disk| disk.tree.folder(node.0).map(|_names| ((), None)))
        {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::empty()),
            Err(errno) => reply.error(refusal(errno)),
        }
    }

    fn readdir(
        &self,
        request: &Request,
        node: INodeNo,
        _handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let call = self.call_on(request, Kind::ReadFolder, node);
        let read = self.0.make(call, |disk| {
            let own = [".", ".."].map(|name| (name.to_owned(), node.0, true));
            let inside = disk.tree.folder(node.0)?.iter().map(|(name, node)| {
                let is_folder = disk.tree.node(*node).is_ok_and(crate::tree::Node::is_folder);
                (name.clone(), *node, is_folder)
            });
            Ok((own.into_iter().chain(inside).collect::<Vec<_>>(), None))
        });
        match read {
            Ok(names) => {
                for (number, (name, node, is_folder)) in (1..).zip(names).skip(size(offset)) {
                    let kind = if is_folder {
                        FileType::Directory
                    } else {
                        FileType::RegularFile
                    };
                    if reply.add(INodeNo(node), number, kind, name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(errno) => reply.error(refusal(errno)),
        }
    }

    fn fsyncdir(&self, request: &Request, node: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        done(reply, self.sync(request, Kind::SyncFolder, node));
    }

    fn statfs(&self, _request: &Request, _node: INodeNo, reply: ReplyStatfs) {
        let disk = self.0.lock();
        let block = u64::from(BLOCK);
        let (total, free) = (
            disk.capacity / block,
            disk.capacity.saturating_sub(disk.used) / block,
        );
        drop(disk);
        reply.statfs(total, free, free, 1 << 20, 1 << 20, BLOCK, 255, BLOCK);
    }

    fn fallocate(
        &self,
        request: &Request,
        node: INodeNo,
        _handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let allocated = if mode == 0 {
            self.resize(request, node, offset.saturating_add(length), true)
        } else {
            Err(Errno::OPNOTSUPP)
        };
        done(reply, allocated);
    }
}
