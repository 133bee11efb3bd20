//! What stands around every function that the host calls.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use recueil_abi::rcl_status;
use tracing::Dispatch;

use super::Host;
use crate::{Error, Result, Status};

/// Runs `f` with the host as its log. A failure or a panic is explained to the host and becomes a status.
pub(super) fn guard(host: &Host, log: &Dispatch, req: u64, f: impl FnOnce() -> Result<i32>) -> rcl_status {
    let outcome = catch_unwind(AssertUnwindSafe(|| tracing::dispatcher::with_default(log, f)));
    let error = match outcome {
        Ok(Ok(value)) => return value.max(0),
        Ok(Err(error)) => error,
        Err(payload) => {
            let text = panic_text(payload.as_ref());
            // Dropping it would run code of the plugin's, which may panic again.
            std::mem::forget(payload);
            Error::new(Status::PANIC, text)
        }
    };
    let status = if error.status.0 < 0 {
        error.status
    } else {
        Status::FAILED
    };
    host.fail(req, status, &error);
    status.0
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("no text"))
}
