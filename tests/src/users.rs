//! Who runs what.

use std::path::Path;
use std::process::Command;

/// A numeric user; its group has the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User(pub u32);

/// One user a service where we may, else ourselves for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Users {
    /// `recueild`.
    pub recueil: User,
    /// `recueil-hostd` and its hosts.
    pub host: User,
    /// `recueil-analyser`.
    pub analyser: User,
    /// `recueil-courier`.
    pub courier: User,
    /// `recueil-virtual`.
    pub hardware: User,
    /// The CERT simulator.
    pub cert: User,
    /// Station software.
    pub client: User,
    /// Whether they differ.
    pub separate: bool,
}

impl Users {
    /// Numbers that no distribution gives to anybody.
    const FIRST: u32 = 64_210;
    /// dbus-daemon refuses users it does not find in the user database, so the two that speak on the bus are
    /// `uucp` and `news` of Debian's base-passwd, which every Debian has and nothing here uses.
    const ON_BUS: [User; 2] = [User(10), User(9)];

    /// Separate users for root, ourselves otherwise.
    pub fn choose() -> Self {
        let own = rustix::process::geteuid();
        if !own.is_root() {
            let own = User(own.as_raw());
            return Self {
                recueil: own,
                host: own,
                analyser: own,
                courier: own,
                hardware: own,
                cert: own,
                client: own,
                separate: false,
            };
        }
        let user = |number| User(Self::FIRST + number);
        let [recueil, client] = Self::ON_BUS;
        Self {
            recueil,
            host: user(1),
            analyser: user(2),
            courier: user(3),
            hardware: user(4),
            cert: user(5),
            client,
            separate: true,
        }
    }

    /// A command that runs as `user`: its uid and gid, no other group, no new privileges, and nothing of our
    /// environment but the path.
    pub fn command(&self, user: User, program: &Path) -> Command {
        let mut command = if self.separate {
            let mut command = Command::new("setpriv");
            command
                .args([
                    format!("--reuid={}", user.0),
                    format!("--regid={}", user.0),
                    "--clear-groups".to_owned(),
                    "--no-new-privs".to_owned(),
                    "--inh-caps=-all".to_owned(),
                    "--bounding-set=-all".to_owned(),
                ])
                .arg(program);
            command
        } else {
            Command::new(program)
        };
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }
}
