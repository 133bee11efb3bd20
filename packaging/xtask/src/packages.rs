//! Debian packages that a verb needs.

use std::process::Command;

use anyhow::bail;

use crate::run::{exists, say, succeed};

/// What building and running the services needs.
pub(crate) const SERVICES: &[&str] = &["dbus", "gcc", "libc6-dev", "tzdata", "util-linux"];

/// What the tests need besides: other people's tools as judges, a real polkit, a Debian to boot.
pub(crate) const TESTS: &[&str] = &[
    "binutils",
    "e2fsprogs",
    "faketime",
    "file",
    "fuse3",
    "g++",
    "iproute2",
    "libglib2.0-bin",
    "mmdebstrap",
    "openssl",
    "pkexec",
    "polkitd",
    "python3",
    "python3-dbus",
    "python3-gi",
    "strace",
    "systemd",
    "systemd-container",
    "unzip",
];

/// Installs what is missing, or says what a person must install.
pub(crate) fn install(wanted: &[&[&str]]) -> anyhow::Result<()> {
    let missing: Vec<&str> = wanted
        .iter()
        .copied()
        .flatten()
        .copied()
        .filter(|package| !is_installed(package))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let install = format!("apt-get install --no-install-recommends {}", missing.join(" "));
    let sudo: &[&str] = if is_root() {
        &[]
    } else if exists("sudo", "--version") {
        &["sudo"]
    } else {
        bail!("packages are missing and there is no sudo; as root type: {install}");
    };
    say(&format!("installing what is missing: {}", missing.join(" ")));
    let apt = |arguments: &[&str]| {
        let words: Vec<&str> = sudo
            .iter()
            .copied()
            .chain(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"])
            .collect();
        let mut command = Command::new(words.first().copied().unwrap_or("env"));
        command.args(words.get(1..).unwrap_or_default()).args(arguments);
        command
    };
    succeed(&mut apt(&["update"]))?;
    let mut command = apt(&["install", "-y", "--no-install-recommends"]);
    succeed(command.args(&missing))
}

/// Installs qemu. Debian 12's own does not go with the `qemu-utils` of its backports, which many machines have; then it
/// comes from there too, by a list of this call alone.
pub(crate) fn install_qemu() -> anyhow::Result<()> {
    const QEMU: &str = "qemu-system-x86";
    if exists("qemu-system-x86_64", "--version") || install(&[&[QEMU]]).is_ok() {
        return Ok(());
    }
    let release = std::fs::read_to_string("/etc/os-release")?;
    let name = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let Some(name) = name else {
        bail!("{QEMU} cannot be installed, and this is no Debian with backports");
    };
    let suite = format!("{name}-backports");
    let list = std::env::temp_dir().join("recueil-backports.list");
    std::fs::write(&list, format!("deb http://deb.debian.org/debian {suite} main\n"))?;
    let only = format!("Dir::Etc::sourcelist={}", list.display());
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(["-q", "-o", &only]).args(arguments);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        succeed(&mut command)
    };
    apt(&[
        "-o",
        "Dir::Etc::sourceparts=-",
        "-o",
        "APT::Get::List-Cleanup=0",
        "update",
    ])?;
    apt(&["install", "-y", "--no-install-recommends", "-t", &suite, QEMU])
}

/// Whether we run as root, and so may give each service its own user.
pub(crate) fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn is_installed(package: &str) -> bool {
    let output = Command::new("dpkg-query")
        .args(["-W", "-f=${db:Status-Status}", package])
        .output();
    output.is_ok_and(|output| output.stdout == b"installed")
}
