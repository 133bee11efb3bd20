//! `tracing` to the host's log, for as long as a call of the host runs on the thread.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use recueil_abi as abi;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::Host;

/// Sends events of level INFO and above to the host; DEBUG too if the plugin's configuration has
/// `log = "debug"`. Spans are entered and left without a trace.
pub(crate) struct HostLog {
    host: Host,
    level: Level,
    spans: AtomicU64,
}

impl HostLog {
    pub(crate) fn new(host: Host) -> Self {
        let level = match host.config("log") {
            Ok(Some(level)) if level == "debug" => Level::DEBUG,
            _ => Level::INFO,
        };
        Self {
            host,
            level,
            spans: AtomicU64::new(0),
        }
    }
}

impl Subscriber for HostLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed).wrapping_add(1).max(1))
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.host.log(number(*event.metadata().level()), &line.0);
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

fn number(level: Level) -> i32 {
    match level {
        Level::TRACE => abi::RCL_LOG_TRACE,
        Level::DEBUG => abi::RCL_LOG_DEBUG,
        Level::INFO => abi::RCL_LOG_INFO,
        Level::WARN => abi::RCL_LOG_WARN,
        Level::ERROR => abi::RCL_LOG_ERROR,
    }
}

/// `message key=value key=value`.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let before = if self.0.is_empty() { "" } else { " " };
        let _infallible = if field.name() == "message" {
            let rest = std::mem::take(&mut self.0);
            let between = if rest.is_empty() { "" } else { " " };
            write!(self.0, "{value:?}{between}{rest}")
        } else {
            write!(self.0, "{before}{}={value:?}", field.name())
        };
    }
}
