//! The processes of a station by their names: whether each runs, that it ends, that it is started again.

use std::path::Path;

use anyhow::Context;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::processes::{Process, parent_and_name};
use crate::{Station, User};

/// Those that a service manager starts again.
pub const SERVICES: [&str; 4] = ["recueild", "recueil-courier", "recueil-cert", "recueil-hostd"];
/// Those that make something durable, each under its user.
pub const ON_DISK: [&str; 3] = ["recueild", "recueil-courier", "recueil-cert"];
/// Those that others start, while they are needed.
pub const STARTED: [&str; 2] = ["recueil-analyser", "recueil-device-host"];

impl Station {
    /// The user under which a service runs.
    pub fn user_of(&self, service: &str) -> User {
        match service {
            "recueild" => self.users.recueil,
            "recueil-courier" => self.users.courier,
            "recueil-cert" => self.users.cert,
            _ => self.users.host,
        }
    }

    fn place(&mut self, service: &str) -> anyhow::Result<&mut Option<Process>> {
        Ok(match service {
            "recueild" => &mut self.recueild,
            "recueil-courier" => &mut self.courier,
            "recueil-cert" => &mut self.cert,
            "recueil-hostd" => &mut self.hostd,
            other => anyhow::bail!("{other} is no service"),
        })
    }

    /// Waits until one of the services has ended; gives its name.
    pub async fn any_end(&self) -> anyhow::Result<&'static str> {
        let end = async |name: &'static str, process: &Option<Process>| {
            if let Some(process) = process {
                let pidfd = recueil_wire::watch(process.pidfd()?)?;
                let _readable_once_it_ended = pidfd.readable().await?;
            }
            anyhow::Ok(name)
        };
        tokio::select! {
            name = end("recueild", &self.recueild) => name,
            name = end("recueil-courier", &self.courier) => name,
            name = end("recueil-cert", &self.cert) => name,
            name = end("recueil-hostd", &self.hostd) => name,
        }
    }

    /// Starts a service; one that runs is stopped before.
    pub fn start_again(&mut self, service: &str) -> anyhow::Result<()> {
        *self.place(service)? = None;
        match service {
            "recueild" => self.start_recueild(),
            "recueil-courier" => self.start_courier(),
            "recueil-cert" => self.start_cert(),
            _ => self.start_hostd(),
        }
    }

    /// Ends every service at once, as a power cut does.
    pub fn kill_all(&mut self) -> anyhow::Result<()> {
        for service in SERVICES {
            if let Some(mut process) = self.place(service)?.take() {
                // It may have ended by itself.
                drop(process.child.kill());
                process.child.wait()?;
            }
        }
        Ok(())
    }

    /// Somebody who can kill the process of that name which runs when he is asked, whatever the station does meanwhile.
    pub fn killer(&self, name: &'static str) -> impl Fn() -> anyhow::Result<bool> + Send + use<> {
        let hostd = self.hostd.as_ref().map(|process| process.child.id());
        let service = [&self.recueild, &self.courier, &self.cert, &self.hostd]
            .into_iter()
            .flatten()
            .find(|process| process.name == name)
            .map(|process| process.child.id());
        move || {
            let pid = match (name, service) {
                ("recueil-analyser", _) => child_of(std::process::id(), name),
                ("recueil-device-host", _) => hostd.and_then(|hostd| child_of(hostd, name)),
                (_, service) => service,
            };
            pid.map_or(Ok(false), kill)
        }
    }
}

/// Kills it and waits until it has ended; false where it had.
fn kill(pid: u32) -> anyhow::Result<bool> {
    let pid = Pid::from_raw(i32::try_from(pid)?).context("a pid")?;
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else {
        return Ok(false);
    };
    if kill_process(pid, Signal::KILL).is_err() {
        return Ok(false);
    }
    let mut fds = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut fds, None)?;
    Ok(true)
}

/// A child of that name; the kernel keeps fifteen characters of it.
fn child_of(parent: u32, name: &str) -> Option<u32> {
    let short = name.get(..15).unwrap_or(name);
    let mut pids = std::fs::read_dir(Path::new("/proc"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| parent_and_name(*pid).is_some_and(|(of, is)| of == parent && is == short))
}
