//! The guest: qemu without hardware help, so that it runs where nested virtualisation does not.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// A running guest. Dropped, its power is cut.
pub(crate) struct Guest {
    qemu: Child,
    vm: PathBuf,
}

/// What a guest does after its boot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// The agent collects one dossier after the other.
    Collect,
    /// The agent brings all to its end and opens nothing.
    Finish,
    /// Something takes more than the services' budgets allow.
    Exceed,
}

impl Work {
    /// On the kernel's line.
    fn word(self) -> &'static str {
        match self {
            Self::Collect => "",
            Self::Finish => " last",
            Self::Exceed => " budgets",
        }
    }

    /// MiB. A host may take more than the usual guest has.
    fn memory_mib(self) -> u32 {
        match self {
            Self::Collect | Self::Finish => 1536,
            Self::Exceed => 3072,
        }
    }
}

impl Guest {
    /// Boots one from the disks in `vm`; the root disk forgets what is written, the state disk does not.
    pub(crate) fn start(vm: &Path, cert_port: u16, work: Work) -> anyhow::Result<Self> {
        let file = |name: &str| vm.join(name).display().to_string();
        for log in ["ledger", "console"] {
            std::fs::write(vm.join(log), "")?;
        }
        let word = work.word();
        let line = format!(
            "console=ttyS0 quiet panic=-1 tsc=reliable no_timer_check mitigations=off random.trust_cpu=on \
             systemd.show_status=0 audit=0 cert=10.0.2.2:{cert_port}{word}"
        );
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args([
                "-M",
                "q35,usb=off",
                "-accel",
                "tcg,thread=multi,tb-size=512",
                "-cpu",
                "max",
            ])
            .args([
                "-smp",
                "2",
                "-m",
                &work.memory_mib().to_string(),
                "-nodefaults",
                "-no-user-config",
                "-display",
                "none",
                "-no-reboot",
            ])
            .args([
                "-kernel",
                &file("vmlinux"),
                "-initrd",
                &file("initrd.gz"),
                "-append",
                &line,
            ])
            .args(["-serial", &format!("file:{}", file("console"))])
            .args(["-serial", &format!("file:{}", file("ledger"))])
            .args([
                "-drive",
                &format!(
                    "if=none,id=root,file={},format=raw,snapshot=on,cache=unsafe",
                    file("root.ext4")
                ),
            ])
            .args(["-device", "virtio-blk-pci,drive=root"])
            .args([
                "-drive",
                &format!(
                    "if=none,id=state,file={},format=raw,cache=writeback",
                    file("state.ext4")
                ),
            ])
            .args(["-device", "virtio-blk-pci,drive=state"])
            .args([
                "-netdev",
                "user,id=net",
                "-device",
                "virtio-net-pci,netdev=net,romfile=",
            ])
            .stdin(Stdio::null());
        let qemu = command.spawn().context("package qemu-system-x86 is needed")?;
        Ok(Self {
            qemu,
            vm: vm.to_owned(),
        })
    }

    /// Waits until the guest has said a line.
    pub(crate) fn until(&mut self, wanted: &str, limit: Duration) -> anyhow::Result<()> {
        self.wait(&format!("say {wanted:?}"), limit, |told| {
            told.lines().any(|line| line == wanted)
        })
    }

    /// Waits until the guest says something more.
    pub(crate) fn next(&mut self, limit: Duration) -> anyhow::Result<()> {
        let before = self.ledger()?.len();
        self.wait("say anything more", limit, |told| told.len() > before)
    }

    fn wait(&mut self, what: &str, limit: Duration, done: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            if done(&self.ledger()?) {
                return Ok(());
            }
            if let Some(status) = self.qemu.try_wait()? {
                bail!(
                    "the guest ended by itself ({status}); its console: {}",
                    self.console()
                );
            }
            if Instant::now() > deadline {
                bail!(
                    "the guest did not {what} within {} s; it said: {}; its console: {}",
                    limit.as_secs(),
                    tail(&self.ledger()?),
                    self.console()
                );
            }
            // A file that another process writes to: there is no event to wait for.
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Cuts the power; gives all that the guest had said.
    pub(crate) fn kill(mut self) -> anyhow::Result<String> {
        self.qemu.kill()?;
        self.qemu.wait()?;
        self.ledger()
    }

    fn ledger(&self) -> anyhow::Result<String> {
        let bytes = std::fs::read(self.vm.join("ledger"))?;
        let text = String::from_utf8_lossy(&bytes);
        // A line that the cut broke off was not said.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        Ok(whole.replace('\r', ""))
    }

    fn console(&self) -> String {
        tail(&std::fs::read_to_string(self.vm.join("console")).unwrap_or_default())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        drop(self.qemu.kill());
        drop(self.qemu.wait());
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().rev().take(20).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
