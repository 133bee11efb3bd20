//! A frame of 2.4 MB from a plugin to a client's preview socket, beside the same in-process call as in
//! [`crate::frames`].
//!
//! The plugin runs in its real host, the analyser is the real program under its own user; we play hostd,
//! `recueild` and the client. The time runs from the plugin's clock before it fills to ours when the client has
//! read the last byte.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, bail};
use recueil_dossier::{FingerPosition, sha256_hex};
use recueil_tests::{Users, binary, project_path};
use recueil_wire::analyser::{FromAnalyser, PreviewHeader, Task, ToAnalyser};
use recueil_wire::{Socket, sealed_memory, socket_pair};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use crate::frames::{FRAME_BYTES, InProcess, Keeping, end, the_plugins_clock};
use crate::host::{Host, Plugin, command};
use crate::report::{Goal, Report, Samples, Unit};
use crate::rig::{PATIENCE, Rig, now_ns};

const ROUNDS: usize = 12;
const FRAMES: usize = 25;
/// Of each round, not counted.
const WARMING: usize = 3;
const REQ: u64 = 1;

pub(crate) fn run(rig: &mut Rig, report: &mut Report) -> anyhow::Result<()> {
    let users = *rig.users();
    let plugin = Plugin::compile(rig.folders(), &users)?;
    let [mut fingers, mut page, mut called] = [(); 3].map(|()| Samples::default());
    let mut in_process = InProcess::new();
    for _round in 0..ROUNDS {
        round(
            &plugin,
            &users,
            &Task::Fingerprints,
            FRAME_BYTES / 4,
            &mut fingers,
        )?;
        in_process.run(&mut called, Keeping::Nothing);
        round(&plugin, &users, &Task::Pages, FRAME_BYTES, &mut page)?;
    }
    let (time, goal) = (Unit::Seconds, Goal::Times(3.0));
    report.compare(
        "2.4 MB, plugin to client, fingerprints shown at half resolution / the same in-process call",
        time,
        &fingers,
        &called,
        goal,
    );
    report.compare(
        "2.4 MB, plugin to client, shown whole as a camera's / the same in-process call",
        time,
        &page,
        &called,
        goal,
    );
    Ok(())
}

/// A session of its own: host, analyser, client.
fn round(
    plugin: &Plugin,
    users: &Users,
    task: &Task,
    len: usize,
    samples: &mut Samples,
) -> anyhow::Result<()> {
    let (mut far_end, device) = UnixStream::pair()?;
    let host = Host::start(plugin, users, &device)?;
    let analyser = Analyser::start(users, &host, task)?;
    // As `recueild` makes it.
    let (mut client, theirs) = UnixStream::pair()?;
    client.set_read_timeout(Some(PATIENCE))?;
    analyser
        .socket
        .send(&ToAnalyser::AttachPreview, &[theirs.as_fd()])?;
    drop(theirs);
    analyser.expect(task)?;

    let mut pixels = vec![0; len];
    host.capture(REQ)?;
    for frame in 0..FRAMES + WARMING {
        far_end.write_all(b"p")?;
        let mut header = [0; PreviewHeader::LEN];
        client.read_exact(&mut header)?;
        let header = PreviewHeader::decode(&header).context("no preview header")?;
        anyhow::ensure!(
            usize::try_from(header.len)? == len,
            "a preview of {} bytes",
            header.len
        );
        client.read_exact(&mut pixels)?;
        let read_ns = now_ns();
        let filled_ns = the_plugins_clock(&mut far_end)?;
        if frame >= WARMING {
            samples.push_time(Duration::from_nanos(read_ns.saturating_sub(filled_ns)));
        }
    }
    end(&host, &mut far_end)
}

/// The real analyser. Killed when dropped.
struct Analyser {
    socket: Socket,
    child: Child,
}

impl Analyser {
    fn start(users: &Users, host: &Host, task: &Task) -> anyhow::Result<Self> {
        let (ours, theirs) = socket_pair()?;
        set_socket_timeout(&ours, Timeout::Recv, Some(PATIENCE))?;
        let mut command = command(&binary("recueil-analyser")?, theirs, users.analyser, users);
        let child = command.spawn().context("recueil-analyser")?;
        drop(command);
        let analyser = Self {
            socket: Socket::new(ours),
            child,
        };
        let hello = analyser.socket.recv::<FromAnalyser>()?.message;
        anyhow::ensure!(matches!(hello, FromAnalyser::Hello { .. }), "{hello:?}");
        let profile = std::fs::read(project_path("config/profiles/cni.toml"))?;
        let begin = ToAnalyser::Begin {
            task: task.clone(),
            capabilities: host.capabilities.clone(),
            profile_len: u64::try_from(profile.len())?,
            profile_sha256: sha256_hex(&profile),
            result_capacity: u64::try_from(FRAME_BYTES)?,
        };
        let (frames, hosts) = socket_pair()?;
        host.attach_frames(&hosts)?;
        let profile = sealed_memory("bench-profile", &profile)?;
        analyser.socket.send(&begin, &[frames.as_fd(), profile.as_fd()])?;
        Ok(analyser)
    }

    /// Begins a try.
    fn expect(&self, task: &Task) -> anyhow::Result<()> {
        let expect = ToAnalyser::Expect {
            req: REQ,
            position: matches!(task, Task::Fingerprints).then_some(FingerPosition::LEFT_SLAP),
            missing: BTreeSet::new(),
        };
        self.socket.send(&expect, &[])?;
        match self.socket.recv::<FromAnalyser>()?.message {
            FromAnalyser::Start { .. } => Ok(()),
            other => bail!("{other:?}"),
        }
    }
}

impl Drop for Analyser {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
