//! The lists of system calls. Names are those of syscalls(2); a comment says who needs what is not obvious.
//!
//! Several rules for one call: the first that holds decides. What holds always must stand last.

use libc::{
    CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS,
    CLONE_PTRACE, CLONE_SIGHAND, CLONE_THREAD, CLONE_VFORK, CLONE_VM,
};

use super::filter::{Argument, Is, Rule};

/// What a driver and its libraries do all day, and the host.
pub(super) fn allowed(own_pid: u32) -> Vec<Rule> {
    let mut rules = without_conditions(&[
        // Memory.
        libc::SYS_brk,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_mincore,
        libc::SYS_mlock,
        libc::SYS_mlock2,
        libc::SYS_munlock,
        libc::SYS_membarrier,
        // Descriptors that are open already.
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_pread64,
        libc::SYS_preadv,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_pwrite64,
        libc::SYS_pwritev,
        libc::SYS_lseek,
        libc::SYS_close,
        libc::SYS_close_range,
        libc::SYS_dup,
        libc::SYS_dup3,
        libc::SYS_fcntl,
        libc::SYS_ioctl,
        libc::SYS_fstat,
        libc::SYS_fstatfs,
        libc::SYS_fsync,
        libc::SYS_fdatasync,
        libc::SYS_flock,
        libc::SYS_getdents64,
        // Names, without opening: the dynamic linker, libusb's way from a descriptor to its node.
        libc::SYS_newfstatat,
        libc::SYS_faccessat,
        libc::SYS_faccessat2,
        libc::SYS_readlinkat,
        libc::SYS_getcwd,
        // Waiting.
        libc::SYS_ppoll,
        libc::SYS_pselect6,
        libc::SYS_epoll_create1,
        libc::SYS_epoll_ctl,
        libc::SYS_epoll_pwait,
        libc::SYS_epoll_pwait2,
        libc::SYS_eventfd2,
        libc::SYS_pipe2,
        libc::SYS_signalfd4,
        libc::SYS_timerfd_create,
        libc::SYS_timerfd_settime,
        libc::SYS_timerfd_gettime,
        // Sockets that are connected already: control, frames, a virtual device.
        libc::SYS_recvfrom,
        libc::SYS_recvmsg,
        libc::SYS_sendmsg,
        libc::SYS_shutdown,
        libc::SYS_getsockname,
        libc::SYS_getpeername,
        libc::SYS_getsockopt,
        libc::SYS_setsockopt,
        // Time.
        libc::SYS_clock_gettime,
        libc::SYS_clock_getres,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_gettimeofday,
        libc::SYS_setitimer,
        libc::SYS_getitimer,
        libc::SYS_timer_create,
        libc::SYS_timer_settime,
        libc::SYS_timer_gettime,
        libc::SYS_timer_getoverrun,
        libc::SYS_timer_delete,
        // Threads.
        libc::SYS_futex,
        libc::SYS_set_robust_list,
        libc::SYS_get_robust_list,
        libc::SYS_set_tid_address,
        libc::SYS_rseq,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_sched_getparam,
        libc::SYS_sched_getscheduler,
        libc::SYS_sched_get_priority_max,
        libc::SYS_sched_get_priority_min,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_restart_syscall,
        // Signals of its own.
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_rt_sigpending,
        libc::SYS_rt_sigsuspend,
        libc::SYS_rt_sigtimedwait,
        libc::SYS_sigaltstack,
        // Who and where.
        libc::SYS_getpid,
        libc::SYS_getppid,
        libc::SYS_gettid,
        libc::SYS_getuid,
        libc::SYS_geteuid,
        libc::SYS_getgid,
        libc::SYS_getegid,
        libc::SYS_getresuid,
        libc::SYS_getresgid,
        libc::SYS_getgroups,
        libc::SYS_getpgid,
        libc::SYS_getsid,
        libc::SYS_getpriority,
        libc::SYS_getrusage,
        libc::SYS_getcpu,
        libc::SYS_getrandom,
        libc::SYS_sysinfo,
        libc::SYS_times,
        libc::SYS_uname,
        // The filters that come later; a plugin can only take more away with it.
        libc::SYS_seccomp,
    ]);
    #[cfg(target_arch = "x86_64")]
    rules.extend(without_conditions(&[
        libc::SYS_access,
        libc::SYS_alarm,
        libc::SYS_arch_prctl,
        libc::SYS_dup2,
        libc::SYS_epoll_create,
        libc::SYS_epoll_wait,
        libc::SYS_eventfd,
        libc::SYS_getdents,
        libc::SYS_getpgrp,
        libc::SYS_getrlimit,
        libc::SYS_lstat,
        libc::SYS_pause,
        libc::SYS_pipe,
        libc::SYS_poll,
        libc::SYS_readlink,
        libc::SYS_select,
        libc::SYS_stat,
        libc::SYS_time,
    ]));

    rules.extend([
        // Reading only. O_TRUNC empties a file that is opened for reading, and landlock sees it from ABI 3 on.
        (
            libc::SYS_openat,
            vec![bits(
                2,
                bits_of(libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC),
                0,
            )],
        ),
        // A thread, never a process, in no namespace of its own. clone3 hides its flags in memory: ENOSYS.
        (
            libc::SYS_clone,
            vec![bits(
                0,
                bits_of(THREAD_FLAGS | FOREIGN_FLAGS),
                bits_of(THREAD_FLAGS),
            )],
        ),
        // A datagram socket of a pair can still send to any name, so streams and packets only.
        (
            libc::SYS_socketpair,
            vec![
                int(0, libc::AF_UNIX),
                bits(1, SOCKET_TYPE_MASK, bits_of(libc::SOCK_STREAM)),
            ],
        ),
        (
            libc::SYS_socketpair,
            vec![
                int(0, libc::AF_UNIX),
                bits(1, SOCKET_TYPE_MASK, bits_of(libc::SOCK_SEQPACKET)),
            ],
        ),
        // send(), which names nobody.
        (libc::SYS_sendto, vec![no_pointer(4)]),
        // getrlimit() of itself.
        (libc::SYS_prlimit64, vec![exactly(0, 0), no_pointer(2)]),
        (libc::SYS_prlimit64, vec![exactly(0, own_pid), no_pointer(2)]),
        // abort() and pthread_kill(). Landlock does not scope signals before ABI 6.
        (libc::SYS_kill, vec![exactly(0, own_pid)]),
        (libc::SYS_tgkill, vec![exactly(0, own_pid)]),
        (libc::SYS_rt_sigqueueinfo, vec![exactly(0, own_pid)]),
        (libc::SYS_rt_tgsigqueueinfo, vec![exactly(0, own_pid)]),
    ]);
    #[cfg(target_arch = "x86_64")]
    rules.push((
        libc::SYS_open,
        vec![bits(
            1,
            bits_of(libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC),
            0,
        )],
    ));
    rules.extend(
        [
            libc::PR_SET_NAME,
            libc::PR_GET_NAME,
            libc::PR_GET_DUMPABLE,
            libc::PR_SET_VMA, // names of anonymous memory, by newer C libraries
            libc::PR_GET_NO_NEW_PRIVS,
            libc::PR_SET_NO_NEW_PRIVS, // repeated before each filter
            libc::PR_GET_TIMERSLACK,
            libc::PR_SET_TIMERSLACK,
        ]
        .map(|option| (libc::SYS_prctl, vec![int(0, option)])),
    );
    rules
}

/// What a driver may try and must not do: it gets `EPERM` and goes on. These rules come before those of what is
/// allowed.
pub(super) fn refused(own_pid: u32) -> Vec<Rule> {
    let mut rules = without_conditions(&[
        // The network, and other processes' sockets.
        libc::SYS_socket,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_accept,
        libc::SYS_accept4,
        // Other programs.
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_unshare,
        libc::SYS_setns,
        // Other processes. tkill names a thread without its process.
        libc::SYS_tkill,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_getfd,
        libc::SYS_pidfd_send_signal,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_kcmp,
        libc::SYS_setpriority,
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setscheduler,
        libc::SYS_shmget,
        libc::SYS_shmat,
        libc::SYS_msgget,
        libc::SYS_semget,
        libc::SYS_mq_open,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        // Its own limits and identity.
        libc::SYS_setuid,
        libc::SYS_setgid,
        libc::SYS_setreuid,
        libc::SYS_setregid,
        libc::SYS_setresuid,
        libc::SYS_setresgid,
        libc::SYS_setgroups,
        libc::SYS_setsid,
        libc::SYS_setpgid,
        libc::SYS_capset,
        libc::SYS_personality,
        // The file system. Landlock knows nothing of modes, owners, times, attributes and, before ABI 3, lengths.
        libc::SYS_unlinkat,
        libc::SYS_renameat2,
        libc::SYS_mkdirat,
        libc::SYS_linkat,
        libc::SYS_symlinkat,
        libc::SYS_mknodat,
        libc::SYS_fchmod,
        libc::SYS_fchmodat,
        libc::SYS_fchown,
        libc::SYS_fchownat,
        libc::SYS_truncate,
        libc::SYS_ftruncate,
        libc::SYS_fallocate,
        libc::SYS_utimensat,
        libc::SYS_setxattr,
        libc::SYS_lsetxattr,
        libc::SYS_fsetxattr,
        libc::SYS_chdir,
        libc::SYS_fchdir,
        libc::SYS_chroot,
        libc::SYS_pivot_root,
        libc::SYS_mount,
        libc::SYS_umount2,
    ]);
    #[cfg(target_arch = "x86_64")]
    rules.extend(without_conditions(&[
        libc::SYS_fork,
        libc::SYS_vfork,
        libc::SYS_creat,
        libc::SYS_unlink,
        libc::SYS_rename,
        libc::SYS_setrlimit,
        libc::SYS_mkdir,
        libc::SYS_rmdir,
        libc::SYS_link,
        libc::SYS_symlink,
        libc::SYS_mknod,
        libc::SYS_chmod,
        libc::SYS_chown,
        libc::SYS_lchown,
        libc::SYS_ioperm,
        libc::SYS_iopl,
    ]));

    // A process instead of a thread.
    rules.push((libc::SYS_clone, vec![bits(0, bits_of(CLONE_THREAD), 0)]));
    // A socket of another kind than a pair may be, a message to a name, new limits.
    rules.push((libc::SYS_socketpair, vec![not(0, bits_of(libc::AF_UNIX))]));
    rules.push((
        libc::SYS_socketpair,
        vec![bits(1, SOCKET_TYPE_MASK, bits_of(libc::SOCK_DGRAM))],
    ));
    rules.push((libc::SYS_sendto, vec![pointer(4)]));
    rules.push((libc::SYS_prlimit64, vec![pointer(2)]));
    // Signals to others.
    rules.extend(
        [
            libc::SYS_kill,
            libc::SYS_tgkill,
            libc::SYS_rt_sigqueueinfo,
            libc::SYS_rt_tgsigqueueinfo,
        ]
        .map(|call| (call, vec![not(0, own_pid)])),
    );
    // Writing, creating, emptying.
    rules.extend(writing(libc::SYS_openat, 2));
    #[cfg(target_arch = "x86_64")]
    rules.extend(writing(libc::SYS_open, 1));
    // The same by way of an owner of a descriptor: it gets SIGIO, or any signal that was chosen.
    rules.extend(
        [libc::F_SETOWN, F_SETOWN_EX, F_SETSIG].map(|command| (libc::SYS_fcntl, vec![int(1, command)])),
    );
    // And by sockets, whose other requests tell of network cards; what another terminal would take for
    // typing; signals to a terminal's processes.
    rules.push((libc::SYS_ioctl, vec![bits(1, 0xffff_ff00, SOCKET_REQUESTS)]));
    rules.extend(
        [TIOCSTI, TIOCLINUX, TIOCSCTTY, TIOCSPGRP, TIOCSIG]
            .map(|request| (libc::SYS_ioctl, vec![exactly(1, request)])),
    );
    rules
}

/// What no driver does: whoever tries is up to something.
pub(super) fn deadly() -> Vec<Rule> {
    without_conditions(&[
        libc::SYS_ptrace,
        libc::SYS_bpf,
        libc::SYS_kexec_load,
        libc::SYS_kexec_file_load,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_reboot,
    ])
}

/// What loading a library needs, and running it does not.
pub(super) fn for_loading_only() -> Vec<Rule> {
    let mut rules = without_conditions(&[libc::SYS_openat, libc::SYS_openat2, libc::SYS_seccomp]);
    #[cfg(target_arch = "x86_64")]
    rules.extend(without_conditions(&[libc::SYS_open]));
    rules.extend(
        [libc::SYS_mmap, libc::SYS_mprotect, libc::SYS_pkey_mprotect].map(|call| {
            (
                call,
                vec![bits(2, bits_of(libc::PROT_EXEC), bits_of(libc::PROT_EXEC))],
            )
        }),
    );
    rules
}

/// What every thread of a process shares (clone(2)).
const THREAD_FLAGS: i32 = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;
/// What no thread of ours has.
const FOREIGN_FLAGS: i32 = CLONE_NEWNS
    | CLONE_NEWCGROUP
    | CLONE_NEWUTS
    | CLONE_NEWIPC
    | CLONE_NEWUSER
    | CLONE_NEWPID
    | CLONE_NEWNET
    | CLONE_PTRACE
    | CLONE_VFORK;
/// Type of a socket without `SOCK_CLOEXEC` and `SOCK_NONBLOCK`.
const SOCKET_TYPE_MASK: u32 = 0xff;
/// `fcntl(2)`; not in `libc` for every C library.
const F_SETSIG: i32 = 10;
const F_SETOWN_EX: i32 = 15;
/// `0x89xx` (linux/sockios.h).
const SOCKET_REQUESTS: u32 = 0x8900;
/// asm-generic/ioctls.h.
const TIOCSCTTY: u32 = 0x540E;
const TIOCSPGRP: u32 = 0x5410;
const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541C;
const TIOCSIG: u32 = 0x4004_5436;

fn without_conditions(calls: &[i64]) -> Vec<Rule> {
    calls.iter().map(|call| (*call, Vec::new())).collect()
}

/// Every way to open a file for more than reading; `flags` is the index of the argument.
fn writing(call: i64, flags: u8) -> [Rule; 4] {
    let access = bits_of(libc::O_ACCMODE);
    let create = bits_of(libc::O_CREAT);
    let empty = bits_of(libc::O_TRUNC);
    [
        (access, bits_of(libc::O_WRONLY)),
        (access, bits_of(libc::O_RDWR)),
        (create, create),
        (empty, empty),
    ]
    .map(|(mask, value)| (call, vec![bits(flags, mask, value)]))
}

fn bits(index: u8, mask: u32, value: u32) -> Argument {
    Argument {
        index,
        is: Is::Bits(mask, value),
    }
}

fn int(index: u8, value: i32) -> Argument {
    exactly(index, bits_of(value))
}

fn exactly(index: u8, value: u32) -> Argument {
    bits(index, u32::MAX, value)
}

fn not(index: u8, value: u32) -> Argument {
    Argument {
        index,
        is: Is::Not(value),
    }
}

fn pointer(index: u8) -> Argument {
    Argument {
        index,
        is: Is::NotNull,
    }
}

fn no_pointer(index: u8) -> Argument {
    Argument { index, is: Is::Null }
}

fn bits_of(flags: i32) -> u32 {
    flags.cast_unsigned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn nothing_that_is_refused_whole_or_deadly_is_allowed() {
        let allowed: BTreeSet<i64> = allowed(1).into_iter().map(|(call, _)| call).collect();
        for (call, arguments) in refused(1).into_iter().chain(deadly()) {
            assert!(
                !arguments.is_empty() || !allowed.contains(&call),
                "call {call} stands on two lists"
            );
        }
    }
}
