//! The hardware's end of a socket on the virtual bus.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::station::soon;

/// A device that is plugged in; dropped, it is unplugged.
pub(crate) struct VirtualDevice {
    listener: UnixListener,
    path: PathBuf,
}

/// One host's connection to it.
pub(crate) struct Line {
    stream: BufReader<UnixStream>,
}

impl VirtualDevice {
    /// Appears whole: the socket listens before it has its name.
    pub(crate) fn plug(dir: &Path, name: &str) -> Self {
        let path = dir.join(format!("{name}.sock"));
        let hidden = dir.join(format!("{name}.new"));
        let listener = UnixListener::bind(&hidden).unwrap();
        std::fs::set_permissions(&hidden, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        std::fs::rename(&hidden, &path).unwrap();
        Self { listener, path }
    }

    /// Waits until a host has the device, and for what it was loaded with.
    pub(crate) async fn host(&self) -> (Line, Value) {
        let (stream, _) = soon(self.listener.accept()).await.unwrap();
        let mut line = Line {
            stream: BufReader::new(stream),
        };
        let loaded = line.next().await.expect("the host ended before it was loaded");
        let loaded = loaded.strip_prefix("loaded ").unwrap();
        (line, serde_json::from_str(loaded).unwrap())
    }

    /// Whether anybody has connected.
    pub(crate) fn was_touched(&self) -> bool {
        let mut fds = [rustix::event::PollFd::new(
            &self.listener,
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut fds, Some(&rustix::event::Timespec::default())).unwrap() == 1
    }
}

impl Drop for VirtualDevice {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).ok();
    }
}

impl Line {
    /// The next that hostd said to the host; none if the host is gone.
    pub(crate) async fn next(&mut self) -> Option<String> {
        let mut line = String::new();
        match soon(self.stream.read_line(&mut line)).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
        }
    }

    /// Waits for exactly this.
    pub(crate) async fn hears(&mut self, expected: &str) {
        assert_eq!(self.next().await.as_deref(), Some(expected));
    }

    /// Tells the host what to do.
    pub(crate) async fn tell(&mut self, line: &str) {
        let line = format!("{line}\n");
        soon(self.stream.get_mut().write_all(line.as_bytes()))
            .await
            .unwrap();
    }

    /// Has the host send this to hostd.
    pub(crate) async fn say(&mut self, message: Value) {
        self.tell(&format!("say {message}")).await;
    }
}
