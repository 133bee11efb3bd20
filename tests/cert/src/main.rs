//! The CERT simulator.

fn main() {}
