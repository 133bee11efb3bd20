//! Limits of the process itself. Threads are limited by hostd's cgroup: `RLIMIT_NPROC` counts all of a user.

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the host needs for itself once the plugin runs: stacks of two threads, messages, records of frames.
const OWN_MIB: u64 = 48;
/// Descriptors a host has open: its sockets, the device, the library, an event for each capture, and what
/// the vendor's code opens for its timers and pipes.
const DESCRIPTORS_MAX: u64 = 64;

/// Sets the limits. Address space is what is mapped now (frame memory is reserved by then, see
/// `ffi::memory`), the host's own need, and `memory_mib` for the plugin.
pub(super) fn apply(memory_mib: u64) -> Result<(), Errno> {
    let mapped = mapped_bytes()?;
    let space = mapped.saturating_add(memory_mib.saturating_add(OWN_MIB).saturating_mul(1 << 20));
    lower(Resource::As, space)?;
    lower(Resource::Nofile, DESCRIPTORS_MAX)
}

/// Lowers soft and hard limit; what is lower already stays.
fn lower(resource: Resource, wanted: u64) -> Result<(), Errno> {
    let now = getrlimit(resource);
    let limit = now.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    setrlimit(
        resource,
        Rlimit {
            current: Some(limit),
            maximum: Some(limit),
        },
    )
}

/// All that is mapped: `VmSize` of `proc_pid_status(5)`, in KiB.
fn mapped_bytes() -> Result<u64, Errno> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|_unreadable| Errno::NOENT)?;
    let kib: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmSize:")?.strip_suffix("kB"))
        .and_then(|number| number.trim().parse().ok())
        .ok_or(Errno::INVAL)?;
    Ok(kib.saturating_mul(1024))
}
