//! `cargo xtask demo [--out DIR]`.

use crate::packages;
use crate::run::{cargo, root, say, succeed};

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    say(if packages::is_root() {
        "as root: each service runs under its own user, the client under another"
    } else {
        "as a user: all services share this user; as root each would have its own"
    });
    packages::install(&[packages::SERVICES])?;
    succeed(&mut cargo(&["build", "--workspace"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    let mut demo = std::process::Command::new(target.join("debug/recueil-demo"));
    succeed(demo.args(arguments))
}
