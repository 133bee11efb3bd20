//! Chance that a seed decides.

/// A stream of numbers: `SplitMix64` (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Another stream, the same for the same number.
    pub(crate) fn fork(&self, number: u64) -> Self {
        let mut forked = Self(self.0 ^ number.wrapping_add(1).wrapping_mul(0x9E6D_62D0_6F6A_9A9B));
        forked.next();
        forked
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From `least` to below `end`.
    pub(crate) fn between(&mut self, least: u64, end: u64) -> u64 {
        least + self.next() % (end - least).max(1)
    }

    /// In `of` of a hundred cases.
    pub(crate) fn percent(&mut self, of: u64) -> bool {
        self.between(0, 100) < of
    }

    /// One of several.
    pub(crate) fn choose<'c, T>(&mut self, from: &'c [T]) -> Option<&'c T> {
        let count = u64::try_from(from.len()).unwrap_or(u64::MAX);
        from.get(usize::try_from(self.between(0, count)).unwrap_or_default())
    }
}
