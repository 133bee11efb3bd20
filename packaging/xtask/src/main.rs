//! The verbs of the project: demo, test, bench and the rest.

fn main() {}
