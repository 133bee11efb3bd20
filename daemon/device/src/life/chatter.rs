//! What a host says beside the calls: log lines, things to store, broken rules. All of it is limited.

use recueil_wire::devices::{Failure, FailureCode};
use recueil_wire::host::FromHost;
use tracing::{debug, error, info, trace, warn};

use crate::blobs::BlobStore;
use crate::failure::{failure, printable};
use crate::rate::Rate;

/// More than any honest host says in a second; beyond it, it is killed.
const MESSAGES_PER_SECOND_MAX: u32 = 500;
const LINES_PER_SECOND_MAX: u32 = 100;
/// Lines of one capture: few enough that no picture leaves through the log.
const LINES_PER_CAPTURE_MAX: u32 = 20;
const LINE_CHARS_MAX: usize = 200;
/// Things that one host may have stored.
const STORED_MAX: u32 = 64;

#[derive(Debug)]
pub(super) struct Chatter {
    plugin_id: String,
    device_id: String,
    blobs: BlobStore,
    messages: Rate,
    lines: Rate,
    /// Some while a capture runs.
    capture_lines_left: Option<u32>,
    stored: u32,
}

/// Whether a plugin may have something stored now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Storing {
    Allowed,
    /// It has been asked for a capture, so it may have seen something.
    Refused,
}

impl Chatter {
    pub(super) fn new(plugin_id: String, device_id: String, blobs: BlobStore) -> Self {
        Self {
            plugin_id,
            device_id,
            blobs,
            messages: Rate::new(MESSAGES_PER_SECOND_MAX),
            lines: Rate::new(LINES_PER_SECOND_MAX),
            capture_lines_left: None,
            stored: 0,
        }
    }

    pub(super) fn capture_begins(&mut self) {
        self.capture_lines_left = Some(LINES_PER_CAPTURE_MAX);
    }

    pub(super) fn capture_ends(&mut self) {
        self.capture_lines_left = None;
    }

    /// Takes the message if it is chatter, else gives it back.
    ///
    /// # Errors
    /// A failure if the host floods us.
    pub(super) async fn take(
        &mut self,
        message: FromHost,
        storing: Storing,
    ) -> Result<Option<FromHost>, Failure> {
        // A socket that always has something to read must not keep the other devices waiting.
        tokio::task::yield_now().await;
        if !self.messages.allow() {
            return Err(failure(
                FailureCode::PluginMisbehaved,
                format!("the host said over {MESSAGES_PER_SECOND_MAX} things in a second"),
            ));
        }
        match message {
            FromHost::Log { level, text } => self.log(level, &text),
            FromHost::Misbehaved { rule } => self.log(5, &rule),
            FromHost::BlobPut { key, value } => self.store(key, value, storing).await,
            other => return Ok(Some(other)),
        }
        Ok(None)
    }

    fn log(&mut self, level: u32, text: &str) {
        let in_capture = match &mut self.capture_lines_left {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        };
        if !in_capture || !self.lines.allow() {
            return;
        }
        let text = printable(text, LINE_CHARS_MAX);
        let (plugin, device) = (&self.plugin_id, &self.device_id);
        // `RCL_LOG_*`.
        match level {
            0 => trace!(plugin, device, "{text}"),
            1 => debug!(plugin, device, "{text}"),
            2 => info!(plugin, device, "{text}"),
            3 => warn!(plugin, device, "{text}"),
            4 => error!(plugin, device, "{text}"),
            _ => warn!(plugin, device, misbehaving = true, "{text}"),
        }
    }

    async fn store(&mut self, key: String, value: String, storing: Storing) {
        let (plugin, device) = (self.plugin_id.clone(), self.device_id.clone());
        let refused = if storing == Storing::Refused {
            Some("it has been asked for a capture".to_owned())
        } else if self.stored == STORED_MAX {
            Some(format!("it had {STORED_MAX} things stored already"))
        } else {
            self.stored += 1;
            let blobs = self.blobs.clone();
            let put = move || blobs.put(&plugin, &device, &key, &value);
            match tokio::task::spawn_blocking(put).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.chain()),
                Err(_) => Some("the task failed".to_owned()),
            }
        };
        if let Some(reason) = refused
            && self.lines.allow()
        {
            warn!(
                plugin = self.plugin_id,
                device = self.device_id,
                reason,
                "not stored"
            );
        }
    }
}

/// The conversation with a host broke for another reason than its end.
pub(super) fn misspoke(error: &recueil_wire::Error) -> Failure {
    match error {
        recueil_wire::Error::System(error) if error.kind() == std::io::ErrorKind::TimedOut => failure(
            FailureCode::PluginHung,
            "the plugin's process does not read its messages",
        ),
        error => failure(
            FailureCode::PluginMisbehaved,
            format!("the plugin's process said something else than its protocol: {error}"),
        ),
    }
}
