//! Randomness that repeats.

use super::number;

/// Splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014): one seed, one
/// sequence, for ever and on every machine.
#[derive(Debug, Clone)]
pub struct Random(u64);

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// Begins the sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number from `low` to below `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * number::unit(self.bits())
    }

    /// One of them; none of an empty list.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let place = number::floor(self.between(0.0, number::real(items.len())));
        items.get(place)
    }
}

fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Bits that belong to a place: the same whichever part of a picture is made.
pub(crate) fn at(seed: u64, x: u64, y: u64) -> u64 {
    mix(seed ^ x.wrapping_mul(STEP) ^ y.wrapping_mul(0xd6e8_feb8_6659_fd93))
}

/// Noise of three channels around 0, near to a normal distribution of deviation 1.
pub(crate) fn noise(bits: u64) -> [f64; 3] {
    // The sum of two equal distributions over 0..=1023 has a deviation of 417.9.
    [0, 20, 40].map(|shift| {
        (number::ten_bits(bits >> shift) + number::ten_bits(bits >> (shift + 10)) - 1023.0) / 417.9
    })
}

/// Smooth noise from -1 to 1 whose hills are about one unit wide.
pub(crate) fn hills(seed: u64, x: f64, y: f64) -> f64 {
    let corner = |dx: f64, dy: f64| {
        let bits = at(seed, (x.floor() + dx).to_bits(), (y.floor() + dy).to_bits());
        number::unit(bits) * 2.0 - 1.0
    };
    let ease = |t: f64| t * t * (3.0 - 2.0 * t);
    let (u, v) = (ease(x - x.floor()), ease(y - y.floor()));
    let mix = |a: f64, b: f64, t: f64| a + (b - a) * t;
    mix(
        mix(corner(0.0, 0.0), corner(1.0, 0.0), u),
        mix(corner(0.0, 1.0), corner(1.0, 1.0), u),
        v,
    )
}
