//! hostd's part towards one `recueil-device-host`: starts it, loads a plugin, asks for captures.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use recueil_dossier::FingerPosition;
use recueil_tests::{Folders, User, Users, binary, project_path};
use recueil_wire::devices::{Capabilities, CaptureParams, Modality};
use recueil_wire::host::{Bus, FromHost, Load, Sandbox, ToHost};
use recueil_wire::{Socket, command_with_socket, socket_pair};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use crate::rig::PATIENCE;

/// A plugin that a host can load, in a folder that it may read.
#[derive(Debug)]
pub(crate) struct Plugin {
    id: &'static str,
    library_path: PathBuf,
    memory_mib: u64,
}

impl Plugin {
    /// `tests/rivals/plugin.c`: nothing but what the contract asks for.
    pub(crate) fn compile(folders: &Folders, users: &Users) -> anyhow::Result<Self> {
        let dir = folders.folder("bench/plugin", users.host, users.host, 0o755)?;
        let library_path = dir.join("bench.so");
        let mut cc = Command::new("cc");
        cc.args(["-std=gnu11", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-I"])
            .arg(project_path("sdk/include"))
            .arg(project_path("tests/rivals/plugin.c"))
            .arg("-o")
            .arg(&library_path);
        let status = cc.status().context("cc, of the package gcc")?;
        anyhow::ensure!(status.success(), "cc: {status}");
        Ok(Self {
            id: "fr.recueil.bench",
            library_path,
            memory_mib: 64,
        })
    }

    /// The simulator as the station installed it.
    pub(crate) fn simulator(folders: &Folders) -> Self {
        Self {
            id: "fr.recueil.simulator",
            library_path: folders.path("plugins/simulator/librecueil_plugin_simulator.so"),
            memory_mib: 768,
        }
    }

    /// What hostd sends first.
    fn load(&self) -> Load {
        let own_dir = self.library_path.parent().unwrap_or(Path::new("/"));
        let read_dirs = ["/usr/lib", "/usr/lib64", "/lib", "/lib64"]
            .into_iter()
            .filter(|dir| Path::new(dir).is_dir())
            .map(str::to_owned)
            .chain([own_dir.display().to_string()])
            .collect();
        Load {
            plugin_id: self.id.to_owned(),
            bus: Bus::Virtual,
            path: "/run/bench.sock".to_owned(),
            serial: "SN0001".to_owned(),
            usb_vid: 0,
            usb_pid: 0,
            config: BTreeMap::new(),
            blobs: Vec::new(),
            sandbox: Sandbox {
                read_dirs,
                landlock_abi_max: 2,
                allow_unsandboxed: false,
                memory_mib: self.memory_mib,
                threads: 4,
            },
        }
    }
}

/// A host whose device is ready. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Host {
    control: Socket,
    child: Child,
    /// From before its start to its word that it is ready.
    pub(crate) ready_after: Duration,
    /// What its device can.
    pub(crate) capabilities: Capabilities,
}

/// A program with a socket as its standard input, under a user where we may. hostd starts hosts as its own user;
/// here both the host and its rival are started so.
pub(crate) fn command(program: &Path, socket: OwnedFd, user: User, users: &Users) -> Command {
    let mut command = command_with_socket(program, socket);
    if users.separate {
        command.uid(user.0).gid(user.0);
    }
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/");
    command
}

impl Host {
    /// Starts one and waits until its device is ready.
    pub(crate) fn start(plugin: &Plugin, users: &Users, device: &UnixStream) -> anyhow::Result<Self> {
        let program = binary("recueil-device-host")?;
        let library = std::fs::File::open(&plugin.library_path)?;
        let load = ToHost::Load(Box::new(plugin.load()));

        let begun = Instant::now();
        let (ours, theirs) = socket_pair()?;
        set_socket_timeout(&ours, Timeout::Recv, Some(PATIENCE))?;
        let mut command = command(&program, theirs, users.host, users);
        let child = command.spawn().context("recueil-device-host")?;
        drop(command);
        let control = Socket::new(ours);
        control.send(&load, &[library.as_fd(), device.as_fd()])?;
        let (ready_after, capabilities) = loop {
            match control.recv::<FromHost>()?.message {
                FromHost::Ready { capabilities, .. } => break (begun.elapsed(), capabilities),
                FromHost::Log { .. } | FromHost::Begins { .. } => {}
                other => bail!("a host that does not become ready: {other:?}"),
            }
        };
        Ok(Self {
            control,
            child,
            ready_after,
            capabilities,
        })
    }

    /// Hands over the frame socket of a session.
    pub(crate) fn attach_frames(&self, socket: &OwnedFd) -> anyhow::Result<()> {
        Ok(self.control.send(&ToHost::AttachFrames, &[socket.as_fd()])?)
    }

    /// Starts a capture.
    pub(crate) fn capture(&self, req: u64) -> anyhow::Result<()> {
        let params = CaptureParams {
            modality: Modality::Fingerprint,
            format: None,
            ppi_milli: 0,
            deadline_ms: 30_000,
            preview_fps: 5,
            position: Some(FingerPosition::LEFT_SLAP),
            missing: Vec::new(),
            area_um: None,
        };
        Ok(self.control.send(&ToHost::Capture { req, params }, &[])?)
    }

    /// Waits for the end of a capture, whichever it is: who calls has seen the frames.
    pub(crate) fn captured(&self) -> anyhow::Result<()> {
        loop {
            match self.control.recv::<FromHost>()?.message {
                FromHost::Log { .. } | FromHost::Begins { .. } => {}
                FromHost::Captured { .. } => return Ok(()),
                other => bail!("a capture that went wrong: {other:?}"),
            }
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
