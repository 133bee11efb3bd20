//! The one state behind the mount: the tree, the log, the plan.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::cut::survivors;
use crate::log::{Call, Entry, Kind, Log};
use crate::plan::{Action, Moment, Plan};
use crate::tree::{Attributes, Change, Tree};

/// Room on the disk where a test sets none.
pub(crate) const CAPACITY: u64 = 1 << 30;
/// A test that lets a call wait lets it go on before this.
const HOLD_MAX: Duration = Duration::from_mins(1);

/// State, and what wakes those who wait for it.
#[derive(Debug)]
pub(crate) struct Shared {
    disk: Mutex<Disk>,
    changed: Condvar,
}

#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) tree: Tree,
    log: Log,
    plan: Option<Plan>,
    pub(crate) capacity: u64,
    pub(crate) used: u64,
    /// The power is gone.
    pub(crate) dark: bool,
    held: Option<Call>,
    opened: BTreeMap<u64, u32>,
}

impl Shared {
    pub(crate) fn new(attributes: Attributes) -> Self {
        let tree = Tree::empty(attributes, crate::tree::ROOT + 1);
        let log = Log {
            base: Arc::new(tree.clone()),
            entries: Vec::new(),
        };
        Self {
            disk: Mutex::new(Disk {
                tree,
                log,
                plan: None,
                capacity: CAPACITY,
                used: 0,
                dark: false,
                held: None,
                opened: BTreeMap::new(),
            }),
            changed: Condvar::new(),
        }
    }

    /// A state that was left in the middle is none: nothing here stops between two changes that belong together.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a call, unless the plan is against it.
    pub(crate) fn make<T>(
        &self,
        mut call: Call,
        work: impl FnOnce(&mut Disk) -> Result<(T, Option<Change>), Errno>,
    ) -> Result<T, Errno> {
        let mut disk = self.lock();
        if disk.dark {
            return Err(Errno::IO);
        }
        let action = disk.plan.as_mut().and_then(|plan| plan.at(&call));
        let refused = match action {
            Some(Action::Fail(errno) | Action::FailOn(errno)) => Some(errno),
            Some(Action::Kill(Moment::Before)) => {
                kill(&call);
                Some(Errno::INTR)
            }
            Some(Action::Cut) => {
                disk.dark = true;
                Some(Errno::IO)
            }
            Some(Action::Hold(Moment::Before)) => {
                disk = self.hold(disk, &call);
                disk.dark.then_some(Errno::IO)
            }
            Some(Action::Kill(Moment::After) | Action::Hold(Moment::After)) | None => None,
        };
        let done = match refused {
            Some(errno) => {
                let failed = disk.failed_sync(&call);
                Err((errno, failed))
            }
            None => work(&mut disk).map_err(|errno| (errno, None)),
        };
        match done {
            Ok((value, change)) => {
                if let Some(change) = &change {
                    let node = change.resized();
                    let before = node.map_or(0, |node| disk.tree.used_by(node));
                    disk.tree.apply(change);
                    let after = node.map_or(0, |node| disk.tree.used_by(node));
                    disk.used = (disk.used + after).saturating_sub(before);
                }
                disk.log.entries.push((Entry::Call(call.clone()), change));
                match action {
                    Some(Action::Kill(Moment::After)) => kill(&call),
                    Some(Action::Hold(Moment::After)) => disk = self.hold(disk, &call),
                    _ => {}
                }
                self.changed.notify_all();
                drop(disk);
                Ok(value)
            }
            Err((errno, change)) => {
                call.error = Some(errno);
                disk.log.entries.push((Entry::Call(call), change));
                self.changed.notify_all();
                Err(errno)
            }
        }
    }

    fn hold<'disk>(&'disk self, mut disk: MutexGuard<'disk, Disk>, call: &Call) -> MutexGuard<'disk, Disk> {
        disk.held = Some(call.clone());
        self.changed.notify_all();
        let waited = self
            .changed
            .wait_timeout_while(disk, HOLD_MAX, |disk| disk.held.is_some());
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits until a call is held; none if that takes too long, or if the plan is given up.
    pub(crate) fn held(&self, patience: Duration) -> Option<Call> {
        let disk = self.until(patience, |disk| disk.held.is_some() || disk.plan.is_none());
        disk.held.clone()
    }

    /// Waits until the plan has refused so many calls; whether it has. Not, if that takes too long or it is given up.
    pub(crate) fn refused(&self, count: usize, patience: Duration) -> bool {
        let refused = |disk: &Disk| disk.plan.as_ref().is_some_and(|plan| plan.refused >= count);
        refused(&self.until(patience, |disk| disk.plan.is_none() || refused(disk)))
    }

    /// Waits until the disk is as wanted, or for so long.
    pub(crate) fn until(&self, patience: Duration, wanted: impl Fn(&Disk) -> bool) -> MutexGuard<'_, Disk> {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), patience, |disk| !wanted(disk));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits until the plan has met its call; none if that takes too long.
    pub(crate) fn met(&self, patience: Duration) -> Option<Call> {
        let disk = self.until(patience, |disk| disk.plan.is_none() || disk.met().is_some());
        disk.met()
    }

    /// Forgets the plan; gives the call that it met.
    pub(crate) fn disarm(&self) -> Option<Call> {
        let mut disk = self.lock();
        let met = disk.met();
        disk.plan = None;
        self.changed.notify_all();
        met
    }

    pub(crate) fn go_on(&self) {
        self.lock().held = None;
        self.changed.notify_all();
    }
}

impl Disk {
    pub(crate) fn arm(&mut self, plan: Plan) {
        self.plan = Some(plan);
    }

    pub(crate) fn met(&self) -> Option<Call> {
        self.plan.as_ref().and_then(|plan| plan.met.clone())
    }

    pub(crate) fn mark(&mut self, text: &str) {
        self.log.entries.push((Entry::Mark(text.to_owned()), None));
    }

    pub(crate) fn log(&self) -> Log {
        self.log.clone()
    }

    /// Puts in the place of everything what a cut now leaves.
    pub(crate) fn cut(&mut self, seed: u64) {
        let left = survivors(&self.log, self.log.len(), seed);
        self.begin_anew(left);
    }

    /// Puts another tree in the place of everything.
    fn begin_anew(&mut self, tree: Tree) {
        self.used = tree.used();
        self.log = Log {
            base: Arc::new(tree.clone()),
            entries: Vec::new(),
        };
        self.tree = tree;
        (self.plan, self.dark) = (None, false);
        self.opened.clear();
    }

    /// Forgets how it came to what is there, all of which is durable from here on.
    pub(crate) fn settle(&mut self) {
        self.begin_anew(self.tree.clone());
    }

    /// Whether so many bytes more of this file have room.
    pub(crate) fn room(&self, node: u64, end: u64) -> Result<(), Errno> {
        let file = self.tree.node(node)?;
        let more = end.div_ceil(4096).saturating_sub(file.len().div_ceil(4096)) * 4096;
        if self.used + more > self.capacity {
            return Err(Errno::NOSPC);
        }
        Ok(())
    }

    pub(crate) fn opened(&mut self, node: u64) {
        *self.opened.entry(node).or_default() += 1;
    }

    /// A file without a name is gone once nobody has it open.
    pub(crate) fn released(&mut self, node: u64) {
        if let Some(count) = self.opened.get_mut(&node) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.opened.remove(&node);
            }
        }
        self.forget_unnamed(node);
    }

    pub(crate) fn forget_unnamed(&mut self, node: u64) {
        if !self.opened.contains_key(&node) {
            let before = self.tree.used_by(node);
            self.tree.free(node);
            self.used = (self.used + self.tree.used_by(node)).saturating_sub(before);
        }
    }

    /// What a failed sync leaves in the log.
    fn failed_sync(&self, call: &Call) -> Option<Change> {
        if call.kind != Kind::Sync {
            return None;
        }
        let node = call
            .path
            .split('/')
            .try_fold(crate::tree::ROOT, |folder, name| self.tree.find(folder, name));
        node.ok().map(|node| Change::SyncFailed { node })
    }
}

impl Change {
    fn resized(&self) -> Option<u64> {
        match self {
            Self::Write { node, .. } | Self::Resize { node, .. } => Some(*node),
            _ => None,
        }
    }
}

/// Ends the caller's process: the system takes the number of a thread for that of its process.
fn kill(call: &Call) {
    if let Some(pid) = i32::try_from(call.pid).ok().and_then(Pid::from_raw) {
        // It may have been killed already.
        let _gone = kill_process(pid, Signal::KILL);
    }
}
