//! Over the real file system of this machine, where it lets us; the limits themselves where it has the
//! controllers. Each test is a process of its own (nextest), which moves itself.

use std::process::{Child, Command, Stdio};

use super::*;

const LIMITS: Limits = Limits {
    memory_mib: 16,
    threads: 3,
};

/// A cgroup that was given to nobody but us, as the service manager would; none where there is no right to.
struct Delegated {
    home: PathBuf,
    dir: PathBuf,
}

impl Delegated {
    fn new(name: &str) -> Option<Self> {
        let home = match own_cgroup() {
            Ok(home) => home,
            Err(reason) => {
                eprintln!("skipped: {reason}");
                return None;
            }
        };
        let dir = home.join(format!("recueil-test-{name}-{}", std::process::id()));
        let moved = fs::create_dir(&dir)
            .and_then(|()| fs::write(dir.join("cgroup.procs"), std::process::id().to_string()));
        if let Err(error) = moved {
            fs::remove_dir(&dir).ok();
            eprintln!(
                "skipped: no right to make a cgroup in {}: {error}",
                home.display()
            );
            return None;
        }
        Some(Self { home, dir })
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        fs::write(self.home.join("cgroup.procs"), std::process::id().to_string()).unwrap();
        fs::remove_dir(self.dir.join(LEAF)).ok();
        fs::remove_dir(&self.dir).unwrap();
    }
}

/// A process that waits, as a host does for its first message.
fn sleeper() -> Child {
    Command::new("sleep")
        .arg("1000")
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

fn procs(dir: &Path) -> String {
    fs::read_to_string(dir.join("cgroup.procs")).unwrap()
}

#[test]
fn hostd_goes_to_a_leaf_and_a_host_to_its_own_cgroup_that_ends_with_it() {
    let Some(delegated) = Delegated::new("place") else {
        return;
    };
    let cgroups = Arc::new(Cgroups::below(&delegated.dir).unwrap());
    assert_eq!(procs(&delegated.dir), "");
    assert_eq!(
        procs(&delegated.dir.join(LEAF)).trim(),
        std::process::id().to_string()
    );

    let mut host = sleeper();
    let cgroup = cgroups.place(host.id(), LIMITS).unwrap();
    let dir = cgroup.dir.clone();
    assert_eq!(procs(&dir).trim(), host.id().to_string());
    for (controller, file, value) in [
        ("memory", "memory.max", ((16 + OWN_MIB) << 20).to_string()),
        ("memory", "memory.oom.group", "1".to_owned()),
        ("pids", "pids.max", "5".to_owned()),
        ("cpu", "cpu.weight", "50".to_owned()),
    ] {
        if cgroups.controllers.contains(&controller) {
            assert_eq!(
                fs::read_to_string(dir.join(file)).unwrap().trim(),
                value,
                "{file}"
            );
        }
    }
    assert!(!cgroup.ran_out_of_memory() && !cgroup.wanted_more_threads());
    host.kill().unwrap();
    host.wait().unwrap();
    drop(cgroup);
    assert!(!dir.exists());
}

#[test]
fn what_an_earlier_hostd_left_is_ended_and_removed() {
    let Some(delegated) = Delegated::new("sweep") else {
        return;
    };
    let left = delegated.dir.join("host-7");
    fs::create_dir(&left).unwrap();
    let mut host = sleeper();
    fs::write(left.join("cgroup.procs"), host.id().to_string()).unwrap();
    Cgroups::below(&delegated.dir).unwrap();
    assert!(!host.wait().unwrap().success(), "it was killed");
    // It is removed now or, where the kernel was not done with it, at the next start.
    sweep(&delegated.dir);
    assert!(!left.exists());
}

#[test]
fn a_cgroup_with_others_in_it_is_left_alone() {
    let Some(delegated) = Delegated::new("others") else {
        return;
    };
    let mut other = sleeper();
    let refused = Cgroups::below(&delegated.dir).unwrap_err();
    assert!(refused.contains("other processes"), "{refused}");
    assert!(!delegated.dir.join(LEAF).exists());
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn without_a_right_to_it_there_is_none() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Cgroups::below(dir.path()).is_err(), "no cgroup at all");
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        0,
        "nothing is left of the try"
    );
}
