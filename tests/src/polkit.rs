//! The real polkitd on the private bus: our actions, the rules of a test, nothing of the machine's.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::Folders;
use crate::folders::project_path;
use crate::processes::Process;
use crate::users::Users;

/// Where distributions put it.
const POLKITD: [&str; 2] = ["/usr/lib/polkit-1/polkitd", "/usr/libexec/polkit-1/polkitd"];

/// Starts it and waits until it has its name.
pub(crate) fn start(
    folders: &Folders,
    users: &Users,
    address: &str,
    rules: &str,
    log: &Path,
) -> anyhow::Result<Process> {
    anyhow::ensure!(users.separate, "polkitd must be started by root");
    let program = POLKITD.into_iter().find(|path| Path::new(path).is_file());
    let program = program.context("package polkitd is needed")?;
    let folder = |name: &str| -> anyhow::Result<_> {
        let path = folders.path(name);
        std::fs::create_dir_all(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        Ok(path)
    };
    let (actions, own, empty) = (folder("actions")?, folder("rules")?, folder("no-rules")?);
    let policy = std::fs::read_to_string(project_path("packaging/polkit/fr.recueil.station1.policy"))?;
    let owner = "unix-user:recueil<";
    anyhow::ensure!(
        policy.contains(owner),
        "the policy names the user recueil as owner"
    );
    let policy = policy.replace(owner, &format!("unix-user:{}<", users.recueil.0));
    std::fs::write(actions.join("fr.recueil.station1.policy"), policy)?;
    std::fs::write(own.join("10-test.rules"), rules)?;

    // Mounts of its own: the machine's actions and rules are neither seen nor changed.
    let script = r#"mount --bind "$1" /usr/share/polkit-1/actions && mount --bind "$2" /etc/polkit-1/rules.d &&
        mount --bind "$3" /usr/share/polkit-1/rules.d && exec "$4""#;
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation=private", "sh", "-c", script, "sh"])
        .args([actions, own, empty])
        .arg(program)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("DBUS_SYSTEM_BUS_ADDRESS", address)
        .stdout(Stdio::null());
    let process = Process::spawn("polkitd", command, log)?;
    let waited = Command::new("gdbus")
        .args([
            "wait",
            "--address",
            address,
            "--timeout",
            "30",
            "org.freedesktop.PolicyKit1",
        ])
        .status()
        .context("package libglib2.0-bin is needed")?;
    anyhow::ensure!(waited.success(), "polkitd does not come to the bus");
    Ok(process)
}
