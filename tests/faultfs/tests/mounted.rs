//! The file system is one like others until it is told to fail, and forgets at a cut what was not synced.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test may end where it stands"
)]

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use recueil_faultfs::{Action, Entry, Errno, FaultFs, Kind, Moment, Plan, missing, survivors};

const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a test on a mount of its own, or says aloud why not.
fn mounted(test: impl FnOnce(&FaultFs, &Path)) {
    if let Some(why) = missing() {
        eprintln!("skipped: {why}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let fs = FaultFs::mount(folder.path()).unwrap();
    test(&fs, folder.path());
}

fn put(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

/// Every content that this path has after cuts with many seeds; none where it is gone.
fn after_cuts(fs: &FaultFs, path: &str) -> BTreeSet<Option<Vec<u8>>> {
    let log = fs.log();
    (0..400)
        .map(|seed| survivors(&log, log.len(), seed).read(path).map(<[u8]>::to_vec))
        .collect()
}

#[test]
fn it_is_a_file_system_like_others() {
    mounted(|_fs, root| {
        let at = |name: &str| root.join(name);
        std::fs::create_dir(at("folder")).unwrap();
        std::fs::write(at("folder/a"), b"first").unwrap();
        std::fs::rename(at("folder/a"), at("folder/b")).unwrap();
        assert!(std::fs::remove_dir(at("folder")).is_err(), "it is not empty");
        std::fs::hard_link(at("folder/b"), at("c")).unwrap();
        let mut open = File::open(at("c")).unwrap();
        std::fs::remove_file(at("folder/b")).unwrap();
        std::fs::remove_file(at("c")).unwrap();
        let mut text = String::new();
        open.read_to_string(&mut text).unwrap();
        assert_eq!(text, "first", "what is open stays readable");
        let file = File::options()
            .write(true)
            .create_new(true)
            .open(at("d"))
            .unwrap();
        file.write_all_at(b"end", 10_000).unwrap();
        file.set_len(10_001).unwrap();
        assert_eq!(
            std::fs::read(at("d")).unwrap(),
            [vec![0; 10_000], b"e".to_vec()].concat()
        );
        std::fs::set_permissions(at("d"), std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(at("d").metadata().unwrap().permissions().mode() & 0o7777, 0o640);
        let names: Vec<_> = std::fs::read_dir(root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["d", "folder"]);
    });
}

#[test]
fn the_log_has_every_call_in_its_order_and_who_made_it() {
    mounted(|fs, root| {
        put(&root.join("a"), b"bytes").unwrap();
        fs.mark("written");
        std::fs::rename(root.join("a"), root.join("b")).unwrap();
        sync_folder(root).unwrap();
        let log = fs.log();
        let lines: Vec<String> = log
            .entries()
            .map(|entry| match entry {
                Entry::Call(call) => format!(
                    "{:?} {} {}",
                    call.kind,
                    call.path,
                    call.to.as_deref().unwrap_or("")
                ),
                Entry::Mark(text) => text.clone(),
            })
            .filter(|line| !line.starts_with("OpenFolder"))
            .collect();
        assert_eq!(
            lines,
            [
                "Create a ",
                "Write a ",
                "Sync a ",
                "written",
                "Rename a b",
                "SyncFolder  "
            ]
        );
        let uid = rustix::process::geteuid().as_raw();
        assert!(log.calls().all(|(_, call)| call.uid == uid && call.pid > 0));
        assert_eq!(log.marks_before(log.len()).collect::<Vec<_>>(), ["written"]);
    });
}

#[test]
fn the_call_that_is_meant_fails_once_or_from_then_on() {
    mounted(|fs, root| {
        let writes = |call: &recueil_faultfs::Call| call.kind == Kind::Write;
        for errno in [Errno::NOSPC, Errno::IO, Errno::ROFS, Errno::MFILE] {
            let file = File::create(root.join("a")).unwrap();
            fs.arm(Plan::new(2, Action::Fail(errno), writes));
            (&file).write_all(b"1").unwrap();
            let error = (&file).write_all(b"2").unwrap_err();
            assert_eq!(error.raw_os_error(), Some(errno.raw_os_error()));
            (&file).write_all(b"3").unwrap();
            assert_eq!(fs.disarm().unwrap().path, "a");
            assert_eq!(std::fs::read(root.join("a")).unwrap(), b"13");
        }
        let file = File::create(root.join("b")).unwrap();
        fs.arm(Plan::new(1, Action::FailOn(Errno::NOSPC), writes));
        for _ in 0..3 {
            (&file).write_all(b"1").unwrap_err();
        }
        fs.disarm();
        (&file).write_all(b"1").unwrap();
    });
}

#[test]
fn a_full_disk_is_full_until_something_goes() {
    mounted(|fs, root| {
        fs.set_capacity(Some(16 << 10));
        put(&root.join("a"), &[1; 12 << 10]).unwrap();
        let full = put(&root.join("b"), &[1; 8 << 10]).unwrap_err();
        assert_eq!(full.raw_os_error(), Some(Errno::NOSPC.raw_os_error()));
        std::fs::remove_file(root.join("a")).unwrap();
        put(&root.join("b"), &[1; 8 << 10]).unwrap();
        let file = File::create(root.join("c")).unwrap();
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 8 << 10).unwrap();
        assert_eq!(fs.used(), 16 << 10);
        assert!(rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 9 << 10).is_err());
    });
}

#[test]
fn a_caller_is_killed_before_or_after_its_call() {
    mounted(|fs, root| {
        for (moment, there) in [(Moment::Before, false), (Moment::After, true)] {
            fs.arm(Plan::new(1, Action::Kill(moment), |call| {
                call.kind == Kind::MakeFolder
            }));
            let path = root.join(format!("{moment:?}"));
            let script = format!("mkdir {0}; mkdir {0}/never", path.display());
            let status = Command::new("sh").args(["-c", &script]).status().unwrap();
            assert!(fs.disarm().is_some());
            // The shell goes on after its child was killed; the child's call alone is meant.
            assert_eq!(path.join("never").exists(), there, "{status}");
            assert_eq!(path.exists(), there);
        }
    });
}

#[test]
fn a_call_waits_for_the_test_while_others_go_on() {
    mounted(|fs, root| {
        // A held call that changes a folder holds all that change this folder: the kernel sees to that.
        fs.arm(Plan::new(1, Action::Hold(Moment::Before), |call| {
            call.kind == Kind::Write
        }));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| put(&root.join("held"), b"1"));
            assert_eq!(fs.held(PATIENCE).unwrap().path, "held");
            put(&root.join("other"), b"2").unwrap();
            assert_eq!(root.join("held").metadata().unwrap().len(), 0);
            fs.go_on();
            waiting.join().unwrap().unwrap();
        });
        assert_eq!(std::fs::read(root.join("held")).unwrap(), b"1");
    });
}

#[test]
fn what_was_synced_survives_every_cut() {
    mounted(|fs, root| {
        std::fs::create_dir(root.join("folder")).unwrap();
        sync_folder(root).unwrap();
        put(&root.join("folder/.tmp"), &[7; 3000]).unwrap();
        std::fs::rename(root.join("folder/.tmp"), root.join("folder/a")).unwrap();
        sync_folder(&root.join("folder")).unwrap();
        assert_eq!(after_cuts(fs, "folder/a"), [Some(vec![7; 3000])].into());
        assert_eq!(after_cuts(fs, "folder/.tmp"), [None].into());
    });
}

#[test]
fn a_name_without_a_sync_of_its_folder_may_be_there_or_not() {
    mounted(|fs, root| {
        put(&root.join("a"), b"old").unwrap();
        sync_folder(root).unwrap();
        put(&root.join(".tmp"), b"new").unwrap();
        std::fs::rename(root.join(".tmp"), root.join("a")).unwrap();
        assert_eq!(
            after_cuts(fs, "a"),
            [Some(b"old".to_vec()), Some(b"new".to_vec())].into(),
            "one or the other, never none and never half"
        );
        std::fs::create_dir(root.join("folder")).unwrap();
        put(&root.join("folder/b"), b"b").unwrap();
        sync_folder(&root.join("folder")).unwrap();
        assert_eq!(
            after_cuts(fs, "folder/b"),
            [None, Some(b"b".to_vec())].into(),
            "the folder itself may be gone"
        );
    });
}

#[test]
fn unsynced_bytes_are_dropped_torn_and_reordered() {
    mounted(|fs, root| {
        let path = root.join("a");
        put(&path, &[0; 2048]).unwrap();
        sync_folder(root).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(&[1; 2048], 0).unwrap();
        file.write_all_at(&[2; 512], 1536).unwrap();
        file.write_all_at(&[3; 512], 2048).unwrap();
        let left: Vec<Vec<u8>> = after_cuts(fs, "a").into_iter().map(Option::unwrap).collect();
        let seen = |what: &str, is: &dyn Fn(&[u8]) -> bool| {
            assert!(left.iter().any(|bytes| is(bytes)), "never {what}");
        };
        seen("dropped", &|bytes| bytes == [0; 2048]);
        seen("whole", &|bytes| {
            bytes.len() == 2560 && bytes[2048..] == [3; 512] && bytes[0] == 1
        });
        seen("torn", &|bytes| bytes[0] == 1 && bytes[512] == 0);
        seen("reordered", &|bytes| bytes[0] == 0 && bytes[1536] == 2);
        seen("longer than it was written", &|bytes| {
            bytes.len() == 2560 && bytes[2048..] == [0; 512]
        });
        for bytes in &left {
            assert!(bytes.len() == 2048 || bytes.len() == 2560, "{}", bytes.len());
            assert!(
                bytes
                    .chunks(512)
                    .all(|sector| sector.iter().all(|byte| *byte == sector[0]))
            );
        }
    });
}

#[test]
fn a_later_sync_does_not_save_what_a_failed_one_lost() {
    mounted(|fs, root| {
        put(&root.join("a"), &[0; 512]).unwrap();
        sync_folder(root).unwrap();
        let file = File::options().write(true).open(root.join("a")).unwrap();
        file.write_all_at(&[1; 512], 0).unwrap();
        fs.arm(Plan::new(1, Action::Fail(Errno::IO), |call| {
            call.kind == Kind::Sync
        }));
        assert!(file.sync_all().is_err());
        file.sync_all().unwrap();
        assert_eq!(
            std::fs::read(root.join("a")).unwrap(),
            [1; 512],
            "it is still seen"
        );
        assert_eq!(
            after_cuts(fs, "a"),
            [Some(vec![0; 512]), Some(vec![1; 512])].into()
        );
    });
}

#[test]
fn after_a_cut_the_mount_shows_what_survived() {
    mounted(|fs, root| {
        put(&root.join("kept"), b"kept").unwrap();
        sync_folder(root).unwrap();
        put(&root.join("lost"), b"lost").unwrap();
        fs.arm(Plan::new(1, Action::Cut, |call| call.kind == Kind::SyncFolder));
        sync_folder(root).unwrap_err();
        assert!(fs.is_dark());
        std::fs::read(root.join("kept")).unwrap_err();
        // A seed under which the name did not make it.
        let log = fs.log();
        let seed = (0..1000)
            .find(|seed| survivors(&log, log.len(), *seed).read("lost").is_none())
            .unwrap();
        fs.cut(seed);
        assert_eq!(std::fs::read(root.join("kept")).unwrap(), b"kept");
        assert!(!root.join("lost").exists());
        put(&root.join("lost"), b"anew").unwrap();
    });
}
