//! A program that is not ours and talks by lines: a client of another make, a listener, an agent.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::folders::fixtures;
use crate::{User, Users};

/// A machine under load answers within this time.
const ANSWER_MAX: Duration = Duration::from_mins(1);

/// A Python program of `tests/fixtures`, under a user of its own, speaking JSON a line. Ends with this value.
#[derive(Debug)]
pub struct Program {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    /// Starts it with the distribution's Python, which has the bus bindings, and the bus's address.
    pub fn start(users: &Users, user: User, name: &str, address: &str) -> anyhow::Result<Self> {
        Self::start_with(users, user, name, &[address])
    }

    /// The same, with all its arguments.
    pub fn start_with(users: &Users, user: User, name: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::from(users.command(user, "/usr/bin/python3".as_ref()));
        let mut child = command
            .arg(fixtures(name))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("packages python3, python3-dbus and python3-gi are needed")?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        Ok(Self {
            child,
            stdin: stdin.context("a pipe was asked for")?,
            lines: BufReader::new(stdout.context("a pipe was asked for")?).lines(),
        })
    }

    /// Says something to it.
    pub async fn say(&mut self, line: &Value) -> anyhow::Result<()> {
        self.stdin.write_all(format!("{line}\n").as_bytes()).await?;
        Ok(self.stdin.flush().await?)
    }

    /// What it says next.
    pub async fn hear(&mut self) -> anyhow::Result<Value> {
        let line = tokio::time::timeout(ANSWER_MAX, self.lines.next_line()).await;
        let line = line.context("the program says nothing")??;
        Ok(serde_json::from_str(&line.context("the program ended")?)?)
    }

    /// Its pid; 0 once it has ended.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// Ends it at once, as a crash does.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }
}
