//! A small disk of the station's own, that can be filled and can fail: an ext4 file system in a file. Only root can
//! have one.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// The disk; unmounted with this value.
#[derive(Debug)]
pub(crate) struct Disk {
    image: PathBuf,
    at: PathBuf,
}

impl Disk {
    /// Makes one of so many MiB and mounts it.
    pub(crate) fn make(image: PathBuf, at: PathBuf, mib: u64) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&at)?;
        let file = std::fs::File::create(&image)?;
        file.set_len(mib << 20)?;
        run(Command::new("mkfs.ext4")
            .args(["-q", "-m", "0", "-E", "lazy_itable_init=0"])
            .arg(&image))?;
        let disk = Self { image, at };
        disk.mount()?;
        Ok(disk)
    }

    fn mount(&self) -> anyhow::Result<()> {
        // As a disk of a station is mounted, so that a fault of the disk makes it read-only at once.
        run(Command::new("mount")
            .args(["-o", "loop,errors=remount-ro"])
            .args([&self.image, &self.at]))
    }

    /// Writes until there is no room.
    pub(crate) fn fill(&self) -> anyhow::Result<()> {
        let mut file = std::fs::File::create(self.filler())?;
        // Down to single blocks.
        for len in [1 << 20, 4096, 512] {
            let bytes = vec![1; len];
            while file.write_all(&bytes).is_ok() {}
        }
        file.sync_all().context("the disk must be full, not broken")?;
        Ok(())
    }

    /// Gives the room back.
    pub(crate) fn empty(&self) -> anyhow::Result<()> {
        Ok(std::fs::remove_file(self.filler())?)
    }

    fn filler(&self) -> PathBuf {
        self.at.join("filler")
    }

    /// Lets the file system find a fault: it becomes read-only with whatever is open on it.
    pub(crate) fn break_down(&self) -> anyhow::Result<()> {
        let device = self.device()?;
        let name = Path::new(&device).file_name().context("a device has a name")?;
        let trigger = Path::new("/sys/fs/ext4").join(name).join("trigger_fs_error");
        std::fs::write(&trigger, "a test").with_context(|| trigger.display().to_string())
    }

    /// What an administrator does after that. Nothing may have a file open there.
    pub(crate) fn repair(&self) -> anyhow::Result<()> {
        run(Command::new("umount").arg(&self.at))?;
        let status = Command::new("fsck.ext4")
            .arg("-fp")
            .arg(&self.image)
            .output()?
            .status;
        // 1: errors were corrected.
        anyhow::ensure!(matches!(status.code(), Some(0 | 1)), "fsck.ext4: {status}");
        self.mount()
    }

    fn device(&self) -> anyhow::Result<String> {
        let mounts = std::fs::read_to_string("/proc/self/mounts")?;
        let at = self.at.display().to_string();
        let found = mounts.lines().find_map(|line| {
            let mut words = line.split(' ');
            let device = words.next()?;
            (words.next()? == at).then(|| device.to_owned())
        });
        found.context("the disk is not mounted")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whatever still has a file open there keeps it until it ends.
        drop(Command::new("umount").arg("--lazy").arg(&self.at).status());
    }
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .output()
        .with_context(|| format!("{} is needed", command.get_program().display()))?;
    if !output.status.success() {
        bail!(
            "{:?}: {}",
            command,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
