//! Frame memory: whose it is, and what is not accepted as such.

use std::io::Write as _;
use std::os::fd::OwnedFd;

use recueil_dossier::FrameKind;
use recueil_wire::host::ToHost;
use rustix::fs::{MemfdFlags, SealFlags};

use crate::support::{Analyser, Captured, FRAME_BYTES, Hostd, Plugin, Result};

#[test]
fn a_result_waits_until_its_memory_was_read() -> Result {
    let (hostd, analyser) = Hostd::ready(&Plugin::compile("greedy")?)?;
    hostd.capture(1)?;
    assert_eq!(analyser.frame()?.0, 2);
    assert_eq!(hostd.captured()?.results, 1);

    hostd.capture(2)?;
    hostd.say(&ToHost::Cancel { req: 2 })?;
    let captured = hostd.captured()?;
    assert_eq!(
        (captured.results, captured.status()),
        (0, -6),
        "it waited, and was cancelled"
    );

    hostd.capture(3)?;
    analyser.release(2)?;
    assert_eq!(analyser.frame()?.0, 2);
    assert_eq!(hostd.captured()?.results, 1);
    Ok(())
}

#[test]
fn a_picture_larger_than_what_is_lent_is_refused_at_once() -> Result {
    let hostd = Hostd::start(&Plugin::compile("greedy")?)?;
    hostd.next()?;
    let analyser = hostd.attach_frames()?;
    analyser.lend(0, FrameKind::Result, FRAME_BYTES - 1)?;
    hostd.capture(1)?;
    assert_eq!(hostd.captured()?.status(), -4);
    Ok(())
}

#[test]
fn a_new_session_replaces_the_one_before() -> Result {
    let (hostd, before) = Hostd::ready(&Plugin::compile("greedy")?)?;
    hostd.capture(1)?;
    before.frame()?;
    hostd.captured()?;
    let after = hostd.attach_frames()?;
    let memory = after.lend(2, FrameKind::Result, FRAME_BYTES)?;
    hostd.capture(2)?;
    assert_eq!(after.frame()?.0, 2);
    assert_eq!(hostd.captured()?.results, 1);
    assert!(
        recueil_wire::read_memory(&memory, FRAME_BYTES, FRAME_BYTES)?
            .iter()
            .all(|pixel| *pixel == 1)
    );
    Ok(())
}

#[test]
fn without_an_analyser_a_capture_ends() -> Result {
    let (hostd, analyser) = Hostd::ready(&Plugin::compile("good")?)?;
    hostd.capture(1)?;
    analyser.frame()?;
    drop(analyser);
    (&hostd.device).write_all(b"h")?;
    let captured = hostd.captured()?;
    assert_eq!((captured.results, captured.status()), (0, -6));
    assert!(
        captured.log.contains(&"the analyser is gone".to_owned()),
        "{captured:?}"
    );
    Ok(())
}

/// One capture with an analyser that lends as `lend` says.
fn capture_with(lend: impl FnOnce(&Analyser) -> Result) -> Result<Captured> {
    let hostd = Hostd::start(&Plugin::compile("greedy")?)?;
    hostd.next()?;
    let analyser = hostd.attach_frames()?;
    lend(&analyser)?;
    hostd.capture(1)?;
    hostd.captured()
}

fn memory_sealed_with(len: u64, seals: SealFlags) -> Result<OwnedFd> {
    let memory = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::ftruncate(&memory, len)?;
    rustix::fs::fcntl_add_seals(&memory, seals)?;
    Ok(memory)
}

fn check_refused(memory: &OwnedFd, capacity: u64, why: &str) -> Result {
    let captured = capture_with(|analyser| analyser.lend_this(0, FrameKind::Result, capacity, memory))?;
    assert_eq!((captured.results, captured.status()), (0, -6), "{captured:?}");
    assert!(captured.log.contains(&why.to_owned()), "{captured:?}");
    Ok(())
}

#[test]
fn memory_that_could_vanish_under_the_plugin_is_refused() -> Result {
    let len = FRAME_BYTES;
    let both = SealFlags::SHRINK | SealFlags::GROW;
    check_refused(
        &memory_sealed_with(len, SealFlags::GROW)?,
        len,
        "a buffer that could shrink",
    )?;
    check_refused(
        &memory_sealed_with(len, SealFlags::empty())?,
        len,
        "a buffer that could shrink",
    )?;
    check_refused(
        &memory_sealed_with(len, both | SealFlags::WRITE)?,
        len,
        "a buffer that cannot be written",
    )?;
    check_refused(
        &memory_sealed_with(len - 1, both)?,
        len,
        "a buffer that is not as large as was said",
    )?;
    let (pipe, _end) = rustix::pipe::pipe()?;
    check_refused(&pipe, len, "a buffer that is not sealed memory")
}

#[test]
fn an_analyser_that_lends_what_it_has_lent_is_refused() -> Result {
    let captured = capture_with(|analyser| {
        analyser.lend(0, FrameKind::Preview, FRAME_BYTES)?;
        analyser.lend(0, FrameKind::Result, FRAME_BYTES)?;
        Ok(())
    })?;
    assert_eq!(captured.status(), -6);
    let captured = capture_with(|analyser| {
        analyser.lend(0, FrameKind::Result, FRAME_BYTES)?;
        analyser.release(0)
    })?;
    assert_eq!(captured.status(), -6);
    Ok(())
}
