//! The mount, as a test holds it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fuser::{BackgroundSession, Config, MountOption, SessionACL};
use rustix::mount::{UnmountFlags, unmount};

use crate::disk::Shared;
use crate::log::{Call, Log};
use crate::plan::Plan;
use crate::serve::Server;
use crate::tree::{Attributes, Tree};

/// Threads that answer; all but one may hold a call.
const THREADS: usize = 4;

/// Why there is no such file system.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be mounted.
    #[error("cannot mount a FUSE file system at {path}")]
    Mount {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// What this machine lacks for a mount, in words for whoever reads why a test was skipped.
pub fn missing() -> Option<&'static str> {
    let device = Path::new("/dev/fuse").exists();
    let allowed = rustix::process::geteuid().is_root() || Path::new("/usr/bin/fusermount3").exists();
    match (device, allowed) {
        (false, _) => Some("there is no /dev/fuse on this machine"),
        (true, false) => Some("mounting needs root or fusermount3 (Debian package fuse3)"),
        (true, true) => None,
    }
}

/// A mounted file system, unmounted with this value.
#[derive(Debug)]
pub struct FaultFs {
    path: PathBuf,
    shared: Arc<Shared>,
    session: Option<BackgroundSession>,
}

impl FaultFs {
    /// Mounts an empty one over a folder. Root opens it to all users, as their modes allow.
    ///
    /// # Errors
    /// [`Error::Mount`]; ask [`missing`] first.
    pub fn mount(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Mount {
            path: path.to_owned(),
            source,
        };
        let (uid, gid) = (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        let shared = Arc::new(Shared::new(Attributes {
            mode: 0o755,
            uid,
            gid,
        }));
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName("recueil-faultfs".to_owned()),
            MountOption::DefaultPermissions,
            MountOption::NoAtime,
        ];
        if rustix::process::geteuid().is_root() {
            config.acl = SessionACL::All;
        }
        config.n_threads = Some(THREADS);
        let session = fuser::spawn_mount(Server::new(shared.clone()), path, &config).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            shared,
            session: Some(session),
        })
    }

    /// Waits as [`Self::met`] does, on a thread that need not borrow the mount.
    pub fn meeting(&self) -> impl FnOnce(Duration) -> Option<Call> + Send + 'static {
        let shared = self.shared.clone();
        move |patience| shared.met(patience)
    }

    /// Does something while a call is held, as [`Self::held`] waits for it, and lets the call go on. On a thread that
    /// need not borrow the mount.
    pub fn while_held<T>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl FnOnce(Duration) -> Option<T> + Send + 'static {
        let shared = self.shared.clone();
        move |patience| {
            shared.held(patience)?;
            let done = work();
            shared.go_on();
            Some(done)
        }
    }

    /// Waits until the plan has refused so many calls, on a thread that need not borrow the mount; whether it has.
    pub fn refusing(&self, count: usize) -> impl FnOnce(Duration) -> bool + Send + 'static {
        let shared = self.shared.clone();
        move |patience| shared.refused(count, patience)
    }

    /// Waits until the files are as wanted; whether they are.
    pub fn until(&self, patience: Duration, wanted: impl Fn(&Tree) -> bool) -> bool {
        wanted(&self.shared.until(patience, |disk| wanted(&disk.tree)).tree)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Disturbs a call to come; counting begins now. A plan before is forgotten.
    pub fn arm(&self, plan: Plan) {
        self.shared.lock().arm(plan);
    }

    /// Disturbs nothing any more; gives the call that was disturbed.
    pub fn disarm(&self) -> Option<Call> {
        self.shared.disarm()
    }

    /// Waits until the plan has met its call; none if that takes longer, or if it is given up.
    pub fn met(&self, patience: Duration) -> Option<Call> {
        self.shared.met(patience)
    }

    /// Waits until a call is held by the plan; none if that takes longer.
    pub fn held(&self, patience: Duration) -> Option<Call> {
        self.shared.held(patience)
    }

    /// Lets the held call go on.
    pub fn go_on(&self) {
        self.shared.go_on();
    }

    /// Puts a word of the test's into the log.
    pub fn mark(&self, text: &str) {
        self.shared.lock().mark(text);
    }

    /// All that happened since the mount, the last cut or [`Self::settle`].
    pub fn log(&self) -> Log {
        self.shared.lock().log()
    }

    /// Makes all that is there durable and begins a new log.
    pub fn settle(&self) {
        self.shared.lock().settle();
    }

    /// Gives the disk room for so many bytes and no more; none for as many as at first.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.shared.lock().capacity = bytes.unwrap_or(crate::disk::CAPACITY);
    }

    /// Bytes that its files take.
    pub fn used(&self) -> u64 {
        self.shared.lock().used
    }

    /// Whether a plan has cut the power.
    pub fn is_dark(&self) -> bool {
        self.shared.lock().dark
    }

    /// Cuts the power and gives it back: what is there afterwards is what the seed lets survive. Whoever has
    /// files open must be gone.
    pub fn cut(&self, seed: u64) {
        self.shared.lock().cut(seed);
    }
}

impl Drop for FaultFs {
    fn drop(&mut self) {
        self.shared.go_on();
        // Also where somebody still has a file open: a test that failed must leave no mount behind.
        let _gone_already = unmount(&self.path, UnmountFlags::DETACH);
        drop(self.session.take());
    }
}
