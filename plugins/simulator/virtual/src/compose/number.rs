//! Between pixels and numbers, in the one place where `as` may stand.
#![expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "`as` from a real number saturates, which is what pixels want; sides are far below 2^52"
)]

/// Nearest grey level, 0 to 255.
pub(crate) fn level(value: f64) -> u8 {
    (value + 0.5) as u8
}

/// Whole pixels below, never under 0.
pub(crate) fn floor(value: f64) -> usize {
    value as usize
}

/// Nearest whole number.
pub(crate) fn nearest(value: f64) -> i32 {
    value.round() as i32
}

/// Nearest whole number, never under 0.
pub(crate) fn count(value: f64) -> u32 {
    (value + 0.5) as u32
}

/// A count of pixels as a real number.
pub(crate) fn real(value: usize) -> f64 {
    value as f64
}

/// A count that fits memory.
pub(crate) fn size(value: u32) -> usize {
    value as usize
}

/// A side that came from a `u32`.
pub(crate) fn side(value: usize) -> u32 {
    value as u32
}

/// The top 53 bits as 0 (inclusive) to 1 (exclusive).
pub(crate) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// The lowest 10 bits.
pub(crate) fn ten_bits(bits: u64) -> f64 {
    (bits & 1023) as f64
}
