//! A booted Debian: systemd, the bus, polkit, the journal, in a container of its own.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail};
use recueil_tests::{binary, project_path};
use rustix::process::{Pid, Signal};

/// A loaded machine boots the container within this time.
const BOOT_MAX: Duration = Duration::from_mins(2);
/// The controller-less hierarchies where a process finds its place; each machine gets a branch of its own.
const HIERARCHIES: [&str; 2] = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"];

/// A running machine. It ends with this value, and nothing of it stays.
#[derive(Debug)]
pub(crate) struct Machine {
    nspawn: Child,
    leader: Pid,
    name: String,
    share: tempfile::TempDir,
}

impl Machine {
    /// Boots one with the packages installed; none, said aloud, where that cannot be.
    pub(crate) fn with_recueil() -> anyhow::Result<Option<Self>> {
        let Some(machine) = Self::boot()? else {
            return Ok(None);
        };
        machine.run("dpkg --install /d/recueil_*.deb")?;
        Ok(Some(machine))
    }

    /// Boots one; none, said aloud, where that cannot be.
    pub(crate) fn boot() -> anyhow::Result<Option<Self>> {
        if let Some(why) = hindrance() {
            // Not through the test's capture: nobody should think that this was tested.
            std::io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes())?;
            return Ok(None);
        }
        let built = binary("xtask")?
            .parent()
            .context("a folder of programs")?
            .to_owned();
        let cache = built.parent().context("a target folder")?.join("system");
        let tree = output(Command::new(project_path("tests/system/build-tree.sh")).arg(&cache))?;
        let debian = packages(&cache, &built)?;
        Self::start(Path::new(tree.trim()), &debian, &built).map(Some)
    }

    fn start(tree: &Path, debian: &Path, built: &Path) -> anyhow::Result<Self> {
        let share = tempfile::Builder::new().prefix("recueil-system-").tempdir()?;
        std::fs::set_permissions(share.path(), std::fs::Permissions::from_mode(0o755))?;
        let name = share.path().file_name().context("a folder's name")?;
        let name = name.to_string_lossy().replace('.', "");
        let notify_path = share.path().join("notify");
        let notify = UnixDatagram::bind(&notify_path)?;
        let log = File::create(share.path().join("console"))?;
        // Under a service manager of the machine it has a scope of its own; elsewhere we make its place.
        let managed = Path::new("/run/systemd/system").is_dir();
        let place = r#"for hierarchy in $HIERARCHIES; do
                [ -d "$hierarchy" ] || continue
                mkdir -p "$hierarchy/$NAME" && echo $$ >"$hierarchy/$NAME/cgroup.procs"
            done; exec "$@""#;
        let mut command = Command::new("sh");
        command
            .args(["-ec", place, "sh", "systemd-nspawn", "--quiet", "--register=no"])
            .args(if managed { &[][..] } else { &["--keep-unit"][..] })
            .args([
                "--volatile=overlay",
                "--private-network",
                "--console=pipe",
                "--notify-ready=yes",
            ])
            .args(["--capability=all", "--system-call-filter=@known"])
            .arg(format!("--machine={name}"))
            .arg("--directory")
            .arg(tree)
            .arg(format!("--bind={}:/t", share.path().display()))
            .arg(format!("--bind-ro={}:/b", built.display()))
            .arg(format!("--bind-ro={}:/d", debian.display()))
            .args(["--boot", "systemd.show_status=0"])
            .env(
                "HIERARCHIES",
                if managed {
                    String::new()
                } else {
                    HIERARCHIES.join(" ")
                },
            )
            .env("NAME", &name)
            .env("NOTIFY_SOCKET", &notify_path)
            .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut nspawn = command.spawn().context("package systemd-container is needed")?;
        let leader = leader(&notify, &mut nspawn)
            .with_context(|| std::fs::read_to_string(share.path().join("console")).unwrap_or_default());
        match leader {
            Ok(leader) => Ok(Self {
                nspawn,
                leader,
                name,
                share,
            }),
            Err(error) => {
                drop(nspawn.kill());
                drop(nspawn.wait());
                Err(error)
            }
        }
    }

    /// A command inside, as root, with root's rights.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.leader.as_raw_nonzero()))
            .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"])
            .args(["env", "-i", "PATH=/usr/sbin:/usr/bin", "LANG=C.UTF-8"])
            .args(words);
        command
    }

    /// A command inside, as a user of its own groups and no rights beyond.
    pub(crate) fn command_as(&self, user: &str, words: &[&str]) -> Command {
        let mut all = vec!["setpriv", "--reuid", user, "--regid", user, "--init-groups"];
        all.extend(["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]);
        all.extend(words);
        self.command(&all)
    }

    /// Runs a shell script inside as root, which must succeed, and gives what it says.
    pub(crate) fn run(&self, script: &str) -> anyhow::Result<String> {
        output(self.command(&["sh", "-ec", script]).stdin(Stdio::null()))
            .with_context(|| format!("{}\n{}", self.journal(), self.console()))
    }

    /// The same as another user.
    pub(crate) fn run_as(&self, user: &str, script: &str) -> anyhow::Result<String> {
        output(self.command_as(user, &["sh", "-ec", script]).stdin(Stdio::null()))
            .with_context(|| self.journal())
    }

    /// The folder that is `/t` inside.
    pub(crate) fn share(&self) -> &Path {
        self.share.path()
    }

    /// A path of the machine as this process reaches it.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        Path::new("/proc")
            .join(self.leader.as_raw_nonzero().to_string())
            .join("root")
            .join(inside.trim_start_matches('/'))
    }

    /// What is under `/proc` of the machine, which numbers its processes itself.
    pub(crate) fn proc(&self, pid: u32, name: &str) -> anyhow::Result<String> {
        let path = self.path(&format!("/proc/{pid}/{name}"));
        std::fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    /// What our units logged.
    pub(crate) fn journal(&self) -> String {
        let mut journalctl = self.command(&[
            "journalctl",
            "--no-pager",
            "--lines=200",
            "--output=short-monotonic",
        ]);
        let output = journalctl.stdin(Stdio::null()).output();
        output.map_or_else(
            |error| error.to_string(),
            |output| String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    }

    fn console(&self) -> String {
        std::fs::read_to_string(self.share.path().join("console")).unwrap_or_default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The kernel ends all that is in the namespace of a first process with it.
        let _gone_already = rustix::process::kill_process(self.leader, Signal::KILL);
        drop(self.nspawn.wait());
        for hierarchy in HIERARCHIES {
            remove_tree(&Path::new(hierarchy).join(&self.name));
        }
    }
}

/// The folder of the packages, made anew where anything that goes into them is newer.
fn packages(cache: &Path, built: &Path) -> anyhow::Result<PathBuf> {
    let lock = File::create(cache.join("debian.lock"))?;
    lock.lock()?;
    let out = cache.join("debian");
    let made = out.join("made");
    let sources = [
        "packaging",
        "config",
        "sdk/dbus",
        "plugins/simulator",
        "tests/fixtures/images",
    ];
    let mut newest = newest(built, 0)?;
    for source in sources {
        newest = newest.max(self::newest(&project_path(source), 3)?);
    }
    if std::fs::metadata(&made)
        .and_then(|made| made.modified())
        .is_ok_and(|made| made > newest)
    {
        return Ok(out);
    }
    // Its date is that of the beginning: what changes meanwhile is newer.
    std::fs::create_dir_all(&out)?;
    let beginning = File::create(out.join("begun"))?;
    let mut deb = Command::new(binary("xtask")?);
    output(deb.arg("deb").arg("--out").arg(&out).arg("--built").arg(built))?;
    drop(beginning);
    std::fs::rename(out.join("begun"), made)?;
    Ok(out)
}

/// When the newest file below a folder was written, so many folders deep.
fn newest(dir: &Path, depth: u32) -> anyhow::Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_file() {
            newest = newest.max(metadata.modified()?);
        } else if metadata.is_dir() && depth > 0 {
            newest = newest.max(self::newest(&entry.path(), depth - 1)?);
        }
    }
    Ok(newest)
}

/// What makes the test impossible here.
fn hindrance() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root can boot a container; run the tests as root to try it");
    }
    let has = |program: &str| {
        Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok()
    };
    let unshared = Command::new("unshare")
        .args(["--mount", "--pid", "--net", "--fork", "true"])
        .stderr(Stdio::null())
        .status();
    if !unshared.is_ok_and(|status| status.success()) {
        return Some("even root may not make namespaces here, so no container can be booted");
    }
    if !has("systemd-nspawn") {
        return Some("there is no systemd-nspawn; install systemd-container to try it");
    }
    if !has("mmdebstrap") {
        return Some("there is no mmdebstrap to make a Debian with; install it to try it");
    }
    None
}

/// Waits until the first process inside says that it has started all, and gives its number here.
fn leader(notify: &UnixDatagram, nspawn: &mut Child) -> anyhow::Result<Pid> {
    let deadline = Instant::now() + BOOT_MAX;
    // An nspawn that ended says nothing; ask from time to time.
    notify.set_read_timeout(Some(Duration::from_millis(200)))?;
    let (mut message, mut leader) = ([0; 4096], None);
    loop {
        if let Ok(len) = notify.recv(&mut message) {
            let text = String::from_utf8_lossy(message.get(..len).unwrap_or_default());
            for line in text.lines() {
                if let Some(pid) = line.strip_prefix("X_NSPAWN_LEADER_PID=") {
                    leader = Pid::from_raw(pid.parse()?);
                }
            }
            if let (Some(leader), true) = (leader, text.lines().any(|line| line == "READY=1")) {
                return Ok(leader);
            }
        } else if let Some(status) = nspawn.try_wait()? {
            bail!("systemd-nspawn ended: {status}");
        }
        anyhow::ensure!(Instant::now() < deadline, "the machine does not boot");
    }
}

/// A cgroup with all below it.
fn remove_tree(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    drop(std::fs::remove_dir(dir));
}

/// Runs a command that must succeed and gives what it says.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    anyhow::ensure!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}
