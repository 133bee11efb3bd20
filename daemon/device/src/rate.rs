//! How often something may happen.

use std::time::Duration;

use tokio::time::Instant;

/// At most so many in each second. The clock is asked once an event, so a flood costs little.
#[derive(Debug)]
pub(crate) struct Rate {
    per_second_max: u32,
    since: Instant,
    count: u32,
}

impl Rate {
    pub(crate) fn new(per_second_max: u32) -> Self {
        Self {
            per_second_max,
            since: Instant::now(),
            count: 0,
        }
    }

    /// Counts one more; false if that is too many in this second.
    pub(crate) fn allow(&mut self) -> bool {
        if self.since.elapsed() >= Duration::from_secs(1) {
            self.since = Instant::now();
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        self.count <= self.per_second_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_count_begins_anew_each_second() {
        let mut rate = Rate::new(2);
        assert_eq!([rate.allow(), rate.allow(), rate.allow()], [true, true, false]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(rate.allow());
    }
}
