//! What is done to each contestant in turn, and the programs that stand for its clients.

use std::io::{BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::rig::{Running, next_line, next_line_within, now_ns};

/// What a client is for; the words are arguments of the client programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Holds the device.
    Hold,
    /// Has it at work.
    Work,
    /// Wants to hold it.
    Contend,
    /// Wants it to work.
    ContendToWork,
}

/// A service with a device that clients take turns at, and another device for the witness.
pub(crate) trait Side {
    /// For the table.
    fn name(&self) -> &'static str;
    /// The program of a client.
    fn client(&mut self, role: Role) -> anyhow::Result<Command>;
    /// The program of a client of the other device.
    fn witness(&mut self) -> anyhow::Result<Command>;
    /// A client whose device waits in the driver, which will not hear of a cancel.
    fn wedge(&mut self) -> anyhow::Result<Actor>;
    /// Ends the process that runs the driver by SIGABRT while the device is at work, and sees to it that it is
    /// started again. (The first SIGSEGV that is sent to a program in Rust only takes its handler away.)
    fn crash(&mut self) -> anyhow::Result<Crash>;
    /// SIGTERM to the end of the service; none if it takes longer than `limit`. It is started again afterwards.
    fn stop(&mut self, limit: Duration) -> anyhow::Result<Option<Duration>>;
    /// Puts everything in order after a wedge.
    fn recover(&mut self) -> anyhow::Result<()>;
}

/// A driver that crashed.
#[derive(Debug)]
pub(crate) struct Crash {
    pub(crate) begun_ns: u64,
    /// Tells when the device is back.
    pub(crate) back: Actor,
    /// Who had the device at work.
    pub(crate) _holder: Actor,
}

/// A client program that tells a line at a time. Ends with this value.
#[derive(Debug)]
pub(crate) struct Actor {
    running: Running,
    lines: BufReader<ChildStdout>,
}

impl Actor {
    /// Starts it and hears its first word.
    pub(crate) fn start(command: Command, log: &std::fs::File) -> anyhow::Result<Self> {
        let (running, lines) = Running::first_line(command, log)?;
        Ok(Self { running, lines })
    }

    /// Starts it, whether or not it comes to say anything.
    pub(crate) fn unheard(command: Command, log: &std::fs::File) -> anyhow::Result<Self> {
        let (running, lines) = Running::with_lines(command, log)?;
        Ok(Self { running, lines })
    }

    pub(crate) fn start_as(side: &mut dyn Side, role: Role, log: &std::fs::File) -> anyhow::Result<Self> {
        let command = side.client(role)?;
        Self::start(command, log).with_context(|| format!("{}: a client to {role:?}", side.name()))
    }

    /// Ends it as a crash does; tells when.
    pub(crate) fn kill(mut self) -> anyhow::Result<u64> {
        let begun = now_ns();
        self.running.kill()?;
        Ok(begun)
    }

    /// The time it tells, from `begun_ns`; none if it tells none within `limit`.
    pub(crate) fn time(mut self, begun_ns: u64, limit: Duration) -> anyhow::Result<Option<Duration>> {
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Some(line) = next_line_within(&mut self.lines, left)? else {
                return Ok(None);
            };
            // Before it, who was not heard says that it contends.
            if line != "contending" {
                let told_ns: u64 = line.parse()?;
                return Ok(Some(Duration::from_nanos(told_ns.saturating_sub(begun_ns))));
            }
        }
    }
}

/// A client of another device that counts what goes wrong.
#[derive(Debug)]
pub(crate) struct Witness {
    actor: Actor,
    stdin: ChildStdin,
}

/// What a witness saw.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) failures: u32,
    pub(crate) calls: u32,
}

impl Witness {
    pub(crate) fn start(side: &mut dyn Side, log: &std::fs::File) -> anyhow::Result<Self> {
        let mut command = side.witness()?;
        command.stdin(Stdio::piped());
        let mut actor = Actor::start(command, log).with_context(|| format!("{}: a witness", side.name()))?;
        let stdin = actor.running.stdin().context("a pipe was asked for")?;
        Ok(Self { actor, stdin })
    }

    /// Ends it, and gives what it counted.
    pub(crate) fn end(self) -> anyhow::Result<Seen> {
        let Self { mut actor, mut stdin } = self;
        stdin.flush()?;
        drop(stdin);
        let line = next_line(&mut actor.lines).context("a witness that tells nothing")?;
        let mut numbers = line.split(' ').map(str::parse);
        let mut number = || {
            numbers
                .next()
                .context("two numbers")
                .and_then(|number| Ok(number?))
        };
        Ok(Seen {
            failures: number()?,
            calls: number()?,
        })
    }
}
