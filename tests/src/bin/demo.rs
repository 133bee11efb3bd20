//! Whole stories on a private bus with real processes.

fn main() {}
