//! What a plugin cannot do, at landlock ABI 2 (Debian 12's kernel) and the two filters of system calls.

use std::os::unix::process::ExitStatusExt as _;

use recueil_dossier::FrameKind;

use crate::support::{Hostd, Plugin, Result};

#[test]
fn a_plugin_reaches_no_file_no_network_and_no_other_process() -> Result {
    let (hostd, _analyser) = Hostd::ready(&Plugin::compile("confined")?)?;
    hostd.capture(1)?;
    let captured = hostd.captured()?;
    assert_eq!(
        (captured.results, captured.status()),
        (1, 0),
        "it lives on: {captured:?}"
    );
    let check = |what: &str, outcome: &str| {
        assert_eq!(captured.reported(what), Some(outcome), "{what}: {captured:?}");
    };

    // A constructor of the library is confined already; it may read where libraries lie.
    check("open at load", "EACCES");
    check("socket at load", "EPERM");
    check("library folder at load", "done");
    // Once loaded it opens nothing at all.
    check("open", "EPERM");
    check("open library", "EPERM");
    check("code", "EPERM");

    check("socket", "EPERM");
    check("datagram pair", "EPERM");
    check("kill parent", "EPERM");
    check("kill group", "EPERM");
    check("kill self", "done");
    check("owner", "EPERM");
    check("owner by ioctl", "EPERM");
    check("fork", "EPERM");
    check("thread", "done");
    check("exec", "EPERM");
    check("limits", "EPERM");
    check("new call", "ENOSYS");
    Ok(())
}

#[test]
fn the_process_gains_no_rights_leaves_no_core_and_has_few_descriptors() -> Result {
    let (hostd, _analyser) = Hostd::ready(&Plugin::compile("good")?)?;
    let status = hostd.proc("status")?;
    let is = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.map(str::trim)
    };
    assert_eq!(is("NoNewPrivs:"), Some("1"));
    assert_eq!(is("Seccomp:"), Some("2"), "a filter (proc_pid_status(5))");
    assert_eq!(is("Umask:"), Some("0077"));
    let limits = hostd.proc("limits")?;
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name));
        line.map(|values| values.split_whitespace().take(2).collect::<Vec<_>>())
    };
    assert_eq!(limit("Max core file size"), Some(vec!["0", "0"]));
    assert_eq!(limit("Max open files"), Some(vec!["64", "64"]));
    Ok(())
}

#[test]
fn a_plugin_gets_no_more_memory_than_its_manifest_says() -> Result {
    let (hostd, _analyser) = Hostd::ready(&Plugin::compile("greedy")?)?;
    hostd.capture(1)?;
    let captured = hostd.captured()?;
    assert_eq!(captured.reported("small"), Some("done"));
    assert_eq!(captured.reported("large"), Some("none"));
    assert_eq!(captured.results, 1, "and goes on");
    Ok(())
}

#[test]
fn frames_are_not_counted_as_the_plugins_memory() -> Result {
    let plugin = Plugin::compile("greedy")?;
    let hostd = Hostd::start_with(&plugin, |load| load.sandbox.memory_mib = 16)?;
    hostd.next()?;
    let analyser = hostd.attach_frames()?;
    analyser.lend(0, FrameKind::Result, 80 << 20)?;
    hostd.capture(1)?;
    let captured = hostd.captured()?;
    assert_eq!((captured.results, captured.status()), (1, 0), "{captured:?}");
    assert_eq!(captured.reported("small"), Some("done"));
    Ok(())
}

fn signal_that_ends(plugin: &str) -> Result<Option<i32>> {
    let (hostd, _analyser) = Hostd::ready(&Plugin::compile(plugin)?)?;
    hostd.capture(1)?;
    while hostd.next().is_ok() {}
    let (status, output) = hostd.ended()?;
    assert_eq!(output, "");
    assert!(!status.core_dumped());
    Ok(status.signal())
}

#[test]
fn a_crash_ends_the_process_and_leaves_nothing() -> Result {
    assert_eq!(signal_that_ends("crash")?, Some(libc::SIGSEGV));
    Ok(())
}

#[test]
fn a_write_past_a_frame_ends_the_process() -> Result {
    assert_eq!(signal_that_ends("overflow")?, Some(libc::SIGSEGV));
    Ok(())
}

#[test]
fn what_only_an_intruder_does_ends_the_process() -> Result {
    assert_eq!(signal_that_ends("ptrace")?, Some(libc::SIGSYS));
    Ok(())
}
