//! Calls that act on the whole process.

use rustix::io::Errno;

/// Closes every descriptor but the standard ones. To be called before any other is opened.
pub(crate) fn close_inherited() -> Result<(), Errno> {
    // SAFETY: first call of `main`: no object of this process owns a descriptor above 2 yet.
    let result = unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Makes all threads share one heap. Each heap of its own would reserve 64 MiB of the address space that is
/// counted for the plugin.
pub(crate) fn share_one_heap() {
    // SAFETY: sets a number inside the allocator, before there is a second thread.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Ends the process at once. No destructor of the vendor's library runs: its threads may still be in it, and
/// what is left is memory, which the kernel takes back.
pub(crate) fn end(code: i32) -> ! {
    // SAFETY: has no conditions.
    unsafe { libc::_exit(code) }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
