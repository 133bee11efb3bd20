//! recueild: wires the stages together.

fn main() {}
