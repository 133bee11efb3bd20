//! How long to wait after failures: full jitter, so that stations that failed together do not return together.

use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};

/// A uniform wait below a bound that doubles with each failure, from `base` up to `max`.
pub(crate) fn wait(failures: u32, base: Duration, max: Duration) -> Duration {
    part_of(bound(failures, base, max), random())
}

fn bound(failures: u32, base: Duration, max: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    base.saturating_mul(1 << doublings).min(max)
}

fn part_of(bound: Duration, random: u32) -> Duration {
    // In parts of 2^16, which is finer than any timer here.
    bound.saturating_mul(random >> 16) / (1 << 16)
}

fn random() -> u32 {
    let mut bytes = [0; 4];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => u32::from_ne_bytes(bytes),
        // Without randomness the longest wait is the polite one.
        Err(_unspecified) => u32::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_up_to_the_cap() {
        let (base, max) = (Duration::from_secs(2), Duration::from_mins(15));
        let bounds = [1, 2, 3, 9, 10, u32::MAX].map(|failures| bound(failures, base, max).as_secs());
        assert_eq!(bounds, [2, 4, 8, 512, 900, 900]);
        assert_eq!(part_of(max, 0), Duration::ZERO);
        let most = part_of(max, u32::MAX);
        assert!(most < max && most + Duration::from_secs(1) > max);
    }
}
