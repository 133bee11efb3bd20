//! How many threads the plugin runs. The cgroup that hostd made refuses one too many at once, where there is one;
//! here they are counted when the device is ready and after each capture, and a plugin with more is ended.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// The main thread, and the device's.
const OWN: u32 = 2;
/// `/proc/self/status` is about 1.5 KB.
const STATUS_MAX_BYTES: usize = 8 << 10;

/// The count, readable from inside the sandbox.
#[derive(Debug)]
pub(crate) struct Threads {
    status: OwnedFd,
    allowed: u32,
}

impl Threads {
    /// `allowed` is what the manifest grants the plugin. To be called before the process is confined.
    pub(crate) fn watch(allowed: u32) -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let status = rustix::fs::open("/proc/self/status", flags, Mode::empty())?;
        Ok(Self { status, allowed })
    }

    /// # Errors
    /// The rule that is broken, in words.
    pub(crate) fn check(&self) -> Result<(), String> {
        // The plugin closed it, or has used up what reading it takes: its own doing.
        let now = self.count().unwrap_or(u32::MAX).saturating_sub(OWN);
        if now <= self.allowed {
            return Ok(());
        }
        let allowed = self.allowed;
        Err(format!(
            "R6: more threads than its manifest allows: {now}, and not {allowed}"
        ))
    }

    fn count(&self) -> Option<u32> {
        let mut text = vec![0; STATUS_MAX_BYTES];
        let len = rustix::io::retry_on_intr(|| rustix::io::pread(&self.status, &mut text, 0)).ok()?;
        let text = String::from_utf8_lossy(text.get(..len)?);
        let count = text.lines().find_map(|line| line.strip_prefix("Threads:"))?;
        count.trim().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_counted_as_they_come_and_go() {
        let threads = Threads::watch(3).unwrap();
        let before = threads.count().unwrap();
        let (end, ends) = std::sync::mpsc::channel::<()>();
        let one = std::thread::spawn(move || ends.recv());
        assert_eq!(threads.count(), Some(before + 1));
        drop(end);
        one.join().unwrap().unwrap_err();
        let none = Threads::watch(0).unwrap();
        assert_eq!(none.check().is_err(), before > OWN);
        assert!(Threads::watch(u32::MAX).unwrap().check().is_ok());
    }
}
