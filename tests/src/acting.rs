//! Being another user for the time of a connection.

use std::future::Future;

use anyhow::Context;
use rustix::process::{Uid, getuid};
use rustix::thread::set_thread_res_uid;

use crate::User;

/// Runs `work` with another effective uid, which whoever it connects to is told by the kernel; the connections
/// stay that user's afterwards. Needs root, and a runtime of one thread, as `#[tokio::test]` makes it.
pub async fn acting_as<T>(user: User, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    set_thread_res_uid(None, Uid::from_raw(user.0), None).context("only root can act as others")?;
    let _ourselves_again = Ourselves;
    work.await
}

struct Ourselves;

impl Drop for Ourselves {
    fn drop(&mut self) {
        // The real uid is still ours, and may always be returned to.
        let _always_allowed = set_thread_res_uid(None, getuid(), None);
    }
}
