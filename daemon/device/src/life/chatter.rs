//! What a host says beside the calls: log lines, things to store, broken rules. All of it is limited.

use recueil_wire::devices::{Failure, FailureCode};
use recueil_wire::host::FromHost;
use tracing::{debug, error, info, trace, warn};

use crate::blobs::{BlobStore, DEVICE_MAX_BYTES, from_hex};
use crate::failure::{failure, printable};
use crate::rate::Rate;

/// More than any honest host says in a second; beyond it, it is killed.
const MESSAGES_PER_SECOND_MAX: u32 = 500;
const LINES_PER_SECOND_MAX: u32 = 100;
/// Lines of one capture: few enough that no picture leaves through the log.
const LINES_PER_CAPTURE_MAX: u32 = 20;
pub(crate) const LINE_CHARS_MAX: usize = 200;
/// Broken rules that are written down in one capture, and how much of each.
const COMPLAINTS_MAX: u32 = 8;
const RULE_CHARS_MAX: usize = 120;
/// Things that one host may have stored.
const STORED_MAX: u32 = 64;

#[derive(Debug)]
pub(super) struct Chatter {
    plugin_id: String,
    device_id: String,
    blobs: BlobStore,
    messages: Rate,
    lines: Rate,
    /// Some from the first capture on.
    capture_lines_left: Option<u32>,
    /// Broken rules that the host may still name until the next capture.
    complaints_left: u32,
    stored: u32,
    /// A value of which not all parts are here.
    arriving: Option<(String, Vec<u8>)>,
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
            complaints_left: COMPLAINTS_MAX,
            stored: 0,
            arriving: None,
        }
    }

    /// What is said from now on, also after this capture, may tell of what was seen: it is limited until the next.
    pub(super) fn capture_begins(&mut self) {
        self.capture_lines_left = Some(LINES_PER_CAPTURE_MAX);
        self.complaints_left = COMPLAINTS_MAX;
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
            FromHost::Misbehaved { rule } => self.complain(&rule),
            FromHost::BlobPut { key, part, last } => self.arrive(key, &part, last, storing).await,
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

    /// A broken rule, as the host names it. It has lines of its own, so that a plugin cannot talk them away.
    fn complain(&mut self, rule: &str) {
        if self.complaints_left == 0 || !self.lines.allow() {
            return;
        }
        self.complaints_left -= 1;
        warn!(
            plugin = self.plugin_id,
            device = self.device_id,
            misbehaving = true,
            "{}",
            printable(rule, RULE_CHARS_MAX)
        );
    }

    /// The next part of a value. Parts of another value, or too many, begin anew.
    async fn arrive(&mut self, key: String, part: &str, last: bool, storing: Storing) {
        let mut value = match self.arriving.take() {
            Some((arriving, value)) if arriving == key => value,
            _ => Vec::new(),
        };
        let refused = match from_hex(part) {
            _ if storing == Storing::Refused => Some("it has been asked for a capture".to_owned()),
            None => Some("a value that is not lower-case hexadecimal".to_owned()),
            Some(bytes) if value.len() + bytes.len() > DEVICE_MAX_BYTES => {
                Some(format!("a value of over {DEVICE_MAX_BYTES} bytes"))
            }
            Some(bytes) => {
                value.extend(bytes);
                if !last {
                    self.arriving = Some((key, value));
                    return;
                }
                self.store(key, value).await.err()
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

    async fn store(&mut self, key: String, value: Vec<u8>) -> Result<(), String> {
        if self.stored == STORED_MAX {
            return Err(format!("it had {STORED_MAX} things stored already"));
        }
        self.stored += 1;
        let (plugin, device) = (self.plugin_id.clone(), self.device_id.clone());
        let blobs = self.blobs.clone();
        let put = move || blobs.put(&plugin, &device, &key, &value);
        match tokio::task::spawn_blocking(put).await {
            Ok(stored) => stored.map_err(|error| error.chain()),
            Err(_) => Err("the task failed".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Journal(Arc<Mutex<Vec<u8>>>);

    impl Write for Journal {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn line(text: &str) -> FromHost {
        FromHost::Log {
            level: 2,
            text: text.to_owned(),
        }
    }

    #[tokio::test]
    async fn a_capture_says_twenty_short_printable_lines_in_the_journal_and_no_more() {
        let journal = Journal::default();
        let writer = journal.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let blobs = BlobStore::new(std::path::Path::new("/nonexistent"));
        let mut chatter = Chatter::new("com.acme.a".into(), "virtual-a-1".into(), blobs);
        chatter.capture_begins();
        for _ in 0..30 {
            let text = format!("\u{1b}[2J{}", "x".repeat(1000));
            assert!(
                chatter
                    .take(line(&text), Storing::Refused)
                    .await
                    .unwrap()
                    .is_none()
            );
        }
        // Nothing more after it, but that a broken rule is named, however much was said.
        chatter.take(line("closed"), Storing::Refused).await.unwrap();
        for _ in 0..30 {
            let rule = format!("R4: {}", "y".repeat(1000));
            let broken = FromHost::Misbehaved { rule };
            chatter.take(broken, Storing::Refused).await.unwrap();
        }
        let text = String::from_utf8(journal.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 28);
        assert!(
            lines[0].contains("plugin=\"com.acme.a\" device=\"virtual-a-1\""),
            "{}",
            lines[0]
        );
        assert!(!text.contains('\u{1b}'));
        assert!(lines[0].len() < 400 && lines[20].len() < 400 && lines[20].contains("R4: y"));
    }

    #[tokio::test]
    async fn a_value_comes_in_parts_and_is_stored_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = BlobStore::new(dir.path());
        let mut chatter = Chatter::new("com.acme.a".into(), "virtual-a-1".into(), blobs.clone());
        let part = |key: &str, part: &str, last| FromHost::BlobPut {
            key: key.to_owned(),
            part: part.to_owned(),
            last,
        };
        let long = "ab".repeat(recueil_wire::host::BLOB_PART_MAX_BYTES);
        for (message, storing) in [
            (part("gain", "0001", false), Storing::Allowed),
            // Another begins: the first is never whole.
            (part("flat", &long, false), Storing::Allowed),
            (part("flat", &long, false), Storing::Allowed),
            (part("flat", "02", true), Storing::Allowed),
            (part("bad", "0X", true), Storing::Allowed),
            (part("late", "00", true), Storing::Refused),
        ] {
            chatter.take(message, storing).await.unwrap();
        }
        // Without an end.
        for _ in 0..20 {
            chatter
                .take(part("endless", &long, false), Storing::Allowed)
                .await
                .unwrap();
        }
        let stored = blobs.load("com.acme.a", "virtual-a-1").unwrap();
        let lengths: Vec<_> = stored
            .iter()
            .map(|(key, value)| (key.as_str(), value.len()))
            .collect();
        assert_eq!(lengths, [("flat", long.len() + 1)]);
        assert!(
            chatter
                .arriving
                .is_none_or(|(_, value)| value.len() <= DEVICE_MAX_BYTES)
        );
    }

    #[tokio::test]
    async fn a_host_that_never_stops_talking_is_told_apart() {
        let blobs = BlobStore::new(std::path::Path::new("/nonexistent"));
        let mut chatter = Chatter::new("com.acme.a".into(), "virtual-a-1".into(), blobs);
        tokio::time::pause();
        for _ in 0..MESSAGES_PER_SECOND_MAX {
            chatter.take(line("again"), Storing::Allowed).await.unwrap();
        }
        let failure = chatter.take(line("again"), Storing::Allowed).await.unwrap_err();
        assert_eq!(failure.code, FailureCode::PluginMisbehaved);
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        chatter.take(line("again"), Storing::Allowed).await.unwrap();
    }
}
