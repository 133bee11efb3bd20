//! Conversions between numbers, each with its rule said once.

/// The nearest whole number; 0 below zero and for NaN, the largest above the range.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from float saturates, which is the rule wanted"
)]
pub(crate) fn rounded(value: f64) -> u32 {
    value.round() as u32
}

/// The whole number below, saturating.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "a cast from float saturates, which is the rule wanted"
)]
pub(crate) fn floored(value: f64) -> i64 {
    value.floor() as i64
}

/// The nearest grey level.
pub(crate) fn level(value: f64) -> u8 {
    u8::try_from(rounded(value)).unwrap_or(u8::MAX)
}

/// A pixel coordinate as an index.
pub(crate) fn index(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// A number of things that stays far below 2³², as pictures do.
pub(crate) fn count(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// A number of things for arithmetic.
pub(crate) fn real(value: usize) -> f64 {
    f64::from(count(value))
}
