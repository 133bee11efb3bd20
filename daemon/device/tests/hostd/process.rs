//! The program itself: as whom it runs, what it tells the service manager, how it ends.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use recueil_wire::devices::DeviceState;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::station::{FP4, Folders, Recueild, chmod, fake_host, own_uid, soon};
use crate::virtual_device::VirtualDevice;

/// As whom hostd runs where the tests run as root.
const UID: u32 = 61_235;

/// recueil-hostd as a service.
struct Service {
    folders: Folders,
    child: Child,
    manager: tokio::net::UnixDatagram,
}

impl Service {
    fn start(behaviour: &str) -> Self {
        let folders = Folders::new();
        folders.install("fr.recueil.fake", behaviour, "fp4");
        let as_root = own_uid() == 0;
        // Another user may not be able to read what cargo built.
        let hostd = copied(
            &folders,
            Path::new(env!("CARGO_BIN_EXE_recueil-hostd")),
            "recueil-hostd",
        );
        let host = copied(&folders, &fake_host(), "fake-host");
        let config = folders.config_text(own_uid());
        let config = config.replace(&fake_host().display().to_string(), &host.display().to_string());
        let config_path = folders.path("recueil.toml");
        std::fs::write(&config_path, config).unwrap();
        chmod(&config_path, 0o644);

        let notify_path = folders.path("notify.sock");
        let manager = UnixDatagram::bind(&notify_path).unwrap();
        chmod(&notify_path, 0o666);
        manager.set_nonblocking(true).unwrap();

        let mut command = if as_root {
            for dir in ["state", "run"] {
                std::os::unix::fs::chown(folders.path(dir), Some(UID), None).unwrap();
            }
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid", &UID.to_string(), "--clear-groups", "--no-new-privs"])
                .arg(hostd);
            command
        } else {
            Command::new(hostd)
        };
        command
            .arg("--config")
            .arg(&config_path)
            .env("NOTIFY_SOCKET", &notify_path);
        let child = command.stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let manager = tokio::net::UnixDatagram::from_std(manager).unwrap();
        Self {
            folders,
            child,
            manager,
        }
    }

    async fn says(&self, expected: &str) {
        let mut message = [0; 256];
        let length = soon(self.manager.recv(&mut message)).await.unwrap();
        assert_eq!(std::str::from_utf8(&message[..length]).unwrap().trim(), expected);
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap()).unwrap()
    }

    async fn ended(&mut self) -> ExitStatus {
        soon(self.child.wait()).await.unwrap()
    }
}

fn copied(folders: &Folders, program: &Path, name: &str) -> PathBuf {
    let path = folders.path(name);
    std::fs::copy(program, &path).unwrap();
    chmod(&path, 0o755);
    path
}

#[tokio::test]
async fn sigterm_ends_hostd_and_a_hung_host_within_two_seconds() {
    let mut service = Service::start("stop-reading ignore-close");
    service.says("READY=1").await;
    let device = VirtualDevice::plug(&service.folders.path("virtual"), "fp4.SN1");
    let (mut line, _) = device.host().await;
    let mut recueild = Recueild::connect(&service.folders.path("run/hostd.sock"));
    recueild.open().await;
    let told = Instant::now();
    kill_process(service.pid(), Signal::TERM).unwrap();
    service.says("STOPPING=1").await;
    assert!(service.ended().await.success());
    assert!(told.elapsed() < Duration::from_secs(2), "{:?}", told.elapsed());
    assert_eq!(line.next().await, None, "the host is gone too");
}

#[tokio::test]
async fn hostd_leaves_no_core_and_lets_no_other_process_look_into_it() {
    let service = Service::start("");
    service.says("READY=1").await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", service.pid().as_raw_nonzero())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    // The files of a process that is not dumpable belong to root (proc(5)).
    let owner = std::fs::metadata(format!("/proc/{}/environ", service.pid().as_raw_nonzero())).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&owner), 0);
}

#[tokio::test]
async fn a_killed_hostd_is_replaced_by_one_that_finds_the_devices_again() {
    let mut service = Service::start("");
    service.says("READY=1").await;
    let device = VirtualDevice::plug(&service.folders.path("virtual"), "fp4.SN1");
    device.host().await;
    service.child.kill().await.unwrap();
    let Service { folders, .. } = service;
    // In this process, on the same folders and the socket file that was left behind.
    std::fs::remove_dir_all(folders.path("state")).unwrap();
    let station = crate::station::Station::start_in(folders, "", crate::station::patient());
    let mut recueild = station.connect().await;
    let _host = device.host().await;
    recueild.open().await;
    let (devices, _) = recueild.list().await;
    assert_eq!(
        (devices[0].id.as_str(), devices[0].state),
        (FP4, DeviceState::InSession)
    );
    station.stop().await;
}

#[tokio::test]
async fn hostd_refuses_to_be_root_and_a_wrong_call() {
    let hostd = env!("CARGO_BIN_EXE_recueil-hostd");
    let output = soon(Command::new(hostd).output()).await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("usage"));
    if own_uid() != 0 {
        println!("not shown: only root can start hostd as root");
        return;
    }
    let output = soon(Command::new(hostd).args(["--config", "/nonexistent"]).output())
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("does not run as uid 0"), "{said}");
}
