//! A private bus of the system's type, with the project's own policy file.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

use crate::Folders;
use crate::folders::project_path;
use crate::processes::Process;
use crate::users::Users;

/// Starts the bus; gives its address.
pub(crate) fn start(folders: &Folders, users: &Users, log: &Path) -> anyhow::Result<(Process, String)> {
    let policy = std::fs::read_to_string(project_path("packaging/dbus/fr.recueil.Station1.conf"))?;
    let named = "<policy user=\"recueil\">";
    anyhow::ensure!(policy.contains(named), "the policy file names the user recueil");
    let policy = policy.replace(named, &format!("<policy user=\"{}\">", users.recueil.0));
    std::fs::write(folders.path("policy.conf"), policy)?;
    let address = format!("unix:path={}", folders.path("bus").display());
    let config = format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>{address}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  <policy user="{own}">
    <allow own="org.freedesktop.login1"/>
  </policy>
  <policy context="default">
    <allow send_destination="org.freedesktop.login1"/>
  </policy>
  <include ignore_missing="yes">/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf</include>
  <include>{policy}</include>
</busconfig>
"#,
        policy = folders.path("policy.conf").display(),
        own = rustix::process::geteuid().as_raw(),
    );
    let path = folders.path("bus.conf");
    std::fs::write(&path, config)?;
    let mut command = Command::new("dbus-daemon");
    command.arg(format!("--config-file={}", path.display())).args([
        "--nofork",
        "--nopidfile",
        "--print-address=1",
    ]);
    let (process, address) =
        Process::first_line("dbus-daemon", command, log).context("package dbus is needed")?;
    Ok((process, address))
}
