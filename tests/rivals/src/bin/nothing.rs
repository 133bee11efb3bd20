//! Does nothing: what starting any program costs that is linked to the same shared libraries as ours.

fn main() {}
